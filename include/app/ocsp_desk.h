/*
 * ocsp_desk: control's answers to what workers ask about certificates (ASK_OCSP): asks responders in the background,
 * keeps what they say until it runs out. A worker is not believed: the chain it presents is verified here before any
 * address in it is used (sec-34).
 */
#ifndef SALLYPORT_APP_OCSP_DESK_H
#define SALLYPORT_APP_OCSP_DESK_H

#include "conf/conf.h"
#include "io/loop.h"
#include "ipc/ask.h"
#include "snapshot/snapshot.h"

struct ocsp_desk;
MUST_CHECK struct ocsp_desk *ocsp_desk_new(struct loop *loop, struct err *err);
/* After every commit. Both are used until the next call. */
void ocsp_desk_set(struct ocsp_desk *desk, const struct conf *conf, const struct snapshot *snapshot);
/* Takes the question over. */
void ocsp_desk_answer(struct ocsp_desk *desk, struct ask_question *question);
void ocsp_desk_free(struct ocsp_desk **desk);

#endif
