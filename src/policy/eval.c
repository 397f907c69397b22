/*
 * eval: facts against compiled policies, called once for each request. Allocates nothing (but for a trace), does no
 * I/O, asks no clock.
 *
 * With and without a trace the same rules are evaluated in the same order, and evaluation stops at the first that
 * settles the matter: what was not asked does not count for the reason, and the trace says "skipped".
 */
#include "predicate_priv.h"

#include <stdlib.h>

#define TRACE_TEXT_MAX 65536

bool facts_are_verified(const struct facts *facts) {
    /* A bundle must have vouched: a report that nobody filled in must not pass for a good one. */
    return facts->identity && facts->trust && facts->report->reason == REASON_NONE && facts->report->bundles != 0;
}

static enum reason certificate_reason(const struct facts *facts) {
    if (facts->report->reason != REASON_NONE)
        return facts->report->reason;
    return facts->identity ? REASON_CERTIFICATE_UNTRUSTED : REASON_CERTIFICATE_MISSING;
}

/* ---- trace ---- */

/* A line whose result comes later: set_result(). Returns its place. */
static size_t trace_rule(const struct predicate *predicate, const struct evaluation *evaluation, bool is_skipped) {
    struct trace *trace = evaluation->trace;
    if (!trace)
        return 0;
    struct sbuf text;
    sbuf_init(&text, TRACE_TEXT_MAX);
    if (is_skipped || predicate->count) {
        sbuf_append_str(&text, predicate->name);
        if (predicate->shown.count) {
            sbuf_append_char(&text, ' ');
            predicate_print_wanted(predicate, &text);
        }
    } else {
        predicate_print_asked(predicate, evaluation->facts, &text);
    }
    trace_add(trace, "rule", is_skipped ? TRACE_SKIPPED : TRACE_INFO, "%s: %s", evaluation->role, sbuf_text(&text));
    sbuf_fini(&text);
    return trace->count - 1;
}

static void set_result(struct trace *trace, size_t place, bool is_yes) {
    if (trace)
        trace->entries[place].result = is_yes ? TRACE_YES : TRACE_NO;
}

/* The rules from items[first] on were not asked. */
static void trace_skipped(const struct predicate *predicate, size_t first, struct evaluation *evaluation) {
    if (!evaluation->trace)
        return;
    const char *role = evaluation->role;
    for (size_t i = first; i < predicate->count; i++) {
        const struct predicate *item = predicate->items[i];
        evaluation->role = item->role ? item->role : role;
        if (item->name)
            trace_rule(item, evaluation, true);
        else
            trace_skipped(item, 0, evaluation);
    }
    evaluation->role = role;
}

/* ---- predicates ---- */

/* The next of many that may be true. A trace shows them all. */
static size_t next_of(const struct predicate_index *index, const struct evaluation *evaluation, size_t from) {
    return index && !evaluation->trace ? predicate_index_next(index, evaluation->facts, from) : from;
}

/* ALL stops at the first false, ANY at the first true. */
static bool eval_items(const struct predicate *predicate, struct evaluation *evaluation) {
    bool stops_at = predicate->op == PREDICATE_ANY;
    size_t i = next_of(predicate->index, evaluation, 0);
    while (i < predicate->count && predicate_eval(predicate->items[i], evaluation) != stops_at)
        i = next_of(predicate->index, evaluation, i + 1);
    if (predicate->index && predicate->asks_from <= i)
        evaluation->certificate_asked = true; /* by one that was passed over, had it been evaluated */
    if (i < predicate->count)
        trace_skipped(predicate, i + 1, evaluation);
    return (i < predicate->count) == stops_at;
}

/* A group's rules are shown under its line. */
static bool eval_inner(const struct predicate *predicate, struct evaluation *evaluation) {
    const char *role = evaluation->role;
    size_t place = 0;
    if (predicate->name) {
        place = trace_rule(predicate, evaluation, false);
        trace_enter(evaluation->trace);
    }
    if (predicate->role)
        evaluation->role = predicate->role;
    bool is_true = predicate->op == PREDICATE_NOT ? !predicate_eval(predicate->items[0], evaluation)
                                                  : eval_items(predicate, evaluation);
    evaluation->role = role;
    if (predicate->name) {
        trace_leave(evaluation->trace);
        set_result(evaluation->trace, place, is_true);
    }
    return is_true;
}

/* Is one of the wanted bundles among those that vouch? The report's bits come from the verified anchor (sec-23,
 * sec-24). */
static bool bundle_matches(const struct predicate *predicate, const struct facts *facts) {
    for (size_t i = 0; i < predicate->wanted.count; i++) {
        for (size_t bundle = 0; bundle < trust_bundle_count(facts->trust); bundle++) {
            if (facts->report->bundles >> bundle & 1 &&
                slice_eq_str(predicate->wanted.items[i], trust_bundle_name(facts->trust, bundle)))
                return true;
        }
    }
    return false;
}

static bool method_matches(const struct predicate *predicate, struct slice method) {
    for (size_t i = 0; i < predicate->wanted.count; i++) {
        if (slice_eq(predicate->wanted.items[i], method))
            return true;
    }
    return false;
}

static bool eval_certificate_rule(const struct predicate *predicate, struct evaluation *evaluation) {
    evaluation->certificate_asked = true;
    if (!facts_are_verified(evaluation->facts))
        return false;
    if (predicate->op == PREDICATE_BUNDLE)
        return bundle_matches(predicate, evaluation->facts);
    if (predicate->op == PREDICATE_TEXT)
        return text_matches(predicate, evaluation->facts->identity);
    return predicate->op == PREDICATE_CERTIFICATE;
}

