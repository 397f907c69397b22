/*
 * hop: the one table of header names that do not pass. proxy/forward asks it for requests, responses and trailers.
 * Names are compared as an upstream that makes environment variables of them would see them: case folded, and "_" the
 * same as "-" (CGI, WSGI, PHP), so that "Cf_Client_Cert_Sha256" cannot pose as the header we set (sec-12).
 */
#include "http/hop.h"

#include "h1_grammar_priv.h"

#define NAME_MAX_BYTES 128

/* RFC 9110 7.6.1, and what is written anew by h1_write. A trailing "*" stands for any rest, the empty one included.
 * Each begins with a letter, see first_letters(). */
static const char *const hop_by_hop_names[] = {
    "connection",          "content-length",   "expect", "http2-settings", "keep-alive",        "proxy-authenticate",
    "proxy-authorization", "proxy-connection", "te",     "trailer",        "transfer-encoding", "upgrade",
};

/* Who the client is, how it came to us and what it asked for: only sallyport says that, or nobody. All of
 * x-forwarded-*, because peers put users and groups there; x-original-* and x-rewrite-url, because there are frameworks
 * that take the path from them, which is not the one that policy judged (sec-43). */
static const char *const reserved_names[] = {
    "cf-access-*",    "cf-cert-*",     "cf-client-cert*",  "cf-connecting-ip*", "cf-ray",
    "client-cert",    "client-cert-*", "early-data",       "forwarded",         "ssl-client-*",
    "true-client-ip", "x-amzn-mtls-*", "x-arr-clientcert", "x-client-cert*",    "x-forwarded-*",
    "x-original-*",   "x-real-ip",     "x-rewrite-url",    "x-sallyport-*",     "x-ssl-*",
};

static char fold(char c) { return c == '_' ? '-' : ascii_lower(c); }

/* pattern is in folded form. */
static bool matches(struct slice name, const char *pattern) {
    size_t i = 0;
    while (i < name.len && pattern[i] && pattern[i] != '*' && fold(name.ptr[i]) == pattern[i]) {
        i++;
    }
    return pattern[i] == '*' || (i == name.len && !pattern[i]);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A bit for each letter that a pattern begins with: nearly every name is told apart by its first. */
static uint32_t first_letters(const char *const *patterns, size_t count) {
    uint32_t letters = 0;
    for (size_t i = 0; i < count; i++) {
        letters |= UINT32_C(1) << (patterns[i][0] - 'a');
    }
    return letters;
}

static bool matches_any(struct slice name, uint32_t letters, const char *const *patterns, size_t count) {
    char first = name.len ? ascii_lower(name.ptr[0]) : '\0';
    unsigned letter = (unsigned)(first - 'a');
    if (letter >= 26 || !(letters >> letter & 1)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (patterns[i][0] == first && matches(name, patterns[i])) {
            return true;
        }
    }
    return false;
}

bool header_is_hop_by_hop(struct slice name) {
    static uint32_t letters;
    letters = letters ? letters : first_letters(hop_by_hop_names, COUNT(hop_by_hop_names));
    return matches_any(name, letters, hop_by_hop_names, COUNT(hop_by_hop_names));
}

bool header_is_reserved(struct slice name) {
    static uint32_t letters;
    letters = letters ? letters : first_letters(reserved_names, COUNT(reserved_names));
    return matches_any(name, letters, reserved_names, COUNT(reserved_names));
}

bool header_is_like(struct slice name, const char *pattern) { return matches(name, pattern); }

bool header_is_name(struct slice name) {
    for (size_t i = 0; i < name.len; i++) {
        if (!h1_is_tchar(name.ptr[i])) {
            return false;
        }
    }
    return name.len > 0 && name.len <= NAME_MAX_BYTES;
}

bool header_is_same(struct slice a, struct slice b) {
    size_t i = 0;
    while (i < a.len && i < b.len && fold(a.ptr[i]) == fold(b.ptr[i])) {
        i++;
    }
    return i == a.len && i == b.len;
}

bool header_is_nominated(const struct headers *headers, struct slice name) {
    return headers_has_token(headers, SLICE("Connection"), name);
}
