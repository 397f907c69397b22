/*
 * schema: the one table of every key: its type, where its value lives in struct conf, limits, default and
 * documentation. The binder, the document writer and reader, `check --print`, the JSON Schema and the reference in
 * docs/ are all made from it.
 */
#ifndef SALLYPORT_CONF_SCHEMA_PRIV_H
#define SALLYPORT_CONF_SCHEMA_PRIV_H

#include "conf/conf.h"

enum field_type {
    FIELD_TEXT,       /* struct conf_text */
    FIELD_TARGET,     /* struct conf_text: a path, or a word of `choices` (log targets) */
    FIELD_ADDRESS,    /* struct conf_text: "host:port"; the path of "unix:PATH" is relative to the file */
    FIELD_BOOL,       /* bool */
    FIELD_INT,        /* int64_t */
    FIELD_DURATION,   /* int64_t, milliseconds */
    FIELD_SIZE,       /* int64_t, bytes */
    FIELD_ENUM,       /* an enum; words and values in `choices` */
    FIELD_FILE,       /* struct conf_file */
    FIELD_TEXTS,      /* conf_texts */
    FIELD_FILES,      /* conf_files */
    FIELD_OBJECT,     /* the struct of `object` */
    FIELD_OBJECTS,    /* a list of them */
    FIELD_RULES,      /* conf_rules */
    FIELD_HEADERS,    /* conf_headers */
    FIELD_ON_EXPIRED, /* `deny`, `allow` or `grace 24h`: the two members of struct conf_crl */
    FIELD_LATER /* known, refused: not supported yet. `fallback`, if any, is the one value that is accepted, because it
                   says what holds anyway */
};

struct choice {
    const char *name;
    int value;
    bool is_later; /* known, refused */
};

struct object_type;

struct field {
    const char *name;
    enum field_type type;
    size_t offset;
    bool is_required;
    bool is_secret;        /* content never leaves the secrets: the document has its digest */
    bool is_one_or_list;   /* a list type that also takes one element by itself */
    bool is_local;         /* not part of the resolved document */
    bool is_internal;      /* only in the resolved document */
    bool is_computed;      /* without a default of its own: normalise.c fills it in */
    int64_t min, max;      /* numbers: range; texts: most bytes (0: 4096); lists: fewest and most elements (0: any) */
    bool is_zero_max;      /* 0 is accepted and means max */
    const char *zero_word; /* a word that stands for 0: `auto` */
    const char *fallback;  /* the default as the file would spell it; NULL: none */
    const struct choice *choices; /* ends with name NULL */
    const struct object_type *object;
    const char *doc, *example;
};

struct object_type {
    const char *what, *plural;  /* "hostname", "hostnames" */
    size_t size;                /* of the struct */
    bool has_pos;               /* begins with struct conf_pos */
    const char *shorthand;      /* a scalar in place of the object is this member; NULL: none */
    const struct field *fields; /* ends with name NULL */
};

extern const struct object_type schema_root, schema_upstream, schema_server;
/* The kinds of rules, by enum conf_rule_kind. */
struct rule_type {
    const char *name;
    bool takes_value;  /* false: `{}` */
    bool takes_any_of; /* x | {any_of: [...]} */
    bool takes_forms;  /* all forms of a text */
    bool needs_certificate;
    const char *doc, *example;
};
extern const struct rule_type schema_rules[CONF_RULE_CERTIFICATE_POLICY + 1];
#define RULE_KINDS (sizeof(schema_rules) / sizeof(schema_rules[0]))
/* Words of enum conf_match_form; EXACT has none. */
extern const struct choice schema_forms[];

const struct field *schema_find(const struct object_type *type, struct slice name);
/* What a value of this field looks like: "a duration such as 30s or 5m". Appended to out. */
void schema_describe(const struct field *field, struct sbuf *out);

#endif