static bool eval_rule(const struct predicate *predicate, struct evaluation *evaluation) {
    switch (predicate->op) {
    case PREDICATE_EVERYONE:
        return true;
    case PREDICATE_IP:
        return ip_set_contains(&predicate->blocks, evaluation->facts->client);
    case PREDICATE_METHOD:
        return method_matches(predicate, evaluation->facts->method);
    default:
        return eval_certificate_rule(predicate, evaluation);
    }
}

bool predicate_eval(const struct predicate *predicate, struct evaluation *evaluation) {
    if (predicate->op <= PREDICATE_NOT)
        return eval_inner(predicate, evaluation);
    size_t place = trace_rule(predicate, evaluation, false);
    bool is_true = eval_rule(predicate, evaluation);
    set_result(evaluation->trace, place, is_true);
    return is_true;
}

/* ---- policies ---- */

static enum effect effect_of(enum conf_decision decision) {
    switch (decision) {
    case CONF_BYPASS:
        return EFFECT_BYPASS;
    case CONF_SERVICE_AUTH:
    case CONF_ALLOW:
        return EFFECT_ALLOW;
    case CONF_BLOCK:
        break;
    }
    return EFFECT_DENY;
}

static void trace_policy(const struct policy *policy, enum trace_result result, struct trace *trace) {
    trace_add(trace, "policy", result, "\"%s\" (%s%s)", policy->name, conf_decision_name(policy->decision),
              policy->is_report_only ? ", report only" : "");
}

static bool policy_matches(const struct policy *policy, struct evaluation *evaluation) {
    struct trace *trace = evaluation->trace;
    bool was_asked = evaluation->certificate_asked;
    trace_policy(policy, TRACE_INFO, trace);
    size_t place = trace ? trace->count - 1 : 0;
    trace_enter(trace);
    bool is_match = predicate_eval(policy->predicate, evaluation);
    trace_leave(trace);
    set_result(trace, place, is_match);
    if (policy->is_report_only)
        evaluation->certificate_asked = was_asked;
    return is_match;
}

/* Report-only policies that matched before one decided: the first, and the first whose effect is another. */
struct report_only {
    const struct policy *first, *other;
};

static void note_report_only(struct report_only *report, const struct policy *policy) {
    if (!report->first)
        report->first = policy;
    else if (!report->other && effect_of(policy->decision) != effect_of(report->first->decision))
        report->other = policy;
}

/* Had it decided, the effect would have been another one. */
static const struct policy *differing(const struct report_only *report, enum effect effect) {
    bool is_first = report->first && effect_of(report->first->decision) != effect;
    return is_first ? report->first : report->other;
}

static const struct policy *find_deciding(const struct policy_set *set, struct evaluation *evaluation,
                                          struct report_only *report) {
    const struct policy *deciding = NULL;
    for (size_t i = next_of(set->index, evaluation, 0); i < set->count; i = next_of(set->index, evaluation, i + 1)) {
        const struct policy *policy = &set->policies[i];
        if (deciding) {
            trace_policy(policy, TRACE_SKIPPED, evaluation->trace);
        } else if (policy_matches(policy, evaluation)) {
            if (policy->is_report_only)
                note_report_only(report, policy);
            else
                deciding = policy;
        }
        if (deciding && !evaluation->trace)
            break;
    }
    return deciding;
}

/* No policy matched: the certificate's fault if one was asked for and is not good. */
static enum reason no_match_reason(const struct evaluation *evaluation) {
    if (evaluation->certificate_asked && !facts_are_verified(evaluation->facts))
        return certificate_reason(evaluation->facts);
    return REASON_POLICY_NO_MATCH;
}

void policy_eval(const struct policy_set *set, const struct facts *facts, struct trace *trace,
                 struct verdict *verdict_out, const char **report_only_out) {
    struct evaluation evaluation = {.facts = facts, .trace = trace, .role = "include"};
    struct report_only report = {NULL, NULL};
    const struct policy *deciding = find_deciding(set, &evaluation, &report);
    *verdict_out = (struct verdict){.effect = EFFECT_DENY, .application = set->application, .decision = "default"};
    if (deciding) {
        verdict_out->effect = effect_of(deciding->decision);
        verdict_out->policy = deciding->name;
        verdict_out->session_s = deciding->session_s;
        verdict_out->decision = conf_decision_name(deciding->decision);
        verdict_out->reason = verdict_out->effect == EFFECT_DENY ? REASON_POLICY_BLOCK : REASON_NONE;
    } else {
        evaluation.certificate_asked = evaluation.certificate_asked || set->asks;
        verdict_out->reason = no_match_reason(&evaluation);
    }
    const struct policy *other = differing(&report, verdict_out->effect);
    if (other) {
        verdict_out->report_only = other->name;
        verdict_out->report_only_decision = conf_decision_name(other->decision);
    }
    if (report_only_out)
        *report_only_out = verdict_out->report_only;
}

void policy_eval_default(const struct facts *facts, struct trace *trace, struct verdict *verdict_out) {
    static const struct predicate certificate = {.op = PREDICATE_CERTIFICATE, .name = "certificate", .rules = 1};
    struct evaluation evaluation = {.facts = facts, .trace = trace, .role = "require"};
    bool is_verified = predicate_eval(&certificate, &evaluation);
    *verdict_out = (struct verdict){.effect = is_verified ? EFFECT_ALLOW : EFFECT_DENY,
                                    .reason = is_verified ? REASON_NONE : certificate_reason(facts),
                                    .decision = "default"};
}
