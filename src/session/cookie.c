/* cookie: see the header. Called by proxy/forward, by the step that asks for a token, and by the fuzzer. */
#include "session/cookie.h"

#include "base/clock.h"
#include "base/encode.h"

/* One character of a name as the most lenient reader sees it, and how many bytes it took. */
static char fold(struct slice s, size_t *len_out) {
    uint8_t byte;
    char c = s.ptr[0];
    *len_out = 1;
    if (c == '%' && s.len >= 3 && hex_decode(slice_make(s.ptr + 1, 2), &byte)) {
        c = (char)byte;
        *len_out = 3;
    }
    if (c == '.' || c == ' ' || c == '[' || c == '-' || c == '+')
        return '_';
    return ascii_lower(c);
}

/* What some reader trims off a name: Python takes 0x85 and 0xa0 for white space, and nobody has such bytes in names. */
static bool is_trimmed(char c) { return (unsigned char)c <= ' ' || (unsigned char)c >= 0x7f; }

/* Does the name, followed by "=", stand at the beginning of s? */
static bool begins_with_name(struct slice s) {
    static const char name[] = "cf_authorization";
    size_t len;
    for (const char *c = name; *c; c++) {
        if (s.len == 0 || fold(s, &len) != *c)
            return false;
        s = slice_after(s, len);
    }
    while (s.len > 0 && is_trimmed(s.ptr[0]))
        s = slice_after(s, 1);
    return s.len == 0 || s.ptr[0] == '=' || s.ptr[0] == ']' || s.ptr[0] == '[';
}

/* At its beginning, or behind what somebody takes for the end of another cookie. */
static bool could_be_ours(struct slice crumb) {
    bool is_start = true;
    for (; crumb.len > 0; crumb = slice_after(crumb, 1)) {
        char c = crumb.ptr[0];
        if (is_start && begins_with_name(crumb))
            return true;
        is_start = is_trimmed(c) || c == ',' || c == '"';
    }
    return false;
}

struct slice cookie_strip(struct slice header, struct arena *arena) {
    struct slice rest = header, crumb;
    size_t len = 0;
    bool is_found = false;
    while (rest.ptr && !is_found) {
        rest = slice_cut(rest, ';', &crumb);
        is_found = could_be_ours(crumb);
    }
    if (!is_found)
        return header;
    char *kept = arena_bytes(arena, header.len + 1);
    for (rest = header; rest.ptr;) {
        rest = slice_cut(rest, ';', &crumb);
        if (could_be_ours(crumb))
            continue;
        if (len > 0)
            kept[len++] = ';';
        else if (crumb.len > 0 && crumb.ptr[0] == ' ')
            crumb = slice_after(crumb, 1);
        memcpy(kept + len, crumb.ptr, crumb.len);
        len += crumb.len;
    }
    return slice_make(kept, len);
}

size_t cookie_find(struct slice header, struct slice *value_out) {
    struct slice crumb, name;
    size_t count = 0;
    while (header.ptr) {
        header = slice_cut(header, ';', &crumb);
        if (!could_be_ours(crumb))
            continue;
        count++;
        struct slice value = slice_cut(slice_trim(crumb), '=', &name);
        if (slice_eq_str(name, COOKIE_NAME))
            *value_out = value;
    }
    return count;
}

static void write_path(struct slice path, struct sbuf *out) {
    sbuf_append_str(out, "; Path=");
    sbuf_append(out, path.len > 0 ? path : SLICE("/"));
}

void cookie_write(struct slice token, int64_t expires_at, const struct cookie_attributes *attributes,
                  struct sbuf *out) {
    static const char *const same_sites[] = {"none", "lax", "strict"};
    char when[CLOCK_TEXT_SIZE];
    sbuf_append_str(out, COOKIE_NAME "=");
    sbuf_append(out, token);
    sbuf_printf(out, "; Expires=%s", clock_format_http((time_t)expires_at, when));
    write_path(attributes->path, out);
    sbuf_printf(out, "; Secure; SameSite=%s%s", same_sites[attributes->same_site],
                attributes->http_only ? "; HttpOnly" : "");
}

void cookie_write_removal(struct slice path, struct sbuf *out) {
    sbuf_append_str(out, COOKIE_NAME "=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0");
    write_path(path, out);
    sbuf_append_str(out, "; Secure; SameSite=none");
}

struct slice cookie_path(const char *domain) {
    struct slice whole = slice_of(domain), path = slice_after(whole, slice_index(whole, '/'));
    size_t star = slice_index(path, '*');
    if (star < path.len) {
        path = slice_first(path, star);
        while (path.len > 0 && path.ptr[path.len - 1] != '/')
            path.len--;
    }
    while (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    /* What would end the attribute cannot be said in it. */
    return slice_index(path, ';') < path.len ? SLICE_NONE : path;
}
