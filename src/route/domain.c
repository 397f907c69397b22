/*
 * domain: grammar and order of application domains (facts 2.6; the contract is in route/application_table.h). Pure:
 * text to value, and comparisons of values. Hosts and paths go through the normalisers of http/target, so that a domain
 * is written in the very form in which a request arrives.
 */
#include "domain_priv.h"

#include "base/glob.h"
#include "http/target.h"

#define NAME_SIZE 256 /* host_normalise() wants 254 */

/* ---- grammar ---- */

/* No piece between two separators holds two stars. */
static bool has_single_stars(struct slice text, char separator) {
    size_t stars = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == separator)
            stars = 0;
        else if (text.ptr[i] == '*' && stars++)
            return false;
    }
    return true;
}

/* host [ ":" port ]: cuts the port off; false when what follows the colon is none. */
static bool drop_port(struct slice *host) {
    size_t colon = host->len;
    for (size_t i = 0; i < host->len && colon == host->len; i++) {
        if (host->ptr[i] == '[')
            i = slice_index(*host, ']');
        else if (host->ptr[i] == ':')
            colon = i;
    }
    if (colon == host->len)
        return true;
    unsigned long long port;
    if (!slice_to_u64(slice_after(*host, colon + 1), &port) || port == 0 || port > 65535)
        return false;
    host->len = colon;
    return true;
}

/* A starred host is judged with a letter in each star's place. */
static bool normalise_host(struct slice host, struct arena *arena, struct slice *host_out) {
    char stand_in[NAME_SIZE], name[NAME_SIZE];
    if (host.len >= sizeof stand_in)
        return false;
    for (size_t i = 0; i < host.len; i++)
        stand_in[i] = host.ptr[i] == '*' ? 'x' : host.ptr[i];
    if (!host_normalise(slice_make(stand_in, host.len), name))
        return false;
    for (size_t i = 0; i < host.len && name[i]; i++) {
        if (host.ptr[i] == '*')
            name[i] = '*';
    }
    *host_out = arena_dup(arena, slice_of(name));
    return true;
}

static int parse_host(struct slice text, struct arena *arena, struct domain *domain, struct err *err) {
    if (!drop_port(&text))
        return err_set(err, "what follows the host's \":\" is not a port");
    if (!has_single_stars(text, '.'))
        return err_set(err, "more than one \"*\" between two dots of the host");
    if (!normalise_host(text, arena, &domain->host))
        return err_set(err, "\"" SLICE_FMT "\" is not a host name", SLICE_ARG(text));
    domain->suffix = domain->host;
    for (size_t i = 0; i < domain->host.len; i++) {
        if (domain->host.ptr[i] != '*')
            continue;
        struct slice rest = slice_after(domain->host, i);
        domain->suffix = slice_after(rest, slice_index(rest, '.') + 1);
        domain->has_host_star = true;
    }
    return 0;
}

static int parse_path(struct slice text, struct arena *arena, struct domain *domain, struct err *err) {
    if (!has_single_stars(text, '/'))
        return err_set(err, "more than one \"*\" between two slashes of the path");
    struct target target = {.host = SLICE_NONE};
    const char *wrong = text.len ? target_parse_path(text, false, arena, &target) : NULL;
    if (wrong)
        return err_set(err, "%s", wrong);
    struct slice path = target_route_path(target.path, true, arena);
    if (slice_eq(path, SLICE("/*")))
        path = SLICE_NONE;
    while (path.len && path.ptr[path.len - 1] == '/')
        path.len--;
    size_t star = slice_index(path, '*');
    domain->path = domain->literal = path;
    domain->has_path_star = star < path.len;
    if (domain->has_path_star) {
        while (path.ptr[star] != '/')
            star--;
        domain->literal.len = star;
    }
    if (path.len == 0 || path.ptr[path.len - 1] != '*')
        domain->below = slice_of(arena_printf(arena, SLICE_FMT "/*", SLICE_ARG(path)));
    return 0;
}

int domain_parse(const char *text, struct arena *arena, struct domain *domain_out, struct err *err) {
    *domain_out = (struct domain){.host = SLICE_NONE};
    struct slice whole = slice_of(text);
    if (strstr(text, "://"))
        return err_set(err, "a domain is a host and a path, without a scheme");
    if (strpbrk(text, "?#"))
        return err_set(err, "a domain has no query and no fragment");
    size_t slash = slice_index(whole, '/');
    if (parse_host(slice_first(whole, slash), arena, domain_out, err) < 0)
        return -1;
    return parse_path(slice_after(whole, slash), arena, domain_out, err);
}

/* ---- matching ---- */

bool domain_host_matches(struct slice pattern, struct slice host) {
    while (pattern.ptr && host.ptr) {
        struct slice wanted, label;
        pattern = slice_cut(pattern, '.', &wanted);
        host = slice_cut(host, '.', &label);
        if (!glob_match(wanted, label))
            return false;
    }
    return !pattern.ptr && !host.ptr;
}

bool domain_path_matches(const struct domain *domain, struct slice path) {
    return glob_match(domain->path, path) || (domain->below.len && glob_match(domain->below, path));
}

/* ---- specificity ---- */

/* One label or segment: without a star, then the longer one, "*" last. */
static int compare_pieces(struct slice a, struct slice b) {
    bool a_starred = slice_index(a, '*') < a.len, b_starred = slice_index(b, '*') < b.len;
    if (a_starred != b_starred)
        return a_starred ? 1 : -1;
    if (!a_starred || a.len == b.len)
        return 0;
    return a.len > b.len ? -1 : 1;
}

/* The last label of *name, which loses it and its dot; ptr NULL when nothing is left. */
static struct slice take_last_label(struct slice *name) {
    size_t begin = name->len;
    while (begin > 0 && name->ptr[begin - 1] != '.')
        begin--;
    struct slice label = slice_make(name->ptr + begin, name->len - begin);
    *name = begin ? slice_first(*name, begin - 1) : SLICE_NONE;
    return label;
}

int domain_compare_hosts(struct slice a, struct slice b) {
    struct slice a_rest = a, b_rest = b;
    while (a_rest.ptr && b_rest.ptr) {
        struct slice a_label = take_last_label(&a_rest), b_label = take_last_label(&b_rest);
        int order = compare_pieces(a_label, b_label);
        if (order)
            return order;
    }
    if (a_rest.ptr || b_rest.ptr)
        return a_rest.ptr ? -1 : 1;
    return slice_compare(a, b);
}

static size_t count_segments(struct slice path) {
    size_t count = 0;
    for (size_t i = 0; i < path.len; i++)
        count += path.ptr[i] == '/';
    return count;
}

int domain_compare_paths(struct slice a, struct slice b) {
    size_t a_segments = count_segments(a), b_segments = count_segments(b);
    if (a_segments != b_segments)
        return a_segments > b_segments ? -1 : 1;
    struct slice a_rest = a, b_rest = b;
    while (a_rest.ptr && b_rest.ptr) {
        struct slice a_segment, b_segment;
        a_rest = slice_cut(a_rest, '/', &a_segment);
        b_rest = slice_cut(b_rest, '/', &b_segment);
        int order = compare_pieces(a_segment, b_segment);
        if (order)
            return order;
    }
    return slice_compare(a, b);
}
