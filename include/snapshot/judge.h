/*
 * judge: who may do this request: the very engine of `run`, `explain` and `tests:`. Application by host and path, then
 * its policies, else the hostname's default.
 */
#ifndef SALLYPORT_SNAPSHOT_JUDGE_H
#define SALLYPORT_SNAPSHOT_JUDGE_H

#include "http/target.h"
#include "snapshot/snapshot.h"

/* Does the request's host belong to the connection's hostname (sec-04)? has_host false (HTTP/1.0): yes. Under a
 * wildcard entry it must equal server_name. */
bool judge_host(const struct snapshot *snapshot, const struct hostname *hostname, struct slice server_name,
                bool has_host, const struct target *target);
/* What sallyport itself answers on a protected hostname, whoever asks (facts 3.5, 3.6). */
enum judge_reserved { RESERVED_NONE, RESERVED_CERTS, RESERVED_IDENTITY, RESERVED_LOGOUT };
enum judge_reserved judge_reserved(const struct hostname *hostname, const struct target *target);
/* The application of a request, or NULL. */
const struct application *judge_application(const struct snapshot *snapshot, struct slice server_name,
                                            const struct target *target);
/* server_name stands in for the host when the request had none. *application_out: the application that decided, or
 * NULL. */
void judge_request(const struct snapshot *snapshot, const struct hostname *hostname, struct slice server_name,
                   const struct target *target, const struct facts *facts, struct trace *trace,
                   struct verdict *verdict_out, const struct application **application_out);

/* The HTTP status a client sees: 200 for what is not denied; the reason's own, but for 403 what the application says:
 * 401, or 302 to its page. application may be NULL. */
int judge_status(const struct verdict *verdict, const struct application *application);
/* A sentence with the facts for a denial: the report's, when the reason is the certificate's; else the reason's. Valid
 * as long as the report. */
const char *judge_detail(const struct verdict *verdict, const struct verify_report *report);

/* One request as `explain` and `tests:` describe it. */
struct question {
    struct slice url;
    struct slice method;                  /* "GET" if empty; OPTIONS is judged as a CORS preflight */
    const struct cert_list *certificates; /* leaf first; NULL or empty: none presented */
    const struct addr *client;            /* NULL: 127.0.0.1 */
    time_t now;
};
struct answer {
    struct verdict verdict;
    struct verify_report report;
    int status; /* HTTP status the client would see: 200 for allowed, 0 for a refused handshake */
    char detail[256];
    const struct hostname *hostname;       /* NULL: unknown */
    const struct application *application; /* the one that decided, or NULL */
};
/* Can this URL be asked for? -1 with err where its scheme or host cannot be one. */
MUST_CHECK int judge_check_url(struct slice url, struct err *err);
/* Judges offline: hostname by the URL's host, handshake rules (unknown hostname, require), verification, request line,
 * host, policy. A fragment is dropped, as clients do; a malformed path is the client's fault (bad_request). Returns 0,
 * or -1 with err for a URL whose scheme or host cannot be one: then there is nothing to finish. */
MUST_CHECK int judge_question(const struct snapshot *snapshot, const struct question *question, struct trace *trace,
                              struct answer *answer_out, struct err *err);
void answer_fini(struct answer *answer);

#endif
