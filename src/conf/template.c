/* template: see the header. Called by bind_headers.c; a template in force has been through here. */
#include "conf/template.h"

#include "value_priv.h"

static const char *const names[TEMPLATE_FIELD_COUNT] = {[TEMPLATE_LITERAL] = "",
#define X(name) [TEMPLATE_##name] = #name,
                                                        TEMPLATE_FIELDS(X)
#undef X
};

static int unknown_field(struct slice name, struct err *err) {
    struct nearest nearest;
    struct sbuf hint;
    nearest_init(&nearest, name);
    for (int field = TEMPLATE_LITERAL + 1; field < TEMPLATE_FIELD_COUNT; field++)
        nearest_offer(&nearest, slice_of(names[field]));
    sbuf_init(&hint, 256);
    nearest_append(&nearest, &hint);
    (void)err_set(err, "there is no field {" SLICE_FMT "}%s", SLICE_ARG(slice_first(name, 100)),
                  hint.len > 0 ? sbuf_text(&hint) : "; see docs/headers.md for those there are");
    sbuf_fini(&hint);
    return -1;
}

static int find_field(struct slice name, enum template_field *field_out, struct err *err) {
    for (int field = TEMPLATE_LITERAL + 1; field < TEMPLATE_FIELD_COUNT; field++) {
        if (slice_eq_str(name, names[field])) {
            *field_out = (enum template_field)field;
            return 0;
        }
    }
    return unknown_field(name, err);
}

/* One part off the front of text. */
static int parse_part(struct slice *text, struct template_part *part, struct err *err) {
    if (slice_starts_with(*text, SLICE("{{")) || slice_starts_with(*text, SLICE("}}"))) {
        part->literal = slice_first(*text, 1);
        *text = slice_after(*text, 2);
        return 0;
    }
    if (text->ptr[0] == '}')
        return err_set(err, "a '}' without its '{'; a brace by itself is written '}}'");
    if (text->ptr[0] != '{') {
        part->literal = slice_first(*text, strcspn(text->ptr, "{}"));
        *text = slice_after(*text, part->literal.len);
        return 0;
    }
    size_t end = slice_index(*text, '}');
    if (end == text->len)
        return err_set(err, "a '{' without its '}'; a brace by itself is written '{{'");
    struct slice name = slice_after(slice_first(*text, end), 1);
    *text = slice_after(*text, end + 1);
    return find_field(name, &part->field, err);
}

int template_parse(const char *text, struct arena *arena, struct template *template_out, struct err *err) {
    struct slice rest = slice_of(text);
    for (size_t i = 0; i < rest.len; i++) {
        unsigned char c = (unsigned char)rest.ptr[i];
        if (c < 0x20 || c > 0x7e)
            return err_set(err, "a header holds visible ASCII and blanks only");
    }
    *template_out = (struct template){.text = text, .parts = ARENA_ARRAY(arena, struct template_part, rest.len + 1)};
    while (rest.len > 0) {
        if (parse_part(&rest, &template_out->parts[template_out->count], err) < 0)
            return -1;
        template_out->count++;
    }
    return 0;
}
