/*
 * The server codec by hand: a small owner whose exchange does only what the test says, so that the order of events, the
 * window and the end of the connection can be looked at one by one.
 */
#include <check.h>

#include "base/err.h"
#include "http/codec.h"
#include "support/h1_probe.h"

#define H "Host: a.test\r\n"

static const struct h1_limits limits = {.head_size = 1024, .field_count = 20};

static struct codec *codec;
static struct codec_stream *stream;
static struct arena *arena;
static struct request_head *request;
static struct sbuf body, output;
static int requests, ends, brokens, writables, refusals;
static size_t trailer_count;
static enum reason broken_reason;
static struct h1_fault refused_fault;
static void (*at_request)(void); /* what the exchange does within the event */

static void *on_request(void *owner, struct codec_stream *s, struct request_head *head, struct arena *a) {
    (void)owner;
    ck_assert_ptr_null(arena);
    stream = s;
    request = head;
    arena = a;
    requests++;
    if (at_request)
        at_request();
    return &codec;
}

static void on_body(void *exchange, struct slice data) {
    INVARIANT(exchange == &codec && data.len); /* ck_assert is too slow for a million of them */
    sbuf_append(&body, data);
}

static void on_end(void *exchange, const struct headers *trailers) {
    ck_assert_ptr_eq(exchange, &codec);
    trailer_count = trailers->count;
    ends++;
}

static void on_broken(void *exchange, enum reason reason, const char *detail) {
    ck_assert_ptr_eq(exchange, &codec);
    ck_assert_ptr_nonnull(detail);
    broken_reason = reason;
    brokens++;
}

static void on_writable(void *exchange) {
    ck_assert_ptr_eq(exchange, &codec);
    writables++;
}

static void on_refused(void *owner, struct codec_stream *s, const struct h1_fault *fault, struct slice raw_head) {
    (void)owner;
    ck_assert(raw_head.len > 0);
    stream = s;
    refused_fault = *fault;
    refusals++;
}

static const struct codec_events events = {on_request, on_body, on_end, on_broken, on_writable, on_refused};

static void open_codec(uint64_t max_body) { codec = h1c_new(&events, NULL, &limits, max_body); }

static void setup(void) {
    sbuf_init(&body, 1 << 24);
    sbuf_init(&output, 1 << 24);
    stream = NULL;
    arena = NULL;
    requests = ends = brokens = writables = refusals = 0;
    at_request = NULL;
    open_codec(0);
}

static void over(void) {
    arena_free(arena);
    arena = NULL;
    stream = NULL;
}

static void finish(void) {
    codec_finish(stream);
    over();
}

static void teardown(void) {
    if (stream) {
        codec_abort(stream);
        over();
    }
    codec_free(codec);
    sbuf_fini(&body);
    sbuf_fini(&output);
}

static size_t receive(const char *text) { return codec_receive(codec, slice_of(text)); }

static const char *drain_out(void) {
    sbuf_clear(&output);
    sbuf_append(&output, sbuf_slice(&codec->out));
    sbuf_consume(&codec->out, codec->out.len);
    codec_drained(codec);
    return sbuf_text(&output);
}

static void send_head(int status, enum body_framing framing, uint64_t length) {
    struct response_head head = {.status = status, .framing = framing, .content_length = length};
    codec_send_head(stream, &head);
}

static void send_empty(int status) {
    send_head(status, BODY_LENGTH, 0);
    codec_send_end(stream, NULL);
}

static void answer_and_finish(void) {
    send_empty(200);
    finish();
}

#define EMPTY_200 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define EMPTY_200_CLOSE "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

/* ---- persistence and pipelining ---- */

