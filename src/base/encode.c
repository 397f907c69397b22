/*
 * encode: hex, base64 and the check of UTF-8. Decoders are strict: what they accept, an encoder could have written.
 */
#include "base/encode.h"

static char *hex_encode(const void *bytes, size_t len, const char *digits, char *out) {
    const uint8_t *in = bytes;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * len] = '\0';
    return out;
}

char *hex_lower(const void *bytes, size_t len, char *out) { return hex_encode(bytes, len, "0123456789abcdef", out); }

char *hex_upper(const void *bytes, size_t len, char *out) { return hex_encode(bytes, len, "0123456789ABCDEF", out); }

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(struct slice text, uint8_t *out) {
    if (text.len % 2)
        return false;
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_value(text.ptr[i]), low = hex_value(text.ptr[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i / 2] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void base64_encode(struct slice bytes, struct sbuf *out) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = (const uint8_t *)bytes.ptr;
    char *to = sbuf_reserve(out, BASE64_SIZE(bytes.len));
    if (!to) {
        out->overflow = true;
        return;
    }
    for (size_t left = bytes.len; left > 0; in += 3, to += 4) {
        size_t taken = left < 3 ? left : 3;
        uint32_t group = (uint32_t)in[0] << 16;
        if (taken > 1)
            group |= (uint32_t)in[1] << 8;
        if (taken > 2)
            group |= in[2];
        to[0] = alphabet[group >> 18];
        to[1] = alphabet[group >> 12 & 63];
        to[2] = taken > 1 ? alphabet[group >> 6 & 63] : '=';
        to[3] = taken > 2 ? alphabet[group & 63] : '=';
        left -= taken;
    }
    sbuf_commit(out, BASE64_SIZE(bytes.len));
}

int base64_value(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_white(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool base64_decode(struct slice text, struct sbuf *out) {
    size_t digits = 0, padding = 0, size = 0;
    uint32_t bits = 0;
    char *to = sbuf_reserve(out, text.len / 4 * 3 + 3);
    if (!to) {
        out->overflow = true;
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_white(c))
            continue;
        if (c == '=') {
            padding++;
            continue;
        }
        int value = base64_value(c);
        if (value < 0 || padding)
            return false;
        bits = bits << 6 | (uint32_t)value;
        digits++;
        if (digits % 4 != 1)
            to[size++] = (char)(bits >> (6 - 2 * ((digits - 1) % 4)));
    }
    /* What is left of the last group: no lone digit, whole padding or none, and no bits that say nothing. */
    size_t rest = digits % 4;
    uint32_t unused = rest == 2 ? 15 : rest == 3 ? 3 : 0;
    if (rest == 1 || (padding && padding != (4 - rest) % 4) || (bits & unused))
        return false;
    sbuf_commit(out, size);
    return true;
}

void base64url_encode(struct slice bytes, struct sbuf *out) {
    size_t before = out->len, padding = (3 - bytes.len % 3) % 3;
    base64_encode(bytes, out);
    if (out->overflow || !out->data)
        return;
    out->len -= padding;
    char *text = out->data + out->start;
    for (size_t i = before; i < out->len; i++) {
        if (text[i] == '+')
            text[i] = '-';
        else if (text[i] == '/')
            text[i] = '_';
    }
}

static int base64url_value(char c) {
    if (c == '+' || c == '/')
        return -1;
    return base64_value(c == '-' ? '+' : c == '_' ? '/' : c);
}

bool base64url_decode(struct slice text, struct sbuf *out) {
    size_t rest = text.len % 4, size = text.len / 4 * 3 + (rest ? rest - 1 : 0);
    uint32_t bits = 0;
    uint8_t *to = rest == 1 ? NULL : (uint8_t *)sbuf_reserve(out, size);
    if (!to)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int value = base64url_value(text.ptr[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 0)
            *to++ = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    if ((rest == 2 && (bits & 15)) || (rest == 3 && (bits & 3)))
        return false;
    sbuf_commit(out, size);
    return true;
}

size_t utf8_length(struct slice s) {
    const uint8_t *in = (const uint8_t *)s.ptr;
    if (s.len == 0)
        return 0;
    if (in[0] < 0x80)
        return 1;

    /* The second byte's range is what rules out overlong forms, surrogates and values past U+10FFFF. */
    size_t len = in[0] >= 0xf0 ? 4 : in[0] >= 0xe0 ? 3 : 2;
    uint8_t low = 0x80, high = 0xbf;
    if (in[0] < 0xc2 || in[0] > 0xf4 || s.len < len)
        return 0;
    if (in[0] == 0xe0)
        low = 0xa0;
    else if (in[0] == 0xed)
        high = 0x9f;
    else if (in[0] == 0xf0)
        low = 0x90;
    else if (in[0] == 0xf4)
        high = 0x8f;
    if (in[1] < low || in[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((in[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}
