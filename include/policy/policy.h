/*
 * policy: the policies of one application, compiled to typed predicates, and their evaluation (product 4, facts 2.5).
 * Rules of the configuration are one front end; an expression language will be a second; both make the same tree,
 * judged by the same evaluator with the same trace.
 *
 * include: any; require: all; exclude: none. A rule that needs a certificate never matches a failing one, wherever it
 * stands:
 *   - in include and require that denies;
 *   - in exclude, and in the include of a `block` policy, it lets the client past this rule: who is to be kept out by
 *     a certificate can also come without. So name those who may come by a certificate rule in include or require; next
 *     to `everyone` or `ip` alone, an exclude or block by certificate fields keeps nobody out.
 *
 * Which reason when nothing matched: the certificate's, if it is not good and a rule that needs one was evaluated, in a
 * policy that is not report_only; else policy_no_match. Evaluation stops at the rule that settles a list, with and
 * without a trace.
 *
 * Evaluation allocates nothing, does no I/O, asks no clock. Its cost does not grow with the number of policies, or of
 * rules in include and exclude, that name exact texts of certificates; it does with those that do not (ip, method,
 * everyone, wildcards), each of which is asked.
 */
#ifndef SALLYPORT_POLICY_POLICY_H
#define SALLYPORT_POLICY_POLICY_H

#include "base/arena.h"
#include "base/err.h"
#include "base/reason.h"
#include "base/trace.h"
#include "conf/conf.h"
#include "policy/facts.h"

enum effect { EFFECT_DENY, EFFECT_ALLOW, EFFECT_BYPASS };

struct verdict {
    enum effect effect;
    enum reason reason;      /* NONE unless DENY */
    const char *application; /* name, or NULL: no application covers the path */
    const char *policy;      /* name of the policy that decided, or NULL */
    const char *decision;    /* for logs: "service_auth", "allow", "block", "bypass", "default" (no policy, or none that
                                matched), "public" */
    int64_t session_s;       /* how long a token is valid that this leads to; 0: as short as can be */
    const char *report_only; /* the first report_only policy that would have decided otherwise, or NULL */
    const char *report_only_decision; /* what it would have decided, or NULL */
};

struct policy_set;

/* Compiles in evaluation order (bypass and service_auth first, then allow and block, each in file order). groups: of
 * the configuration. Lives in arena (no free). Errors name policy and rule. */
MUST_CHECK struct policy_set *policy_set_new(const struct conf_application *application, const struct conf *conf,
                                             struct arena *arena, struct err *err);
/* Fills effect, reason, policy, decision. `report_only` policies are evaluated and traced, never decide;
 * *report_only_out (may be NULL) gets what verdict_out->report_only has. */
void policy_eval(const struct policy_set *set, const struct facts *facts, struct trace *trace,
                 struct verdict *verdict_out, const char **report_only_out);
/* The rule for a hostname with a CA bundle and no application over the path: a valid certificate. */
void policy_eval_default(const struct facts *facts, struct trace *trace, struct verdict *verdict_out);
/* The effective policy as text, one line a rule, for `check --print`. */
void policy_set_print(const struct policy_set *set, int indent, struct sbuf *out);

#endif
