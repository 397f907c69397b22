/*
 * reply: see the header. One struct reply_text holds what may be said under the hostname's `explain_denials`; the three
 * forms only lay it out.
 *
 * Which form: the best match of application/json, text/html and text/plain by Accept (RFC 9110 12.5.1). Who accepts
 * anything alike (curl's default, or no Accept at all) gets the line of text.
 */
#include "proxy/reply.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "deny_page_priv.h"

#define BODY_LIMIT (64 * 1024)

static const char type_json[] = "application/json";
static const char type_html[] = "text/html; charset=utf-8";
static const char type_text[] = "text/plain; charset=utf-8";

/* ---- which form ---- */

/* q of a media range in thousandths; 1000 without one. */
static int range_quality(struct slice parameters) {
    while (parameters.len > 0) {
        struct slice parameter;
        parameters = slice_cut(parameters, ';', &parameter);
        parameter = slice_trim(parameter);
        if (!slice_starts_with_nocase(parameter, SLICE("q=")))
            continue;
        struct slice value = slice_after(parameter, 2);
        if (value.len == 0 || (value.ptr[0] != '0' && value.ptr[0] != '1'))
            return 0;
        int quality = (value.ptr[0] - '0') * 1000, unit = 100;
        for (size_t i = 2; i < value.len && unit > 0; i++, unit /= 10)
            if (value.ptr[i] >= '0' && value.ptr[i] <= '9')
                quality += (value.ptr[i] - '0') * unit;
        return quality > 1000 ? 1000 : quality;
    }
    return 1000;
}

/* How well a type is accepted. */
struct preference {
    int quality; /* in thousandths; 0: not at all */
    int rank;    /* how exactly it is named: 3 type/subtype, 2 type/any, 1 any/any, 0 not */
    int place;   /* of the range in the header */
};

/* The most specific range that covers the type decides. */
static struct preference type_preference(struct slice accept, struct slice type, struct slice type_star) {
    struct preference best = {0, 0, 0};
    for (int place = 0; accept.len > 0; place++) {
        struct slice range, name;
        accept = slice_cut(accept, ',', &range);
        struct slice parameters = slice_cut(range, ';', &name);
        name = slice_trim(name);
        int rank = slice_eq_nocase(name, type)        ? 3
                   : slice_eq_nocase(name, type_star) ? 2
                   : slice_eq(name, SLICE("*/*"))     ? 1
                                                      : 0;
        if (rank > best.rank)
            best = (struct preference){range_quality(parameters), rank, place};
    }
    return best;
}

/* Of types accepted equally well, the one named more exactly, then the one named first: a script that asks for JSON,
 * plain text and then anything reads JSON. */
static bool is_preferred(struct preference a, struct preference b) {
    if (a.quality != b.quality)
        return a.quality > b.quality;
    if (a.quality == 0 || a.rank != b.rank)
        return a.quality > 0 && a.rank > b.rank;
    return a.place < b.place;
}

const char *reply_negotiate(struct slice accept) {
    struct preference text = type_preference(accept, SLICE("text/plain"), SLICE("text/*"));
    struct preference json = type_preference(accept, SLICE("application/json"), SLICE("application/*"));
    struct preference html = type_preference(accept, SLICE("text/html"), SLICE("text/*"));
    if (is_preferred(html, text))
        return is_preferred(json, html) ? type_json : type_html;
    return is_preferred(json, text) ? type_json : type_text;
}

/* ---- what is said ---- */

struct reply_text {
    int status;
    const char *message;
    const char *custom; /* the application's own words; NULL: it has none */
    const char *code;   /* NULL: not said */
    const char *detail; /* NULL: not said */
    const char *hint;   /* NULL: not said, or there is none */
};

/* 302: the application sends who is denied to a page of its own. */
static bool is_denial(int status) { return status == 401 || status == 403 || status == 302; }

static struct reply_text choose_text(const struct reply *reply) {
    struct reply_text text = {.status = reply->status ? reply->status : reason_status(reply->reason)};
    if (is_denial(text.status) && reply->application)
        text.custom = reply->application->deny_message;
    if (!is_denial(text.status))
        text.message = status_phrase(text.status);
    else if (text.custom)
        text.message = text.custom;
    else
        text.message = "Forbidden. You don't have permission to view this. Please contact your system administrator.";
    if (reply->explain != CONF_EXPLAIN_OFF)
        text.code = reason_code(reply->reason);
    if (reply->explain == CONF_EXPLAIN_FULL) {
        text.detail = reply->detail && *reply->detail ? reply->detail : reason_sentence(reply->reason);
        text.hint = reason_hint(reply->reason);
    }
    return text;
}

static void render_json(const struct reply *reply, const struct reply_text *text, struct sbuf *body) {
    struct jsonw json;
    jsonw_init(&json, body);
    jsonw_open_object(&json, NULL);
    jsonw_str(&json, "message", text->message);
    jsonw_int(&json, "status_code", text->status);
    if (text->code)
        jsonw_str(&json, "reason", text->code);
    if (text->detail)
        jsonw_str(&json, "detail", text->detail);
    if (text->hint)
        jsonw_str(&json, "hint", text->hint);
    jsonw_str(&json, "aud", reply->application ? reply->application->aud : NULL);
    jsonw_str(&json, "ray_id", reply->ray_id);
    jsonw_close_object(&json);
    sbuf_append_char(body, '\n');
}

