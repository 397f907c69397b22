/*
 * target: authority and path, normalised once. Called by h1_parse for requests and by explain for URLs;
 * host_normalise() is also the one normaliser for SNI and configuration (sec-05). Refuses what servers are known to
 * read in more than one way; the reasons are static sentences for the 400 page.
 */
#include "http/target.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define HOST_MAX 253
#define LABEL_MAX 63

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_alnum(char c) { return is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z'); }

static int hex_value(char c) {
    if (is_digit(c)) {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~" */
static bool is_unreserved(char c) { return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~'; }

/* pchar = unreserved / pct-encoded / sub-delims / ":" / "@"      without pct-encoded, and without ";" */
static bool is_path_char(char c) { return is_unreserved(c) || (c && strchr("!$&'()*+,=:@", c)); }

/*
 * query = *( pchar / "/" / "?" )
 * and the other printable characters that browsers leave as they are in a query (WHATWG URL, query percent-encode set).
 */
static bool is_query_char(char c) { return c > 0x20 && c < 0x7f && c != '"' && c != '#' && c != '<' && c != '>'; }

/* ---- host ---- */

/* IPv4address = dec-octet "." dec-octet "." dec-octet "." dec-octet */
static bool is_ipv4(struct slice text) {
    for (int i = 0; i < 4; i++) {
        struct slice octet;
        text = slice_cut(text, '.', &octet);
        unsigned long long value;
        if (octet.len > 3 || !slice_to_u64(octet, &value) || value > 255 || (octet.len > 1 && octet.ptr[0] == '0')) {
            return false;
        }
        if ((i < 3) != (text.ptr != NULL)) {
            return false;
        }
    }
    return true;
}

/* IP-literal = "[" IPv6address "]"      no zone, no IPvFuture; written in the canonical form of RFC 5952 */
static bool normalise_ipv6(struct slice literal, char *out) {
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (literal.len < 4 || literal.len - 2 >= sizeof(text) || literal.ptr[literal.len - 1] != ']') {
        return false;
    }
    memcpy(text, literal.ptr + 1, literal.len - 2);
    text[literal.len - 2] = '\0';
    if (strlen(text) != literal.len - 2 || inet_pton(AF_INET6, text, &address) != 1 ||
        !inet_ntop(AF_INET6, &address, text, sizeof(text))) {
        return false;
    }
    out[0] = '[';
    size_t len = strlen(text);
    memcpy(out + 1, text, len);
    out[len + 1] = ']';
    out[len + 2] = '\0';
    return true;
}

/* label = let-dig [ *61( let-dig / "-" ) let-dig ]      (RFC 1123 2.1) */
static bool is_label(struct slice label) {
    if (label.len == 0 || label.len > LABEL_MAX || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < label.len; i++) {
        if (!is_alnum(label.ptr[i]) && label.ptr[i] != '-') {
            return false;
        }
    }
    return true;
}

static bool is_all_digits(struct slice s) {
    for (size_t i = 0; i < s.len; i++) {
        if (!is_digit(s.ptr[i])) {
            return false;
        }
    }
    return true;
}

/* name = label *( "." label )      a name that ends in a number could be read as an address: then it must be one */
static bool is_host_name(struct slice name) {
    struct slice rest = name, label = SLICE_NONE;
    while (rest.ptr) {
        rest = slice_cut(rest, '.', &label);
        if (!is_label(label)) {
            return false;
        }
    }
    return !is_all_digits(label) || is_ipv4(name);
}

bool host_normalise(struct slice host, char *out) {
    if (host.len && host.ptr[0] == '[') {
        return normalise_ipv6(host, out);
    }
    if (host.len && host.ptr[host.len - 1] == '.') {
        host.len--;
    }
    if (host.len == 0 || host.len > HOST_MAX || !is_host_name(host)) {
        return false;
    }
    for (size_t i = 0; i < host.len; i++) {
        out[i] = ascii_lower(host.ptr[i]);
    }
    out[host.len] = '\0';
    return true;
}

/* port = 1*5DIGIT, 1 to 65535 */
static bool parse_port(struct slice digits, uint16_t *port_out) {
    unsigned long long value;
    if (digits.len > 5 || !slice_to_u64(digits, &value) || value == 0 || value > UINT16_MAX) {
        return false;
    }
    *port_out = (uint16_t)value;
    return true;
}

/* authority = host [ ":" port ]      no userinfo */
const char *target_parse_authority(struct slice authority, struct arena *arena, struct target *target_out) {
    char normal[HOST_MAX + 1];
    struct slice host = authority;
    uint16_t port = 0;

    if (slice_is_empty(authority)) {
        return "an empty host";
    }
    size_t literal_end = authority.ptr[0] == '[' ? slice_index(authority, ']') : 0;
    size_t colon = literal_end + slice_index(slice_after(authority, literal_end), ':');
    if (colon < authority.len) {
        host = slice_first(authority, colon);
        if (!parse_port(slice_after(authority, colon + 1), &port)) {
            return "a malformed port in the host";
        }
    }
    if (!host_normalise(host, normal)) {
        return "a malformed host";
    }
    target_out->host = arena_dup(arena, slice_of(normal));
    target_out->authority = arena_dup(arena, authority);
    target_out->port = port;
    return NULL;
}

/* ---- path ---- */

/* Whether two encoded bytes begin an overlong UTF-8 form: %c0%af is "/" to a careless decoder (RFC 3629 section 3). */
static bool is_overlong(int first, int second) {
    if (second < 0x80 || second > 0xbf) {
        return false;
    }
    return first == 0xc0 || first == 0xc1 || (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
}

/* What is wrong with an encoded byte, or NULL. previous is the encoded byte right before it, or -1. */
static const char *judge_encoded(int byte, int previous) {
    if (byte == '/' || byte == '\\') {
        return "an encoded slash or backslash in the path";
    }
    if (byte == ';') {
        return "an encoded semicolon in the path";
    }
    if (byte < 0x20 || byte == 0x7f) {
        return "an encoded control character in the path";
    }
    return is_overlong(previous, byte) ? "an overlong UTF-8 sequence in the path" : NULL;
}

/* pct-encoded = "%" HEXDIG HEXDIG      at text.ptr[at]; -1 when it is not one */
static int decode_percent(struct slice text, size_t at) {
    if (text.len - at < 3) {
        return -1;
    }
    int high = hex_value(text.ptr[at + 1]), low = hex_value(text.ptr[at + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static const char *judge_plain(char c) {
    if (c == '\\') {
        return "a backslash in the path";
    }
    if (c == ';') {
        return "a semicolon in the path";
    }
    if (c == '#') {
        return "a fragment in the target";
    }
    return is_path_char(c) ? NULL : "a character that is not allowed in a path";
}

/* segment = *pchar      written in normal form (RFC 3986 6.2.2.1, 6.2.2.2) at out; never longer than it came */
static const char *normalise_segment(struct slice segment, char *out, size_t *len_out) {
    size_t len = 0;
    int previous = -1;
    for (size_t i = 0; i < segment.len; i++) {
        const char *wrong;
        char c = segment.ptr[i];
        if (c != '%') {
            if ((wrong = judge_plain(c))) {
                return wrong;
            }
            out[len++] = c;
            previous = -1;
            continue;
        }
        int byte = decode_percent(segment, i);
        if (byte < 0) {
            return "an incomplete percent-encoding in the path";
        }
        if ((wrong = judge_encoded(byte, previous))) {
            return wrong;
        }
        if (is_unreserved((char)byte)) {
            out[len++] = (char)byte;
        } else {
            out[len++] = '%';
            out[len++] = "0123456789ABCDEF"[byte >> 4];
            out[len++] = "0123456789ABCDEF"[byte & 15];
        }
        previous = byte;
        i += 2;
    }
    *len_out = len;
    return NULL;
}

/*
 * absolute-path = 1*( "/" segment )      written in normal form to out, which has room for path.len bytes
 * Empty segments are merged and dot segments resolved as they come, on what was decoded (RFC 3986 5.2.4).
 */
static const char *normalise_path(struct slice path, char *out, size_t *len_out) {
    size_t len = 0;
    out[len++] = '/';
    struct slice rest = slice_after(path, 1);
    while (rest.ptr) {
        struct slice segment;
        size_t added = 0;
        rest = slice_cut(rest, '/', &segment);
        const char *wrong = normalise_segment(segment, out + len, &added);
        if (wrong) {
            return wrong;
        }
        struct slice normal = slice_make(out + len, added);
        if (slice_eq_str(normal, "..")) {
            if (len == 1) {
                return "a path above the root";
            }
            do {
                len--;
            } while (out[len - 1] != '/');
        } else if (added && !slice_eq_str(normal, ".")) {
            len += added;
            if (rest.ptr) {
                out[len++] = '/';
            }
        }
    }
    *len_out = len;
    return NULL;
}

/* ---- for comparison ---- */

/* The byte that stands encoded at path.ptr[at], when it means the same in the clear (RFC 3986 sub-delims, ":", "@"); 0
 * for any other. */
static char decode_equivalent(struct slice path, size_t at) {
    int byte = path.ptr[at] == '%' ? decode_percent(path, at) : -1;
    return byte > 0 && byte < 0x80 && strchr("!$&'()+,=:@", byte) ? (char)byte : 0;
}

static bool is_in_route_form(struct slice path, bool is_pattern) {
    for (size_t i = 0; i < path.len; i++) {
        if ((path.ptr[i] == '*' && !is_pattern) || decode_equivalent(path, i)) {
            return false;
        }
    }
    return true;
}

struct slice target_route_path(struct slice path, bool is_pattern, struct arena *arena) {
    if (is_in_route_form(path, is_pattern)) {
        return path;
    }
    char *out = arena_bytes(arena, 3 * path.len);
    size_t len = 0;
    for (size_t i = 0; i < path.len; i++) {
        char decoded = decode_equivalent(path, i);
        if (path.ptr[i] == '*' && !is_pattern) {
            memcpy(out + len, "%2A", 3);
            len += 3;
        } else {
            out[len++] = decoded ? decoded : path.ptr[i];
            i += decoded ? 2 : 0;
        }
    }
    return slice_make(out, len);
}

/* ---- targets ---- */

/* origin-form = absolute-path [ "?" query ]      asterisk-form = "*"      (RFC 9112 3.2) */
const char *target_parse_path(struct slice origin_form, bool is_options, struct arena *arena,
                              struct target *target_out) {
    if (is_options && slice_eq_str(origin_form, "*")) {
        target_out->path = target_out->path_and_query = SLICE("*");
        target_out->route_path = SLICE("/"); /* who may ask about the server is who may go to its root */
        target_out->query = SLICE_NONE;
        return NULL;
    }
    if (slice_is_empty(origin_form) || origin_form.ptr[0] != '/') {
        return "a target that is neither a path nor a URL";
    }

    struct slice raw_path;
    struct slice query = slice_cut(origin_form, '?', &raw_path);
    for (size_t i = 0; i < query.len; i++) {
        if (!is_query_char(query.ptr[i])) {
            return query.ptr[i] == '#' ? "a fragment in the target" : "a character that is not allowed in a query";
        }
    }

    char *out = arena_bytes(arena, origin_form.len + 1);
    size_t len = 0;
    const char *wrong = normalise_path(raw_path, out, &len);
    if (wrong) {
        return wrong;
    }
    target_out->path = slice_make(out, len);
    target_out->route_path = target_route_path(target_out->path, false, arena);
    target_out->query = SLICE_NONE;
    if (query.ptr) {
        out[len++] = '?';
        memcpy(out + len, query.ptr, query.len);
        target_out->query = slice_make(out + len, query.len);
        len += query.len;
    }
    target_out->path_and_query = slice_make(out, len);
    return NULL;
}

/* absolute-URI = ( "http" / "https" ) "://" authority [ absolute-path ] [ "?" query ] */
const char *target_parse_url(struct slice url, struct arena *arena, struct target *target_out) {
    *target_out = (struct target){.query = SLICE_NONE};
    if (slice_starts_with_nocase(url, SLICE("https://"))) {
        url = slice_after(url, 8);
    } else if (slice_starts_with_nocase(url, SLICE("http://"))) {
        url = slice_after(url, 7);
    } else {
        return "a URL that begins with neither https:// nor http://";
    }

    size_t end = 0;
    while (end < url.len && url.ptr[end] != '/' && url.ptr[end] != '?' && url.ptr[end] != '#') {
        end++;
    }
    const char *wrong = target_parse_authority(slice_first(url, end), arena, target_out);
    if (wrong) {
        return wrong;
    }
    struct slice path = slice_after(url, end);
    if (path.len == 0 || path.ptr[0] != '/') {
        char *rooted = arena_bytes(arena, path.len + 1);
        rooted[0] = '/';
        memcpy(rooted + 1, path.ptr, path.len);
        path = slice_make(rooted, path.len + 1);
    }
    return target_parse_path(path, false, arena, target_out);
}
