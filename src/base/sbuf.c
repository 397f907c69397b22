/*
 * sbuf: the growing byte buffer. The allocation is always one byte larger than the content may need, so that
 * sbuf_text() can put its NUL without another look at the limit.
 */
#include "base/sbuf.h"

#include <stdint.h>
#include <stdio.h>

#include "base/encode.h"
#include "base/err.h"
#include "base/mem.h"

#define SBUF_FIRST 256
#define SBUF_KEEP (16 * 1024)

void sbuf_init(struct sbuf *buf, size_t limit) { *buf = (struct sbuf){.limit = limit}; }

void sbuf_fini(struct sbuf *buf) {
    mem_free(buf->data);
    sbuf_init(buf, buf->limit);
}

void sbuf_clear(struct sbuf *buf) {
    buf->start = buf->len = 0;
    buf->overflow = false;
}

char *sbuf_reserve(struct sbuf *buf, size_t want) {
    if (want > sbuf_room(buf))
        return NULL;
    size_t need = buf->len + want + 1;
    if (buf->data && buf->start + need <= buf->cap)
        return buf->data + buf->start + buf->len;

    /* Moving the content down pays only when it is the smaller part; else a queue would be copied again and again. */
    if (buf->data && need <= buf->cap && buf->start >= buf->len) {
        memmove(buf->data, buf->data + buf->start, buf->len);
    } else {
        size_t cap = buf->cap < SBUF_FIRST ? SBUF_FIRST : buf->cap * 2;
        if (cap > buf->limit)
            cap = buf->limit + 1;
        if (cap < need)
            cap = need;
        char *data = mem_resize(NULL, cap);
        if (buf->data)
            memcpy(data, buf->data + buf->start, buf->len);
        mem_free(buf->data);
        buf->data = data;
        buf->cap = cap;
    }
    buf->start = 0;
    return buf->data + buf->len;
}

void sbuf_commit(struct sbuf *buf, size_t added) {
    INVARIANT(added == 0 || buf->start + buf->len + added < buf->cap);
    buf->len += added;
}

void sbuf_append_growing(struct sbuf *buf, struct slice s) {
    char *place = sbuf_reserve(buf, s.len);
    if (!place) {
        buf->overflow = true;
        return;
    }
    memcpy(place, s.ptr, s.len);
    buf->len += s.len;
}

void sbuf_append_u64(struct sbuf *buf, unsigned long long value) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    sbuf_append(buf, slice_make(digits + at, sizeof digits - at));
}

void sbuf_append_printable(struct sbuf *buf, struct slice s) {
    while (s.len) {
        size_t len = utf8_length(s);
        unsigned char c = (unsigned char)s.ptr[0];
        bool is_control = c < 0x20 || c == 0x7f || (c == 0xc2 && len == 2 && (unsigned char)s.ptr[1] < 0xa0);
        if (len == 0 || is_control) {
            sbuf_printf(buf, "\\x%02x", c);
            len = 1;
        } else {
            sbuf_append(buf, slice_first(s, len));
        }
        s = slice_after(s, len);
    }
}

void sbuf_printf(struct sbuf *buf, const char *format, ...) {
    va_list args;
    va_start(args, format);
    sbuf_vprintf(buf, format, args);
    va_end(args);
}

void sbuf_vprintf(struct sbuf *buf, const char *format, va_list args) {
    char small[256];
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(small, sizeof small, format, args);
    INVARIANT(len >= 0);
    if ((size_t)len < sizeof small) {
        sbuf_append(buf, slice_make(small, (size_t)len));
    } else {
        char *place = sbuf_reserve(buf, (size_t)len);
        if (place) {
            vsnprintf(place, (size_t)len + 1, format, again);
            buf->len += (size_t)len;
        } else {
            buf->overflow = true;
        }
    }
    va_end(again);
}

void sbuf_consume(struct sbuf *buf, size_t n) {
    INVARIANT(n <= buf->len);
    buf->start += n;
    buf->len -= n;
    if (buf->len > 0)
        return;
    buf->start = 0;
    if (buf->cap > SBUF_KEEP) {
        mem_free(buf->data);
        buf->data = NULL;
        buf->cap = 0;
    }
}

const char *sbuf_text(struct sbuf *buf) {
    if (!buf->data)
        return "";
    buf->data[buf->start + buf->len] = '\0';
    return buf->data + buf->start;
}
