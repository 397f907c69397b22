/*
 * codec: the calls of an exchange on its stream, passed on to the codec that made the stream. Nothing else: what
 * HTTP/1.1 makes of them is in h1c.c.
 */
#include "codec_priv.h"

void codec_consumed(struct codec_stream *stream, size_t n) { stream->codec->ops->consumed(stream, n); }

struct codec *codec_stream_codec(struct codec_stream *stream) {
    return stream->codec;
}

struct arena *codec_stream_arena(struct codec_stream *stream) {
    stream->arena_is_ours = false;
    return stream->arena;
}

void codec_send_informational(struct codec_stream *stream, const struct response_head *head) {
    stream->codec->ops->send_informational(stream, head);
}

void codec_send_head(struct codec_stream *stream, const struct response_head *head) {
    stream->codec->ops->send_head(stream, head);
}

void codec_send_body(struct codec_stream *stream, struct slice data) { stream->codec->ops->send_body(stream, data); }

void codec_send_end(struct codec_stream *stream, const struct headers *trailers) {
    stream->codec->ops->send_end(stream, trailers);
}

void codec_finish(struct codec_stream *stream) { stream->codec->ops->finish(stream); }

void codec_abort(struct codec_stream *stream) { stream->codec->ops->abort(stream); }
