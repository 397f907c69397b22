/* conf_rig: configurations as text, and what is said about them, for the suites of conf/. */
#ifndef SALLYPORT_TESTS_CONF_RIG_H
#define SALLYPORT_TESTS_CONF_RIG_H

#include <check.h>

#include "conf/conf.h"
#include "conf/document.h"

/* The least that is a configuration; more top-level keys may follow. */
#define LEAST                                    \
    "listeners: [{address: '127.0.0.1:8443'}]\n" \
    "hostnames:\n"                               \
    "  - {name: a.test, certificate: a.pem, private_key: a-key.pem, upstream: builtin:whoami, public: true}\n"

/* All messages about the text, as `check` prints them for a file called "f". The caller frees with mem_free. */
char *rig_messages(const char *yaml);
/* A configuration without errors, or the test fails. */
struct conf *rig_parse(const char *yaml);
void rig_expect(const char *yaml, const char *expected_messages);
/* Among the messages there must be one that contains text. */
void rig_expect_part(const char *yaml, const char *text);
char *rig_document(const struct conf *conf);

#endif
