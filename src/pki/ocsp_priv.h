/* ocsp_priv: who signed an answer, for ocsp.c. */
#ifndef SALLYPORT_PKI_OCSP_PRIV_H
#define SALLYPORT_PKI_OCSP_PRIV_H

#include <openssl/ocsp.h>

#include "pki/ocsp.h"

/* Finds the responder and checks its signature: fills responder and responder_needs_no_check, or returns -1 with
 * answer->fault and err. */
MUST_CHECK int ocsp_check_responder(OCSP_BASICRESP *basic, const struct ocsp_question *question,
                                    const struct ocsp_rules *rules, struct ocsp_answer *answer, struct err *err);
int ocsp_fail(struct ocsp_answer *answer, enum ocsp_fault fault, struct err *err, const char *format, ...)
    PRINTF_LIKE(4, 5);

#endif
