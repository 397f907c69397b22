/* fuzz_crl_block: a block of another process, damaged in any way, is an error or a list that can be asked. */
#include "base/err.h"
#include "pki/crl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err = {""};
    struct crl_entry entry;
    struct crl *crl = crl_from_bytes(slice_make(data, size), &err);
    if (crl == NULL) {
        INVARIANT(err.text[0] != '\0');
        return 0;
    }
    for (size_t len = 0; len < 40 && len < size; len++)
        if (crl_lookup(crl, slice_make(data + size - len, len), &entry))
            (void)crl_reason_text(entry.reason);
    INVARIANT(strlen(crl_issuer_text(crl)) < size);
    INVARIANT(crl_number(crl).len <= size && crl_count(crl) <= size);
    crl_unref(&crl);
    return 0;
}
