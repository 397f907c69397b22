/*
 * judge: the one way from a request to a verdict. proxy/ asks judge_host() and judge_request() for each request;
 * judge_question() puts the steps of the handshake and of the parser in front of the same two, for `explain` and
 * `tests:`. Pure: a snapshot, facts and a time go in, a verdict comes out.
 */
#include "snapshot/judge.h"

#include <stdio.h>

bool judge_host(const struct snapshot *snapshot, const struct hostname *hostname, struct slice server_name,
                bool has_host, const struct target *target) {
    if (!has_host)
        return true;
    if (snapshot_hostname(snapshot, target->host) != hostname)
        return false;
    return !hostname->is_wildcard || slice_eq(target->host, server_name);
}

enum judge_reserved judge_reserved(const struct hostname *hostname, const struct target *target) {
    static const char *const paths[] = {[RESERVED_CERTS] = "/cdn-cgi/access/certs",
                                        [RESERVED_IDENTITY] = "/cdn-cgi/access/get-identity",
                                        [RESERVED_LOGOUT] = "/cdn-cgi/access/logout"};
    for (unsigned i = RESERVED_CERTS; hostname->serves_access && i <= RESERVED_LOGOUT; i++)
        if (slice_eq_str(target->route_path, paths[i]))
            return (enum judge_reserved)i;
    return RESERVED_NONE;
}

/* ---- a request ---- */

const struct application *judge_application(const struct snapshot *snapshot, struct slice server_name,
                                            const struct target *target) {
    struct slice host = target->host.len ? target->host : server_name;
    return application_table_find(snapshot->applications, host, target->route_path);
}

static void trace_verdict(struct trace *trace, const struct verdict *verdict, const struct verify_report *report) {
    if (verdict->report_only)
        trace_add(trace, "report only", TRACE_INFO, "policy \"%s\" would have decided: %s", verdict->report_only,
                  verdict->report_only_decision);
    if (verdict->effect == EFFECT_DENY) {
        trace_add(trace, "verdict", TRACE_NO, "denied, %s: %s", reason_code(verdict->reason),
                  judge_detail(verdict, report));
    } else if (verdict->policy) {
        trace_add(trace, "verdict", TRACE_YES, "allowed by policy \"%s\" (%s)", verdict->policy, verdict->decision);
    } else {
        trace_add(trace, "verdict", TRACE_YES, "allowed (%s)", verdict->decision);
    }
}

/* No application covers the path: a CA bundle asks for a certificate; without one only a public hostname answers. */
static void judge_uncovered(const struct hostname *hostname, const struct target *target, const struct facts *facts,
                            struct trace *trace, struct verdict *verdict_out) {
    trace_add(trace, "application", TRACE_NO, "none covers " SLICE_FMT, SLICE_ARG(target->path));
    if (hostname->trust) {
        policy_eval_default(facts, trace, verdict_out);
        return;
    }
    *verdict_out = (struct verdict){.effect = hostname->public ? EFFECT_ALLOW : EFFECT_DENY,
                                    .reason = hostname->public ? REASON_NONE : REASON_POLICY_NO_MATCH,
                                    .decision = hostname->public ? "public" : "default"};
}

static void pass_preflight(const struct application *application, struct trace *trace, struct verdict *verdict_out) {
    trace_add(trace, "preflight", TRACE_YES, "the application lets CORS preflights pass");
    *verdict_out = (struct verdict){.effect = EFFECT_BYPASS, .application = application->name, .decision = "bypass"};
}

void judge_request(const struct snapshot *snapshot, const struct hostname *hostname, struct slice server_name,
                   const struct target *target, const struct facts *facts, struct trace *trace,
                   struct verdict *verdict_out, const struct application **application_out) {
    struct slice host = target->host.len ? target->host : server_name;
    const struct application *application = judge_application(snapshot, server_name, target);
    *application_out = application;
    if (application) {
        trace_add(trace, "application", TRACE_YES, "\"%s\" (%s) covers " SLICE_FMT SLICE_FMT, application->name,
                  application->domain, SLICE_ARG(host), SLICE_ARG(target->path));
        if (application->options_preflight_bypass && facts->is_preflight)
            pass_preflight(application, trace, verdict_out);
        else
            policy_eval(application->policies, facts, trace, verdict_out, NULL);
    } else {
        judge_uncovered(hostname, target, facts, trace, verdict_out);
    }
    trace_verdict(trace, verdict_out, facts->report);
}