START_TEST(requests_follow_each_other) {
    ck_assert(codec->is_idle && codec_wants_input(codec));
    for (int i = 1; i <= 3; i++) {
        const char *head = "GET / HTTP/1.1\r\n" H "\r\n";
        ck_assert_uint_eq(receive(head), strlen(head));
        ck_assert(!codec->is_idle && !codec_wants_input(codec));
        ck_assert_int_eq(ends, i);
        answer_and_finish();
        ck_assert_str_eq(drain_out(), EMPTY_200);
        ck_assert(codec->is_idle && codec_wants_input(codec) && !codec->close_after_out);
        ck_assert_uint_eq(codec->requests, (uint64_t)i);
    }
}
END_TEST

START_TEST(pipelined_requests_wait) {
    const char *both = "GET /1 HTTP/1.1\r\n" H "\r\nGET /2 HTTP/1.1\r\n" H "\r\n";
    size_t first = strlen(both) / 2;
    ck_assert_uint_eq(receive(both), first);
    ck_assert_uint_eq(receive(both + first), 0);
    answer_and_finish();
    ck_assert_uint_eq(receive(both + first), first);
    ck_assert(slice_eq_str(request->target.path, "/2"));
}
END_TEST

/* Answers within the event are fine, and out of a full output no further head is taken. */
START_TEST(pipelined_answers_stop_when_the_client_does_not_read) {
    struct sbuf many;
    sbuf_init(&many, 1 << 22);
    for (int i = 0; i < 10000; i++)
        sbuf_append_str(&many, "GET / HTTP/1.1\r\n" H "\r\n");
    at_request = answer_and_finish;
    size_t taken = codec_receive(codec, sbuf_slice(&many));
    ck_assert(taken > 0 && taken < many.len);
    ck_assert(!codec_wants_input(codec));
    ck_assert(codec->out.len < CODEC_OUT_HIGH + 100);
    drain_out();
    ck_assert(codec_wants_input(codec));
    sbuf_fini(&many);
}
END_TEST

START_TEST(heads_in_progress_are_told_apart_from_idleness) {
    receive("\r");
    ck_assert(codec->is_idle);
    receive("\nGE");
    ck_assert(!codec->is_idle && codec->in_head);
    receive("T / HTTP/1.1\r\n" H "\r\n");
    ck_assert(!codec->is_idle && !codec->in_head);
    ck_assert_int_eq(requests, 1);
}
END_TEST

