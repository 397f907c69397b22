/*
 * reason: the rows of REASONS as a table.
 */
#include "base/reason.h"

#include "base/err.h"

static const struct {
    const char *code;
    int status;
    const char *sentence, *hint;
} rows[] = {
#define X(name, code, status, sentence, hint) {code, status, sentence, hint},
    REASONS(X)
#undef X
};

const char *reason_code(enum reason reason) {
    INVARIANT(reason < REASON_COUNT);
    return rows[reason].code;
}

int reason_status(enum reason reason) {
    INVARIANT(reason < REASON_COUNT);
    return rows[reason].status;
}

const char *reason_sentence(enum reason reason) {
    INVARIANT(reason < REASON_COUNT);
    return rows[reason].sentence;
}

const char *reason_hint(enum reason reason) {
    INVARIANT(reason < REASON_COUNT);
    return rows[reason].hint;
}

bool reason_from_code(struct slice code, enum reason *reason_out) {
    for (int i = REASON_NONE + 1; i < REASON_COUNT; i++) {
        if (slice_eq_str(code, rows[i].code)) {
            *reason_out = (enum reason)i;
            return true;
        }
    }
    return false;
}

bool reason_is_certificate(enum reason reason) {
    return reason >= REASON_CERTIFICATE_MISSING && reason <= REASON_OCSP_UNAVAILABLE;
}