int judge_status(const struct verdict *verdict, const struct application *application) {
    if (verdict->effect != EFFECT_DENY)
        return 200;
    int status = reason_status(verdict->reason);
    if (status != 403 || !application)
        return status;
    if (application->service_auth_401)
        return 401;
    return application->deny_url ? 302 : 403;
}

const char *judge_detail(const struct verdict *verdict, const struct verify_report *report) {
    if (reason_is_certificate(verdict->reason) && report->reason == verdict->reason && report->detail[0])
        return report->detail;
    return reason_sentence(verdict->reason);
}

/* ---- a question ---- */

/* The URL's parts as judged; wrong_path: why the path is refused, or NULL. */
struct asked {
    struct target target;
    const char *wrong_path;
    struct slice method;
};

static int parse_url(struct slice text, struct arena *arena, struct asked *asked_out, struct err *err) {
    struct slice url = slice_first(text, slice_index(text, '#'));
    asked_out->wrong_path = target_parse_url(url, arena, &asked_out->target);
    if (!asked_out->wrong_path)
        return 0;
    size_t end = slice_index(url, ':') + 3; /* behind "://" */
    while (end < url.len && url.ptr[end] != '/' && url.ptr[end] != '?')
        end++;
    const char *wrong = target_parse_url(slice_first(url, end), arena, &asked_out->target);
    if (wrong)
        return err_set(err, "\"" SLICE_FMT "\" cannot be asked for: %s", SLICE_ARG(text), wrong);
    return 0;
}

int judge_check_url(struct slice url, struct err *err) {
    struct arena *arena = arena_new(1024);
    struct asked asked;
    int status = parse_url(url, arena, &asked, err);
    arena_free(arena);
    return status;
}

/* Ends without a policy's word. status 0: the handshake is refused. */
static void refuse(struct answer *answer, enum reason reason, int status, const char *detail, struct trace *trace) {
    answer->verdict = (struct verdict){.effect = EFFECT_DENY, .reason = reason, .decision = "default"};
    answer->status = status;
    (void)snprintf(answer->detail, sizeof answer->detail, "%s", detail);
    trace_add(trace, "verdict", TRACE_NO, "%s, %s: %s", status ? "denied" : "the handshake is refused",
              reason_code(reason), detail);
}

/* The certificates as the handshake would verify them; *leaf_out is NULL where none is asked for. */
static void verify_presented(const struct hostname *hostname, const struct question *question, struct trace *trace,
                             struct verify_report *report_out, const struct cert **leaf_out) {
    const struct cert_list *certs = question->certificates;
    bool is_presented = certs && certs->count > 0;
    *leaf_out = NULL;
    if (tls_host_mode(hostname->tls) == CLIENT_CERTIFICATE_OFF || !hostname->trust) {
        trace_add(trace, "certificate", TRACE_INFO, "this hostname asks for none%s",
                  is_presented ? ", so a client sends none" : "");
        verify_none(report_out);
        return;
    }
    struct cert_list rest = {NULL, 0};
    if (is_presented) {
        *leaf_out = certs->items[0];
        rest = (struct cert_list){certs->items + 1, certs->count - 1};
    }
    verify_chain(hostname->trust, *leaf_out, &rest, question->now, trace, report_out);
    if (*leaf_out && report_out->reason == REASON_NONE &&
        trust_ocsp_rule(hostname->trust, report_out->bundles).ocsp != TRUST_OCSP_OFF)
        trace_add(trace, "ocsp", TRACE_SKIPPED,
                  "only the running gateway asks responders, and denies what they revoke");
}

