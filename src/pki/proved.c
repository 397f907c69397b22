/*
 * proved: see the header. Made by the builder of snapshots for each CA bundle, held by the trusts that it belongs to.
 */
#include "pki/proved.h"

#include "base/mem.h"

struct proved {
    int refs;
    char *pem; /* NULL: decoded */
    size_t size;
    struct cert_list certs;
};

struct proved *proved_new(struct slice pem) {
    struct proved *proved = NEW(struct proved);
    *proved = (struct proved){.refs = 1, .pem = mem_dup(pem.ptr, pem.len), .size = pem.len};
    return proved;
}

struct proved *proved_ref(struct proved *proved) {
    proved->refs++;
    return proved;
}

void proved_unref(struct proved **proved) {
    struct proved *last = *proved;
    *proved = NULL;
    if (!last || --last->refs > 0)
        return;
    cert_list_fini(&last->certs);
    mem_free(last->pem);
    mem_free(last);
}

const struct cert_list *proved_certs(struct proved *proved) {
    if (proved->pem) {
        int status = cert_list_from_pem(slice_make(proved->pem, proved->size), true, &proved->certs, NULL);
        INVARIANT(status == 0);
        mem_free(proved->pem);
        proved->pem = NULL;
    }
    return &proved->certs;
}
