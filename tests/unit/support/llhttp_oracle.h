/*
 * llhttp_oracle: what llhttp in strict mode (Debian's node-llhttp, compiled by the Makefile) makes of one message. Only
 * tests and fuzz targets have it: what our parser accepts, llhttp must frame in the same way.
 */
#ifndef SALLYPORT_TESTS_SUPPORT_LLHTTP_ORACLE_H
#define SALLYPORT_TESTS_SUPPORT_LLHTTP_ORACLE_H

#include <stdint.h>

#include "base/sbuf.h"

struct llhttp_opinion {
    bool accepted;     /* a complete message stands at the front of the bytes */
    const char *error; /* llhttp's name of what is wrong, when not accepted */
    char method[32];   /* of a request */
    int status;        /* of a response */
    bool is_chunked;
    bool has_length;
    uint64_t length;
    bool keep_alive;
    bool upgrades;
    size_t taken; /* bytes of the message */
};

/* false when the tests were built without llhttp. */
bool llhttp_oracle_is_there(void);
/* body is appended to. head_request: for a response, that it answers HEAD. */
void llhttp_oracle_request(struct slice message, struct llhttp_opinion *opinion_out, struct sbuf *body);
void llhttp_oracle_response(struct slice message, bool head_request, struct llhttp_opinion *opinion_out,
                            struct sbuf *body);

/* Judges one run of bytes as a request (or as the response to a GET) by both parsers. Returns NULL when ours refuses
 * it, when both agree, or when they differ in a way that is known and harmless; otherwise what they differ in. */
const char *llhttp_disagreement(struct slice message, bool is_response);

#endif