static void render_text(const struct reply *reply, const struct reply_text *text, struct sbuf *body) {
    if (text->custom)
        sbuf_printf(body, "%s\n", text->custom);
    sbuf_printf(body, "%d %s", text->status, text->code ? text->code : status_phrase(text->status));
    if (text->detail) {
        sbuf_append_str(body, ": ");
        sbuf_append_printable(body, slice_of(text->detail)); /* for a terminal */
        sbuf_append_char(body, '.');
    }
    if (text->hint && *text->hint) {
        sbuf_append_char(body, ' ');
        sbuf_append_str(body, text->hint);
    }
    sbuf_printf(body, " (ray %s)\n", reply->ray_id);
}

static void render_html(const struct reply *reply, const struct reply_text *text, struct sbuf *body) {
    struct deny_page page = {.status = text->status,
                             .message = text->custom,
                             .code = text->code,
                             .detail = text->detail,
                             .hint = text->hint,
                             .hostname = reply->hostname,
                             .application = reply->application ? reply->application->name : NULL,
                             .ray_id = reply->ray_id,
                             .now = reply->now};
    deny_page_render(&page, body);
}

void reply_render(const struct reply *reply, struct sbuf *body, const char **content_type_out) {
    struct reply_text text = choose_text(reply);
    const char *type = reply_negotiate(reply->accept);
    *content_type_out = type;
    if (type == type_json)
        render_json(reply, &text, body);
    else if (type == type_html)
        render_html(reply, &text, body);
    else
        render_text(reply, &text, body);
}

/* ---- how it is sent ---- */

static void add_str(struct headers *headers, const char *name, const char *value) {
    headers_add(headers, slice_of(name), slice_of(value));
}

static void add_reason_headers(const struct reply *reply, int status, struct headers *headers) {
    if (reply->explain != CONF_EXPLAIN_OFF)
        add_str(headers, "x-sallyport-reason", reason_code(reply->reason));
    add_str(headers, "cf-ray", reply->ray_id);
    if (reply->application) {
        add_str(headers, "cf-access-aud", reply->application->aud);
        add_str(headers, "cf-access-domain", reply->application->domain);
    }
    if (status == 302 && reply->application)
        add_str(headers, "Location", reply->application->deny_url);
    if (status == 401)
        add_str(headers, "WWW-Authenticate", "Mutual realm=\"client certificate\"");
    if (status == 405)
        add_str(headers, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    if (status == 503 || status == 429)
        add_str(headers, "Retry-After", "1");
}

static void begin_head(struct response_head *head, int status, size_t length, struct arena *arena) {
    *head = (struct response_head){
        .version = HTTP_1_1, .status = status, .framing = BODY_LENGTH, .content_length = length, .keep_alive = true};
    headers_init(&head->headers, arena);
}

static void add_content(struct headers *headers, time_t now, const char *type, const char *cache_control,
                        struct arena *arena) {
    add_str(headers, "Date", arena_str(arena, slice_of(clock_format_http(now, (char[CLOCK_TEXT_SIZE]){0}))));
    add_str(headers, "Content-Type", type);
    add_str(headers, "Cache-Control", cache_control);
    add_str(headers, "X-Content-Type-Options", "nosniff");
}

static void send_all(struct codec_stream *stream, const struct response_head *head, struct slice body,
                     uint64_t *bytes_out) {
    codec_send_head(stream, head);
    if (body.len > 0) {
        codec_send_body(stream, body);
        *bytes_out += body.len;
    }
    codec_send_end(stream, NULL);
}

int reply_send(struct codec_stream *stream, const struct reply *reply, struct arena *arena, uint64_t *bytes_out) {
    struct sbuf body;
    const char *type;
    sbuf_init(&body, BODY_LIMIT);
    reply_render(reply, &body, &type);

    struct response_head head;
    begin_head(&head, reply->status ? reply->status : reason_status(reply->reason), body.len, arena);
    add_content(&head.headers, reply->now, type, "no-store", arena);
    add_str(&head.headers, "Vary", "Accept");
    if (type == type_html)
        add_str(&head.headers, "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors "
                "'none'");
    add_reason_headers(reply, head.status, &head.headers);

    send_all(stream, &head, reply->is_head ? SLICE_NONE : sbuf_slice(&body), bytes_out);
    sbuf_fini(&body);
    return head.status;
}

int reply_send_page(struct codec_stream *stream, const struct reply_page *page, const char *ray_id, bool is_head,
                    struct arena *arena, uint64_t *bytes_out) {
    struct response_head head;
    begin_head(&head, page->status, page->body.len, arena);
    add_content(&head.headers, clock_wall(), page->type, page->cache_control, arena);
    add_str(&head.headers, "cf-ray", ray_id);
    for (size_t i = 0; page->more && i < page->more->count; i++)
        headers_add(&head.headers, page->more->items[i].name, page->more->items[i].value);
    send_all(stream, &head, is_head ? SLICE_NONE : page->body, bytes_out);
    return head.status;
}
