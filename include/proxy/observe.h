/*
 * observe: what is left of an exchange or a handshake when it is over: metrics, the access log line, the audit line.
 * Writes no facts. Field names: product 7. cert_* formats: facts 4.4; cert_verified: the string of 4.5.
 */
#ifndef SALLYPORT_PROXY_OBSERVE_H
#define SALLYPORT_PROXY_OBSERVE_H

#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/flood.h"
#include "snapshot/crl_files.h"
#include "tls/stream_tls.h"

struct log_fields;
void log_fields_free(struct log_fields **fields);

/* Once for each exchange, from exchange_finish. Denials also go to the audit log (event "denied"). */
void observe_exchange(const struct exchange *exchange);
/* A completed handshake. */
void observe_handshake(const struct client *client);
/* A refused handshake (event "handshake_refused"), whatever is known of it. */
void observe_handshake_failure(const struct client *client, const struct handshake_failure *failure);
/* A connection refused at accept (event "connection_refused") for a limit ("max_connections"; lives as long as the
 * program). */
void observe_refused(const struct worker *worker, const char *listener, const struct addr *peer, const char *limit);
/* So many more refusals of a kind got no line of their own (event "lines_left_out"). */
void observe_left_out(const struct worker *worker, const struct flood_kind *kind, uint64_t count);
/* Reloads and CRL changes (event "reload", "crl"), from app/. detail: text for people. */
void observe_event(struct logsink *audit, const char *event, const char *result, const char *detail,
                   uint64_t generation);
/* A CRL file was read again while the configuration stays (event "crl"). result: "ok" when the list came into force
 * with this generation, "rejected", or crl_result_name(). */
void observe_crl(struct logsink *audit, const struct crl_news *news, const char *result, uint64_t generation);
/* "complete", "denied", "client:request_body", "upstream:response_head", ... Static, or made in out (48 bytes). */
const char *ending_text(const struct exchange *exchange, char *out);

#endif
