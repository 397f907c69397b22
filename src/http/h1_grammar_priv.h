/*
 * h1_grammar_priv: the elements that request, response and trailer parsing share. Slices are views of bytes that the
 * caller has copied into the arena already.
 */
#ifndef SALLYPORT_SRC_HTTP_H1_GRAMMAR_PRIV_H
#define SALLYPORT_SRC_HTTP_H1_GRAMMAR_PRIV_H

#include "base/err.h"
#include "http/h1_parse.h"

/* Fills the fault. Returns false always, so that `return h1_refuse(...)` reads well. */
static inline bool h1_refuse(struct h1_fault *fault_out, enum reason reason, const char *detail) {
    *fault_out = (struct h1_fault){reason, detail};
    return false;
}

/* Cuts the next line off *rest, without its CRLF. false: no CRLF, or a bare CR comes before it. */
MUST_CHECK bool h1_take_line(struct slice *rest, struct slice *line_out);
/* *( field-line CRLF ) CRLF, all of section. Appends to headers, which the caller has initialised. */
MUST_CHECK bool h1_parse_fields(struct slice section, const struct h1_limits *limits, struct headers *headers,
                                struct h1_fault *fault_out);
bool h1_is_tchar(char c);
/* VCHAR, obs-text, SP or HTAB: what may stand in a field value, a reason phrase and a quoted string. */
bool h1_is_text(char c);

#endif
