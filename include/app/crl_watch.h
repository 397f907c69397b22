/*
 * crl_watch: control side: CRL files take effect while a configuration stays in force. Hears of changes
 * (io/file_watch), reads what changed (snapshot/refresh), offers the next generation, and tells log, audit log and
 * metrics what became of it. Also warns as lists age. Never looks at the configuration file.
 *
 *   crl_watch_set --> waiting --files changed--> changed(fresh) --> pending
 *                        ^                                             |
 *                        `---crl_watch_set (in force), crl_watch_rejected
 *
 * While an offer is pending nothing more is offered; what changes meanwhile is looked at afterwards.
 */
#ifndef SALLYPORT_APP_CRL_WATCH_H
#define SALLYPORT_APP_CRL_WATCH_H

#include "app/crl_audit.h"
#include "base/err.h"
#include "base/logsink.h"
#include "io/loop.h"
#include "snapshot/crl_files.h"

struct crl_watch;

/* changed(): the generation in force with newer lists, whole. The callee takes it over (moves it out, or ends with
 * resolved_fini), and answers, at once or later, with crl_watch_set or crl_watch_rejected. */
MUST_CHECK struct crl_watch *crl_watch_new(struct loop *loop, void (*changed)(void *arg, struct resolved *fresh),
                                           void *arg, struct err *err);
/* After every commit, whatever it came from; is_reload: but for a change that changed() brought about. What in_force
 * names, but for the configuration, and audit (may be NULL) are used until the next call. */
void crl_watch_set(struct crl_watch *watch, const struct crl_view *in_force, struct logsink *audit, bool is_reload);
/* What was offered did not come into force. It is offered again after a while, or with the next change. */
void crl_watch_rejected(struct crl_watch *watch, const char *why);
/* Sets the gauges of the sources to how they stand now. */
void crl_watch_publish(const struct crl_watch *watch);
/* How each list and each source stands: JSON for programs, a table for people. */
void crl_watch_render_json(const struct crl_watch *watch, struct sbuf *out);
void crl_watch_render_table(const struct crl_watch *watch, struct sbuf *out);
void crl_watch_free(struct crl_watch **watch);

#endif