/* What the parser refuses before anybody looks at the host. */
static bool is_refused_by_parser(const struct asked *asked, struct answer *answer, struct trace *trace) {
    if (slice_eq_str(asked->method, "CONNECT")) {
        refuse(answer, REASON_METHOD_NOT_ALLOWED, reason_status(REASON_METHOD_NOT_ALLOWED),
               reason_sentence(REASON_METHOD_NOT_ALLOWED), trace);
        return true;
    }
    const char *wrong = h1_method_fault(asked->method);
    wrong = wrong ? wrong : asked->wrong_path;
    if (wrong)
        refuse(answer, REASON_BAD_REQUEST, reason_status(REASON_BAD_REQUEST), wrong, trace);
    return wrong != NULL;
}

static void judge_asked(const struct snapshot *snapshot, const struct question *question, const struct asked *asked,
                        struct identity *identity, struct answer *answer, struct trace *trace) {
    struct addr loopback;
    INVARIANT(addr_parse_host(SLICE("127.0.0.1"), &loopback));
    const struct facts facts = {.identity = identity,
                                .report = &answer->report,
                                .trust = answer->hostname->trust,
                                .client = question->client ? question->client : &loopback,
                                .method = asked->method,
                                .is_preflight = slice_eq_str(asked->method, "OPTIONS")};
    judge_request(snapshot, answer->hostname, asked->target.host, &asked->target, &facts, trace, &answer->verdict,
                  &answer->application);
    answer->status = judge_status(&answer->verdict, answer->application);
    if (answer->verdict.effect == EFFECT_DENY)
        (void)snprintf(answer->detail, sizeof answer->detail, "%s", judge_detail(&answer->verdict, &answer->report));
}

/* Handshake, parser, host, policy: in the order in which `run` comes to them. */
static void judge_steps(const struct snapshot *snapshot, const struct question *question, const struct asked *asked,
                        struct answer *answer, struct trace *trace) {
    const struct cert *leaf;
    struct slice host = asked->target.host;
    answer->hostname = snapshot_hostname(snapshot, host);
    if (!answer->hostname) {
        trace_add(trace, "hostname", TRACE_NO, "\"" SLICE_FMT "\" is not configured", SLICE_ARG(host));
        verify_none(&answer->report);
        refuse(answer, REASON_UNKNOWN_HOSTNAME, 0, reason_sentence(REASON_UNKNOWN_HOSTNAME), trace);
        return;
    }
    trace_add(trace, "hostname", TRACE_YES, "\"" SLICE_FMT "\" is served as \"%s\"", SLICE_ARG(host),
              answer->hostname->name);
    verify_presented(answer->hostname, question, trace, &answer->report, &leaf);
    bool is_required = tls_host_mode(answer->hostname->tls) == CLIENT_CERTIFICATE_REQUIRE;
    if (is_required && answer->report.reason != REASON_NONE) {
        trace_add(trace, "handshake", TRACE_NO, "this hostname requires a verified certificate");
        refuse(answer, answer->report.reason, 0, answer->report.detail, trace);
        return;
    }
    if (is_refused_by_parser(asked, answer, trace))
        return;
    INVARIANT(judge_host(snapshot, answer->hostname, host, true, &asked->target));
    if (judge_reserved(answer->hostname, &asked->target) != RESERVED_NONE) {
        answer->verdict = (struct verdict){.effect = EFFECT_ALLOW, .decision = "default"};
        answer->status = 200;
        trace_add(trace, "verdict", TRACE_YES, "answered by sallyport itself, whoever asks");
        return;
    }
    struct identity *identity = leaf ? identity_new(leaf, &answer->report) : NULL;
    judge_asked(snapshot, question, asked, identity, answer, trace);
    identity_free(&identity);
}

int judge_question(const struct snapshot *snapshot, const struct question *question, struct trace *trace,
                   struct answer *answer_out, struct err *err) {
    struct arena *arena = arena_new(1024);
    struct asked asked = {.method = question->method.len ? question->method : SLICE("GET")};
    int status = parse_url(question->url, arena, &asked, err);
    *answer_out = (struct answer){.status = 0};
    if (status == 0)
        judge_steps(snapshot, question, &asked, answer_out, trace);
    arena_free(arena);
    return status;
}

void answer_fini(struct answer *answer) { verify_report_fini(&answer->report); }
