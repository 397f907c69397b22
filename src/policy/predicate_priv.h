/*
 * predicate: the typed tree that policies are compiled to, and that the expression language will be compiled to.
 * compile makes it, eval walks it, print shows it. Immutable; nodes are shared where a group is used twice; lives in
 * the arena of its policy_set.
 *
 *   a policy or group:  ALL { ANY "include" {...}, ALL "require" {...}, NOT "exclude" { ANY {...} } }
 */
#ifndef SALLYPORT_POLICY_PREDICATE_PRIV_H
#define SALLYPORT_POLICY_PREDICATE_PRIV_H

#include "ip_set_priv.h"
#include "policy/policy.h"

enum predicate_op {
    PREDICATE_ALL, /* of items; true when there is none */
    PREDICATE_ANY, /* of items; false when there is none */
    PREDICATE_NOT, /* of items[0] */
    PREDICATE_EVERYONE,
    PREDICATE_IP,
    PREDICATE_METHOD,
    /* From here on: never true unless the certificate is verified. */
    PREDICATE_CERTIFICATE,
    PREDICATE_BUNDLE,
    PREDICATE_TEXT /* `kind` says which text of the certificate; serial numbers are compared as bytes */
};

enum text_form { TEXT_ONE_OF /* sorted */, TEXT_WILDCARD, TEXT_IGNORE_CASE };

struct predicate_index;

struct predicate {
    enum predicate_op op;
    const char
        *role; /* of an inner node: what its items are to the policy ("include"), for the trace; NULL: as above it */
    const char *name; /* of a rule, also of the ALL that is a group: its name in the configuration; NULL: not a rule */
    struct texts shown; /* the rule's values as configured */
    size_t rules;       /* in this tree, a shared group counted each time */
    const struct predicate **items;
    size_t count;
    enum conf_rule_kind kind;            /* with TEXT */
    enum text_form form;                 /* with TEXT */
    struct texts wanted;                 /* with METHOD, BUNDLE, TEXT: in the form of the facts */
    struct ip_set blocks;                /* with IP */
    const struct predicate_index *index; /* with ANY: of its items; NULL: they are few, or it would not help */
    size_t asks_from;                    /* with an index: the first item that always asks for the certificate */
};

struct policy {
    const char *name;
    enum conf_decision decision;
    bool is_report_only;
    int64_t session_s;
    const struct predicate *predicate;
};

struct policy_set {
    const char *application;
    struct policy *policies; /* in order of evaluation */
    size_t count;
    const struct predicate_index *index; /* of the policies' predicates, or NULL */
    bool asks; /* some policy that is not report_only asks for the certificate whenever it is evaluated */
};

/* ---- compile ---- */

/* One rule that is no group. */
MUST_CHECK struct predicate *rule_compile(const struct conf_rule *rule, struct arena *arena, struct err *err);

/* ---- index ---- */

/* Does its evaluation ask for a certificate whatever the facts are? */
bool predicate_always_asks(const struct predicate *predicate);
/* For a list whose first true predicate settles the matter. NULL when it is short or has no keys to go by. Lives in
 * arena, points into the predicates. */
struct predicate_index *predicate_index_new(const struct predicate *const *items, size_t count, struct arena *arena);
/* The first place from `from` on whose predicate may be true; the number of places when there is none. Those passed
 * over are false, and each of them would have asked for the certificate. */
size_t predicate_index_next(const struct predicate_index *index, const struct facts *facts, size_t from);

/* ---- eval ---- */

struct evaluation {
    const struct facts *facts;
    struct trace *trace;    /* or NULL */
    const char *role;       /* for the trace */
    bool certificate_asked; /* a rule that needs a certificate was evaluated */
};

/* Is the certificate one that rules may look at: presented, and verified by a bundle of this hostname? */
bool facts_are_verified(const struct facts *facts);
bool predicate_eval(const struct predicate *predicate, struct evaluation *evaluation);
/* Does the certificate say one of the wanted texts? The facts are verified. */
bool text_matches(const struct predicate *predicate, const struct identity *identity);
/* The certificate's texts of a kind; *one_out is where a single one is put. */
struct texts identity_texts(const struct identity *identity, enum conf_rule_kind kind, struct slice *one_out);

/* ---- print ---- */

/* `"a", "b" (wildcard)`: what the rule wants. */
void predicate_print_wanted(const struct predicate *predicate, struct sbuf *out);
/* `common_name is "sensor-1", rule wants "sensor-2"`: what was asked and what the facts were. */
void predicate_print_asked(const struct predicate *predicate, const struct facts *facts, struct sbuf *out);

#endif