START_TEST(connection_close_is_honoured) {
    receive("GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    answer_and_finish();
    ck_assert(codec->close_after_out && !codec->reset_after_out && !codec_wants_input(codec));
    ck_assert_str_eq(drain_out(), EMPTY_200_CLOSE);
    ck_assert_uint_eq(receive("GET / HTTP/1.1\r\n" H "\r\n"), 0);
}
END_TEST

/* ---- HTTP/1.0 ---- */

START_TEST(http_1_0_persists_only_when_asked) {
    receive("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    answer_and_finish();
    ck_assert_str_eq(drain_out(), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
    ck_assert(!codec->close_after_out);
    receive("GET / HTTP/1.0\r\n\r\n");
    answer_and_finish();
    ck_assert_str_eq(drain_out(), EMPTY_200_CLOSE);
    ck_assert(codec->close_after_out);
}
END_TEST

START_TEST(http_1_0_never_sees_chunks_or_1xx) {
    receive("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    codec_send_informational(stream, &(struct response_head){.status = 103});
    send_head(200, BODY_CHUNKED, 0);
    codec_send_body(stream, SLICE("hello"));
    codec_send_end(stream, NULL);
    finish();
    ck_assert_str_eq(drain_out(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
    ck_assert(codec->close_after_out && !codec->reset_after_out);
}
END_TEST

/* ---- framing of responses ---- */

START_TEST(framing_is_what_the_client_understands) {
    static const struct {
        const char *method;
        int status;
        enum body_framing framing;
        uint64_t length;
        const char *body, *text;
    } rows[] = {
        {"GET", 200, BODY_LENGTH, 2, "hi", "200 OK\r\nContent-Length: 2\r\n\r\nhi"},
        {"GET", 200, BODY_CHUNKED, 0, "hi", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
        {"GET", 200, BODY_UNTIL_CLOSE, 0, "hi", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
        {"GET", 200, BODY_NONE, 0, "", "200 OK\r\nContent-Length: 0\r\n\r\n"},
        {"GET", 204, BODY_LENGTH, 0, "", "204 No Content\r\n\r\n"},
        {"GET", 204, BODY_CHUNKED, 0, "hi", "204 No Content\r\n\r\n"},
        {"GET", 304, BODY_NONE, 7, "", "304 Not Modified\r\nContent-Length: 7\r\n\r\n"},
        {"GET", 304, BODY_UNTIL_CLOSE, 0, "hi", "304 Not Modified\r\n\r\n"},
        {"HEAD", 200, BODY_LENGTH, 2, "hi", "200 OK\r\nContent-Length: 2\r\n\r\n"},
        {"HEAD", 200, BODY_NONE, 2, "", "200 OK\r\nContent-Length: 2\r\n\r\n"},
        {"HEAD", 200, BODY_NONE, 0, "", "200 OK\r\n\r\n"},
        {"HEAD", 200, BODY_CHUNKED, 0, "hi", "200 OK\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sbuf expected;
        sbuf_init(&expected, 4096);
        sbuf_printf(&expected, "HTTP/1.1 %s", rows[i].text);
        struct sbuf head;
        sbuf_init(&head, 4096);
        sbuf_printf(&head, "%s / HTTP/1.1\r\n" H "\r\n", rows[i].method);
        codec_receive(codec, sbuf_slice(&head));
        send_head(rows[i].status, rows[i].framing, rows[i].length);
        codec_send_body(stream, slice_of(rows[i].body));
        codec_send_end(stream, NULL);
        finish();
        ck_assert_str_eq(drain_out(), sbuf_text(&expected));
        ck_assert(!codec->close_after_out);
        sbuf_fini(&head);
        sbuf_fini(&expected);
    }
}
END_TEST

START_TEST(trailers_go_where_there_is_room) {
    struct headers trailers;
    receive("GET / HTTP/1.1\r\n" H "\r\n");
    headers_init(&trailers, arena);
    headers_add(&trailers, SLICE("grpc-status"), SLICE("0"));
    send_head(200, BODY_CHUNKED, 0);
    codec_send_end(stream, &trailers);
    ck_assert_str_eq(drain_out(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\ngrpc-status: 0\r\n\r\n");
    finish();
    receive("GET / HTTP/1.1\r\n" H "\r\n");
    headers_init(&trailers, arena);
    headers_add(&trailers, SLICE("grpc-status"), SLICE("0"));
    send_head(200, BODY_LENGTH, 0);
    codec_send_end(stream, &trailers);
    ck_assert_str_eq(drain_out(), EMPTY_200);
}
END_TEST

/* ---- bodies and windows ---- */

START_TEST(the_window_holds_the_client_back) {
    static char data[3 * CODEC_BODY_WINDOW];
    receive("POST / HTTP/1.1\r\n" H "Content-Length: 196608\r\n\r\n");
    ck_assert_uint_eq(codec_receive(codec, slice_make(data, sizeof data)), CODEC_BODY_WINDOW);
    ck_assert(!codec_wants_input(codec));
    ck_assert_uint_eq(codec_receive(codec, slice_make(data, 1)), 0);
    codec_consumed(stream, 1000);
    ck_assert(codec_wants_input(codec));
    ck_assert_uint_eq(codec_receive(codec, slice_make(data, sizeof data)), 1000);
    codec_consumed(stream, CODEC_BODY_WINDOW);
    codec_receive(codec, slice_make(data, CODEC_BODY_WINDOW));
    codec_consumed(stream, CODEC_BODY_WINDOW);
    ck_assert_int_eq(ends, 0);
    codec_receive(codec, slice_make(data, CODEC_BODY_WINDOW));
    ck_assert_int_eq(ends, 1);
    ck_assert_uint_eq(body.len, sizeof data);
}
END_TEST

START_TEST(the_window_holds_chunks_back) {
    static char data[CODEC_BODY_WINDOW];
    receive("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1000a\r\n");
    ck_assert_uint_eq(codec_receive(codec, slice_make(data, sizeof data)), sizeof data);
    ck_assert(!codec_wants_input(codec));
    ck_assert_uint_eq(receive("0123456789\r\n"), 0);
    codec_consumed(stream, CODEC_BODY_WINDOW);
    ck_assert_uint_eq(receive("0123456789\r\n0\r\nX: y\r\n\r\n"), 23);
    ck_assert_int_eq(ends, 1);
    ck_assert_uint_eq(trailer_count, 1);
}
END_TEST

START_TEST(the_output_tells_when_to_go_on) {
    static char data[CODEC_OUT_HIGH];
    receive("GET / HTTP/1.1\r\n" H "\r\n");
    send_head(200, BODY_CHUNKED, 0);
    ck_assert(codec_can_send(codec));
    codec_send_body(stream, slice_make(data, sizeof data));
    ck_assert(!codec_can_send(codec));
    sbuf_consume(&codec->out, codec->out.len - CODEC_OUT_LOW - 1);
    codec_drained(codec);
    ck_assert_int_eq(writables, 0);
    sbuf_consume(&codec->out, 1);
    codec_drained(codec);
    ck_assert_int_eq(writables, 1);
    codec_drained(codec);
    ck_assert_int_eq(writables, 1);
}
END_TEST

/* An owner with room for 10,000 bytes; what it is given goes past `out`. */
static size_t past;

static size_t write_past(void *owner, struct slice bytes) {
    (void)owner;
    ck_assert_uint_eq(codec->out.len, 0);
    past += bytes.len < 10000 ? bytes.len : 10000;
    return bytes.len < 10000 ? bytes.len : 10000;
}

START_TEST(large_pieces_go_past_an_empty_output) {
    static char data[CODEC_BULK * 3];
    for (int is_until_close = 0; is_until_close < 2; is_until_close++) {
        codec_free(codec);
        open_codec(0);
        codec->write = write_past;
        past = 0;
        receive(is_until_close ? "GET / HTTP/1.0\r\n\r\n" : "GET / HTTP/1.1\r\n" H "\r\n");
        send_head(200, is_until_close ? BODY_UNTIL_CLOSE : BODY_LENGTH, 5 * CODEC_BULK - 1 + sizeof data);
        size_t head = codec->out.len;
        codec_send_body(stream, slice_make(data, CODEC_BULK)); /* behind the head */
        ck_assert_uint_eq(past, 0);
        ck_assert_uint_eq(codec->out.len, head + CODEC_BULK);
        sbuf_consume(&codec->out, codec->out.len);
        codec_send_body(stream, slice_make(data, CODEC_BULK)); /* all of it */
        ck_assert_uint_eq(past, CODEC_BULK);
        ck_assert_uint_eq(codec->out.len, 0);
        codec_send_body(stream, slice_make(data, sizeof data)); /* a part */
        ck_assert_uint_eq(past, CODEC_BULK + 10000);
        ck_assert_uint_eq(codec->out.len, sizeof data - 10000);
        codec_send_body(stream, slice_make(data, CODEC_BULK)); /* in its turn */
        sbuf_consume(&codec->out, codec->out.len);
        codec_send_body(stream, slice_make(data, CODEC_BULK - 1)); /* too small */
        ck_assert_uint_eq(past, CODEC_BULK + 10000);
        ck_assert_uint_eq(codec->out.len, CODEC_BULK - 1);
        codec_send_body(stream, slice_make(data, CODEC_BULK));
        codec_send_end(stream, NULL); /* what went past was counted */
        finish();
    }
}
END_TEST

START_TEST(large_chunks_stay_in_order) {
    static char data[CODEC_BULK];
    codec->write = write_past;
    past = 0;
    receive("GET / HTTP/1.1\r\n" H "\r\n");
    send_head(200, BODY_CHUNKED, 0);
    sbuf_consume(&codec->out, codec->out.len);
    codec_send_body(stream, slice_make(data, sizeof data));
    ck_assert_uint_eq(past, 0);
    ck_assert_uint_gt(codec->out.len, sizeof data);
}
END_TEST

START_TEST(bodies_over_the_limit_are_broken_off) {
    static const char *const messages[] = {
        "POST / HTTP/1.1\r\n" H "Content-Length: 11\r\n\r\n",
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n8\r\n01234567\r\n",
    };
    codec_free(codec);
    open_codec(10);
    receive("POST / HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\n0123456789");
    ck_assert_int_eq(ends, 1);
    answer_and_finish();
    receive(messages[_i]);
    ck_assert_int_eq(brokens, 1);
    ck_assert_int_eq(broken_reason, REASON_BODY_TOO_LARGE);
    ck_assert_int_eq(ends, 1);
    drain_out();
    send_empty(413);
    finish();
    ck_assert_str_eq(drain_out(), "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    ck_assert(codec->close_after_out);
}
END_TEST

START_TEST(sec_42_a_bad_chunk_breaks_the_request_and_closes) {
    receive("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nx");
    ck_assert_int_eq(brokens, 1);
    ck_assert_int_eq(broken_reason, REASON_BAD_REQUEST);
    ck_assert_uint_eq(receive("GET / HTTP/1.1\r\n" H "\r\n"), 32);
    ck_assert_int_eq(requests, 1);
    send_empty(400);
    finish();
    ck_assert(codec->close_after_out);
}
END_TEST

/* The response has said keep-alive by then; what follows the fault must not be taken for a request all the same. */
START_TEST(sec_42_a_bad_chunk_after_the_response_began_closes) {
    receive("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
    send_head(200, BODY_CHUNKED, 0);
    receive("x\r\n");
    ck_assert_int_eq(brokens, 1);
    codec_send_end(stream, NULL);
    finish();
    ck_assert(codec->close_after_out);
    ck_assert_uint_eq(receive("GET /smuggled HTTP/1.1\r\n" H "\r\n"), 0);
    ck_assert_int_eq(requests, 1);
}
END_TEST

/* ---- early answers ---- */

START_TEST(a_small_rest_is_dropped) {
    static const char *const rests[][2] = {
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhe", "llo"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nhe", "llo\r\n0\r\nX: y\r\n\r\n"},
    };
    receive(rests[_i][0]);
    answer_and_finish();
    ck_assert_str_eq(drain_out(), EMPTY_200);
    ck_assert(!codec->close_after_out && !codec->is_idle && codec_wants_input(codec));
    ck_assert_uint_eq(receive(rests[_i][1]), strlen(rests[_i][1]));
    ck_assert(codec->is_idle);
    ck_assert_int_eq(ends, 0);
    receive("GET /2 HTTP/1.1\r\n" H "\r\n");
    ck_assert_int_eq(requests, 2);
}
END_TEST

START_TEST(a_large_rest_closes) {
    receive("POST / HTTP/1.1\r\n" H "Content-Length: 1000000\r\n\r\n");
    answer_and_finish();
    ck_assert_str_eq(drain_out(), EMPTY_200_CLOSE);
    ck_assert(codec->close_after_out);
}
END_TEST

START_TEST(an_endless_rest_closes) {
    static char data[CODEC_BODY_WINDOW];
    receive("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nfffffff\r\n");
    answer_and_finish();
    ck_assert(!codec->close_after_out);
    codec_receive(codec, slice_make(data, sizeof data));
    ck_assert(!codec->close_after_out);
    codec_receive(codec, slice_make(data, sizeof data));
    ck_assert(codec->close_after_out);
}
END_TEST

START_TEST(sec_42_a_bad_rest_closes) {
    receive("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
    answer_and_finish();
    receive("x\r\nGET /smuggled HTTP/1.1\r\n" H "\r\n");
    ck_assert(codec->close_after_out);
    ck_assert_int_eq(requests, 1);
}
END_TEST

START_TEST(the_response_may_begin_before_the_body_is_there) {
    receive("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhe");
    send_head(200, BODY_CHUNKED, 0);
    codec_send_body(stream, SLICE("x"));
    receive("llo");
    ck_assert_int_eq(ends, 1);
    ck_assert_str_eq(sbuf_text(&body), "hello");
    codec_send_end(stream, NULL);
    finish();
    ck_assert(codec->is_idle);
}
END_TEST

/* ---- 100-continue ---- */

START_TEST(continue_is_sent_and_the_body_comes) {
    receive("PUT / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    ck_assert(request->expect_continue);
    codec_send_informational(stream, &(struct response_head){.status = 100});
    ck_assert_str_eq(drain_out(), "HTTP/1.1 100 Continue\r\n\r\n");
    receive("hi");
    answer_and_finish();
    ck_assert_str_eq(drain_out(), EMPTY_200);
    ck_assert(codec->is_idle);
}
END_TEST

/* Nobody knows whether the body will come: the next bytes could be it or a request (sec-42). */
START_TEST(sec_42_a_final_answer_instead_of_100_closes) {
    receive("PUT / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    answer_and_finish();
    ck_assert_str_eq(drain_out(), EMPTY_200_CLOSE);
    ck_assert(codec->close_after_out);
}
END_TEST

START_TEST(a_client_that_does_not_wait_for_100_persists) {
    receive("PUT / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi");
    answer_and_finish();
    ck_assert_str_eq(drain_out(), EMPTY_200);
    ck_assert(codec->is_idle);
}
END_TEST

/* ---- ends ---- */

START_TEST(eof_between_requests_closes) {
    codec_receive_eof(codec);
    ck_assert(codec->close_after_out && !codec_wants_input(codec));
    ck_assert_int_eq(refusals, 0);
}
END_TEST

START_TEST(eof_in_a_head_closes) {
    receive("GET / HT");
    codec_receive_eof(codec);
    ck_assert(codec->close_after_out);
    ck_assert_int_eq(requests + refusals, 0);
}
END_TEST

START_TEST(eof_in_a_body_breaks_the_request) {
    receive("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhe");
    codec_receive_eof(codec);
    ck_assert_int_eq(brokens, 1);
    ck_assert_int_eq(broken_reason, REASON_NONE);
    ck_assert(!codec_wants_input(codec));
    codec_abort(stream);
    over();
    ck_assert(codec->close_after_out && !codec->reset_after_out);
}
END_TEST

START_TEST(eof_after_a_request_lets_the_response_out) {
    receive("GET / HTTP/1.1\r\n" H "\r\n");
    codec_receive_eof(codec);
    ck_assert_int_eq(brokens, 0);
    ck_assert(!codec->close_after_out);
    answer_and_finish();
    ck_assert_str_eq(drain_out(), EMPTY_200_CLOSE);
    ck_assert(codec->close_after_out);
}
END_TEST

START_TEST(an_aborted_response_is_seen_to_be_cut_short) {
    receive("GET / HTTP/1.1\r\n" H "\r\n");
    send_head(200, BODY_CHUNKED, 0);
    codec_send_body(stream, SLICE("hello"));
    codec_abort(stream);
    over();
    ck_assert(codec->close_after_out && codec->reset_after_out);
    ck_assert_str_eq(drain_out(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
}
END_TEST

START_TEST(a_response_that_was_not_ended_is_aborted) {
    receive("GET / HTTP/1.1\r\n" H "\r\n");
    send_head(200, BODY_LENGTH, 5);
    codec_send_body(stream, SLICE("he"));
    finish();
    ck_assert(codec->close_after_out && codec->reset_after_out);
}
END_TEST

START_TEST(draining_closes_idle_connections_at_once) {
    codec_drain(codec);
    ck_assert(codec->close_after_out);
}
END_TEST

START_TEST(draining_lets_what_has_begun_end) {
    receive("GET / HTTP/1.1\r\n");
    codec_drain(codec);
    ck_assert(!codec->close_after_out);
    receive(H "\r\n");
    answer_and_finish();
    ck_assert_str_eq(drain_out(), EMPTY_200_CLOSE);
    ck_assert(codec->close_after_out);
}
END_TEST

START_TEST(draining_after_the_head_was_sent_still_closes) {
    receive("GET / HTTP/1.1\r\n" H "\r\n");
    send_head(200, BODY_LENGTH, 0);
    codec_drain(codec);
    codec_send_end(stream, NULL);
    finish();
    ck_assert(codec->close_after_out);
}
END_TEST

/* ---- refusals ---- */

START_TEST(a_refused_request_is_answered_and_closed) {
    receive("GET / HTTP/1.1\r\n\r\n");
    ck_assert_int_eq(refusals, 1);
    ck_assert_int_eq(refused_fault.reason, REASON_BAD_REQUEST);
    ck_assert_uint_eq(codec->requests, 0);
    arena = codec_stream_arena(stream);
    ck_assert_ptr_nonnull(arena);
    ck_assert_ptr_eq(codec_stream_codec(stream), codec);
    send_head(400, BODY_LENGTH, 3);
    codec_send_body(stream, SLICE("no\n"));
    codec_send_end(stream, NULL);
    finish();
    ck_assert_str_eq(drain_out(), "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n");
    ck_assert(codec->close_after_out);
}
END_TEST

START_TEST(the_arena_of_a_refusal_is_freed_when_nobody_asks) {
    receive("GET / HTTP/1.1\nX");
    ck_assert_int_eq(refusals, 1);
    send_empty(400);
    codec_finish(stream);
    stream = NULL;
    ck_assert(codec->close_after_out);
}
END_TEST

START_TEST(heads_over_the_limit_are_refused) {
    static char head[2000];
    memset(head, 'a', sizeof head);
    codec_receive(codec, slice_make(head, 1000));
    ck_assert_int_eq(refusals, 0);
    codec_receive(codec, slice_make(head, 100));
    ck_assert_int_eq(refusals, 1);
    ck_assert_int_eq(refused_fault.reason, REASON_HEADER_TOO_LARGE);
}
END_TEST

START_TEST(sec_41_a_head_that_takes_too_long_is_refused) {
    receive("GET / HTTP/1.1\r\nX: ");
    codec_refuse(codec, &(struct h1_fault){REASON_REQUEST_TIMEOUT, "too slow"});
    ck_assert_int_eq(refusals, 1);
    ck_assert_int_eq(refused_fault.reason, REASON_REQUEST_TIMEOUT);
    send_empty(408);
    codec_finish(stream);
    stream = NULL;
    ck_assert_str_eq(drain_out(), "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    ck_assert(codec->close_after_out);
}
END_TEST

/* ---- upgrades ---- */

#define UPGRADE "GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

START_TEST(after_101_the_bytes_are_somebody_elses) {
    ck_assert_uint_eq(receive(UPGRADE "\x81\x05hello"), strlen(UPGRADE));
    ck_assert(slice_eq_str(request->upgrade, "websocket"));
    struct response_head head = {.status = 101};
    headers_init(&head.headers, arena);
    headers_add(&head.headers, SLICE("Upgrade"), SLICE("websocket"));
    codec_send_informational(stream, &head);
    finish();
    ck_assert_str_eq(drain_out(),
                     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    ck_assert(!codec->close_after_out && !codec->is_idle && !codec_wants_input(codec));
    ck_assert_uint_eq(receive("\x81\x05hello"), 0);
}
END_TEST

START_TEST(sec_42_a_refused_upgrade_stays_http) {
    receive(UPGRADE);
    answer_and_finish();
    ck_assert(codec->is_idle);
    receive("GET /2 HTTP/1.1\r\n" H "\r\n");
    ck_assert_int_eq(requests, 2);
}
END_TEST

/* ---- size ---- */

/* A body of 1 MiB in pieces of one byte: what is quadratic would not end in time. */
START_TEST(sec_41_work_is_linear) {
    receive("POST / HTTP/1.1\r\n" H "Content-Length: 1048576\r\n\r\n");
    for (int i = 0; i < 1048576; i++) {
        codec_receive(codec, SLICE("x"));
        codec_consumed(stream, 1);
    }
    ck_assert_int_eq(ends, 1);
    ck_assert_uint_eq(body.len, 1048576);
}
END_TEST

Suite *http_h1c_suite(void);
Suite *http_h1c_suite(void) {
    Suite *suite = suite_create("http/h1c");
    TCase *tcase = tcase_create("h1c");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, requests_follow_each_other);
    tcase_add_test(tcase, pipelined_requests_wait);
    tcase_add_test(tcase, pipelined_answers_stop_when_the_client_does_not_read);
    tcase_add_test(tcase, heads_in_progress_are_told_apart_from_idleness);
    tcase_add_test(tcase, connection_close_is_honoured);
    tcase_add_test(tcase, http_1_0_persists_only_when_asked);
    tcase_add_test(tcase, http_1_0_never_sees_chunks_or_1xx);
    tcase_add_test(tcase, framing_is_what_the_client_understands);
    tcase_add_test(tcase, trailers_go_where_there_is_room);
    tcase_add_test(tcase, the_window_holds_the_client_back);
    tcase_add_test(tcase, the_window_holds_chunks_back);
    tcase_add_test(tcase, the_output_tells_when_to_go_on);
    tcase_add_test(tcase, large_pieces_go_past_an_empty_output);
    tcase_add_test(tcase, large_chunks_stay_in_order);
    tcase_add_loop_test(tcase, bodies_over_the_limit_are_broken_off, 0, 2);
    tcase_add_test(tcase, sec_42_a_bad_chunk_breaks_the_request_and_closes);
    tcase_add_test(tcase, sec_42_a_bad_chunk_after_the_response_began_closes);
    tcase_add_loop_test(tcase, a_small_rest_is_dropped, 0, 2);
    tcase_add_test(tcase, a_large_rest_closes);
    tcase_add_test(tcase, an_endless_rest_closes);
    tcase_add_test(tcase, sec_42_a_bad_rest_closes);
    tcase_add_test(tcase, the_response_may_begin_before_the_body_is_there);
    tcase_add_test(tcase, continue_is_sent_and_the_body_comes);
    tcase_add_test(tcase, sec_42_a_final_answer_instead_of_100_closes);
    tcase_add_test(tcase, a_client_that_does_not_wait_for_100_persists);
    tcase_add_test(tcase, eof_between_requests_closes);
    tcase_add_test(tcase, eof_in_a_head_closes);
    tcase_add_test(tcase, eof_in_a_body_breaks_the_request);
    tcase_add_test(tcase, eof_after_a_request_lets_the_response_out);
    tcase_add_test(tcase, an_aborted_response_is_seen_to_be_cut_short);
    tcase_add_test(tcase, a_response_that_was_not_ended_is_aborted);
    tcase_add_test(tcase, draining_closes_idle_connections_at_once);
    tcase_add_test(tcase, draining_lets_what_has_begun_end);
    tcase_add_test(tcase, draining_after_the_head_was_sent_still_closes);
    tcase_add_test(tcase, a_refused_request_is_answered_and_closed);
    tcase_add_test(tcase, the_arena_of_a_refusal_is_freed_when_nobody_asks);
    tcase_add_test(tcase, heads_over_the_limit_are_refused);
    tcase_add_test(tcase, sec_41_a_head_that_takes_too_long_is_refused);
    tcase_add_test(tcase, after_101_the_bytes_are_somebody_elses);
    tcase_add_test(tcase, sec_42_a_refused_upgrade_stays_http);
    tcase_add_test(tcase, sec_41_work_is_linear);
    suite_add_tcase(suite, tcase);
    return suite;
}
