/*
 * policy_rig: policies in a short notation, and facts made by hand, for the tests of policy/.
 *
 * Rules: "common_name=sensor-1 | ip=10.0.0.0/8,192.0.2.7 | everyone". A comma makes any_of; "common_name~*.lab" is the
 * wildcard form, "common_name^SENSOR" ignore_case.
 */
#ifndef SALLYPORT_TESTS_POLICY_POLICY_RIG_H
#define SALLYPORT_TESTS_POLICY_POLICY_RIG_H

#include <check.h>

#include "policy/policy.h"

struct policy_plan {
    const char *name;
    enum conf_decision decision;
    const char *include, *require, *exclude; /* NULL: no rule */
    bool is_report_only;
};

struct group_plan {
    const char *name, *include, *require, *exclude;
};

#define PLAN_MAX 40

/* Up to the first without a name. */
struct set_plan {
    struct policy_plan policies[PLAN_MAX];
    struct group_plan groups[PLAN_MAX];
};

/* In memory that lasts until the process ends. NULL with err. */
struct policy_set *plan_compile(const struct set_plan *plan, struct err *err);
/* Fails the test when it does not compile. */
struct policy_set *plan_set(const struct set_plan *plan);

/* Who asks. */
enum client_kind {
    NOBODY,    /* no certificate */
    GOOD,      /* "sensor-1", verified by the bundle "devices" */
    EXPIRED,   /* the same, expired */
    REVOKED,   /* the same, revoked */
    UNTRUSTED, /* the same names from another CA */
    FLEET,     /* "sensor-1", verified by the bundle "fleet" */
};
/* From 192.0.2.7, GET; a hostname with the bundles "devices" and "fleet". The identity may be changed by the test. */
struct facts facts_of(enum client_kind kind);
/* The same on a hostname without CA bundle. */
struct facts facts_without_bundle(void);
struct identity *rig_identity(void);
struct addr rig_addr(const char *ip);

#endif
