/*
 * fuzz_crl: the CRL loader, from a stream cut into pieces and from a file (DER or PEM). What loads must be found again
 * through its block, and the size of the pieces must not change the outcome.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "fuzz_root.h"
#include "pki/crl.h"
#include "support/testpki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cert_list issuers;

static void check_block(const struct crl *crl) {
    struct err err = {""};
    struct crl_entry entry;
    struct crl *copy = crl_from_bytes(crl_bytes(crl), &err);
    INVARIANT(copy != NULL && crl_count(copy) == crl_count(crl));
    (void)crl_lookup(copy, SLICE("\x0a"), &entry);
    crl_unref(&copy);
}

static void found(void *arg, struct crl *crl) {
    (*(size_t *)arg)++;
    check_block(crl);
    crl_unref(&crl);
}

static int refused(void *arg, const struct crl_refusal *refusal, const struct err *err) {
    (void)arg;
    INVARIANT(refusal->fault != CRL_OK && err->text[0] != '\0');
    return 0;
}

static enum crl_fault load(const uint8_t *data, size_t size, size_t piece) {
    struct testpki_source source = {slice_make(data, size), piece};
    enum crl_fault fault;
    struct err err = {""};
    struct crl *crl = crl_load(testpki_read, &source, &issuers, &fault, &err);
    INVARIANT((crl != NULL) == (fault == CRL_OK));
    if (crl != NULL)
        check_block(crl);
    crl_unref(&crl);
    return fault;
}

static void load_file(const uint8_t *data, size_t size) {
    char path[64];
    size_t count = 0;
    struct err err = {""};
    struct crl_sink sink = {found, refused, &count};
    int fd = memfd_create("crl", MFD_CLOEXEC);
    INVARIANT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    (void)!crl_load_each(path, &issuers, &sink, &err);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err = {""};
    if (issuers.count == 0) {
        struct cert *root = cert_from_der(slice_make(FUZZ_ROOT, sizeof(FUZZ_ROOT)), &err);
        cert_list_add(&issuers, root);
        cert_unref(&root);
    }
    INVARIANT(load(data, size, 0) == load(data, size, 7));
    load_file(data, size);
    return 0;
}
