/*
 * codec_priv: what every codec's stream begins with, so that codec_*() on a stream finds its codec.
 */
#ifndef SALLYPORT_SRC_HTTP_CODEC_PRIV_H
#define SALLYPORT_SRC_HTTP_CODEC_PRIV_H

#include "http/codec.h"

/* First member of every codec's own stream. */
struct codec_stream {
    struct codec *codec;
    struct arena *arena;
    bool arena_is_ours; /* a refused stream's arena that nobody has asked for */
};

#endif
