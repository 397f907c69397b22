/*
 * statuses: what OCSP responders say of the certificates of this worker's clients. Control asks them
 * (app/ocsp_desk); here their answers are kept until they run out. One for each worker. An answer that has not come
 * is not a good one (sec-33).
 */
#ifndef SALLYPORT_PROXY_STATUSES_H
#define SALLYPORT_PROXY_STATUSES_H

#include "ipc/ask.h"
#include "proxy/wait.h"
#include "tls/peer.h"

#define STATUSES_WAIT_MS 2000 /* how long a request waits for an answer */

struct statuses;

/* asker may be NULL: nothing is ever known. */
struct statuses *statuses_new(struct loop *loop, struct asker *asker);
void statuses_free(struct statuses **statuses);

enum status_result {
    STATUS_GOOD,
    STATUS_REVOKED,
    STATUS_UNAVAILABLE, /* nobody says, or not yet, or the responder does not know the certificate */
    STATUS_WAIT
};
struct status {
    time_t revoked_at;     /* with REVOKED */
    int revocation_reason; /* RFC 5280 5.3.1; -1 */
    int depth;             /* of the certificate it is about */
    bool is_unknown;       /* UNAVAILABLE because a responder says that it knows no such certificate */
    const char *detail;    /* of UNAVAILABLE; valid during this call of the caller */
};
/* Of the peer's chain, which verified under trust (peer->report). hostname: of the connection. WAIT: again when the
 * wait is over. */
enum status_result statuses_get(struct statuses *statuses, const struct peer *peer, const struct trust *trust,
                                struct slice hostname, time_t now, struct wait *wait, struct status *status_out);

/* ---- the question, and control's answer: pure ---- */

struct status_question {
    struct slice hostname;
    struct slice ders[17]; /* leaf first, then what the client sent */
    size_t count;
};
/* false: it does not fit into a question. */
MUST_CHECK bool status_question_write(const struct peer *peer, struct slice hostname, struct sbuf *out);
MUST_CHECK bool status_question_read(struct slice text, struct status_question *question_out);

struct status_answer {
    enum status_result result; /* not WAIT */
    time_t until;              /* it may be used so long */
    time_t revoked_at;
    int revocation_reason, depth;
    bool is_unknown;
    char detail[256];
};
void status_answer_write(const struct status_answer *answer, struct sbuf *out);
MUST_CHECK bool status_answer_read(struct slice text, struct status_answer *answer_out);

#endif
