/* pem: PEM as a stream (RFC 7468, without encapsulated headers). Lines that are no part of a block of our label are
 * skipped. */
#include "pem_priv.h"

#include <string.h>

#include "base/encode.h"

#define LINE_MAX_KEPT 80

void pem_stream_init(struct pem_stream *pem, crl_read_fn *read, void *source, const char *label) {
    *pem = (struct pem_stream){.read = read, .source = source, .label = label, .place = PEM_OUTSIDE};
}

/* The next character, -1 at the end; pem_peek leaves it there. */
static int pem_peek(struct pem_stream *pem) {
    if (pem->start == pem->end) {
        long got = pem->has_failed ? -1 : pem->read(pem->source, pem->window, sizeof(pem->window));
        pem->has_failed = got < 0;
        pem->start = 0;
        pem->end = got > 0 ? (size_t)got : 0;
        if (got <= 0)
            return -1;
    }
    return (unsigned char)pem->window[pem->start];
}

static int pem_get(struct pem_stream *pem) {
    int c = pem_peek(pem);
    if (c >= 0)
        pem->start++;
    return c;
}

/* The rest of the line, without trailing blanks, at most LINE_MAX_KEPT bytes of it. False at the end of the text. */
static bool take_line(struct pem_stream *pem, char *line, size_t *len_out) {
    size_t len = 0;
    int c = pem_get(pem);
    if (c < 0)
        return false;
    for (; c >= 0 && c != '\n'; c = pem_get(pem))
        if (len < LINE_MAX_KEPT)
            line[len++] = (char)c;
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    *len_out = len;
    return true;
}

static bool is_boundary(const struct pem_stream *pem, struct slice line, const char *word) {
    size_t word_len = strlen(word), label_len = strlen(pem->label);
    return line.len == word_len + label_len + 5 && memcmp(line.ptr, word, word_len) == 0 &&
           memcmp(line.ptr + word_len, pem->label, label_len) == 0 && memcmp(line.ptr + line.len - 5, "-----", 5) == 0;
}

bool pem_stream_find(struct pem_stream *pem) {
    char line[LINE_MAX_KEPT];
    size_t len;
    while (take_line(pem, line, &len)) {
        if (is_boundary(pem, slice_make(line, len), "-----BEGIN ")) {
            pem->place = PEM_INSIDE;
            pem->bits = 0;
            pem->group = 0;
            return true;
        }
    }
    return false;
}

/* After '=': what a last group of two or three characters holds. Bytes written, -1 if it is none. */
static int finish_group(struct pem_stream *pem, uint8_t *to) {
    int c = '=';
    for (int missing = 4 - pem->group; missing > 1 && c == '='; missing--)
        c = pem_get(pem);
    if (pem->group < 2 || c != '=')
        return -1;
    int bytes = pem->group - 1;
    uint32_t bits = pem->bits << (6 * (4 - pem->group));
    to[0] = (uint8_t)(bits >> 16);
    if (bytes == 2)
        to[1] = (uint8_t)(bits >> 8);
    pem->group = 0;
    pem->place = PEM_AFTER_PADDING;
    return bytes;
}

/* At '-': the END line, or a broken block. */
static long finish_block(struct pem_stream *pem, long done) {
    char line[LINE_MAX_KEPT];
    size_t len = 0;
    bool ended = pem->group == 0 && take_line(pem, line, &len) && is_boundary(pem, slice_make(line, len), "-----END ");
    pem->place = ended ? PEM_OUTSIDE : PEM_BROKEN;
    return ended ? done : -1;
}

long pem_stream_read(void *arg, void *buf, size_t size) {
    struct pem_stream *pem = arg;
    uint8_t *to = buf;
    size_t done = 0;
    if (pem->place == PEM_OUTSIDE)
        return 0;
    while (pem->place != PEM_BROKEN && size - done >= 3) {
        int c = pem_peek(pem), value = base64_value((char)c);
        if (c == '-')
            return finish_block(pem, (long)done);
        if (c >= 0)
            pem->start++;
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            continue;
        if (c == '=' && pem->place == PEM_INSIDE) {
            int bytes = finish_group(pem, to + done);
            pem->place = bytes < 0 ? PEM_BROKEN : PEM_AFTER_PADDING;
            done += bytes > 0 ? (size_t)bytes : 0;
            continue;
        }
        if (value < 0 || pem->place == PEM_AFTER_PADDING) {
            pem->place = PEM_BROKEN;
            break;
        }
        pem->bits = pem->bits << 6 | (uint32_t)value;
        if (++pem->group == 4) {
            to[done++] = (uint8_t)(pem->bits >> 16);
            to[done++] = (uint8_t)(pem->bits >> 8);
            to[done++] = (uint8_t)pem->bits;
            pem->bits = 0;
            pem->group = 0;
        }
    }
    return pem->place == PEM_BROKEN ? -1 : (long)done;
}
