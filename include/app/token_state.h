/* token_state: where the keys of tokens are kept. */
#ifndef SALLYPORT_APP_TOKEN_STATE_H
#define SALLYPORT_APP_TOKEN_STATE_H

#include "conf/conf.h"

/* Makes the directory, mode 0700. The caller frees *directory_out with mem_free, also after an error. */
MUST_CHECK int token_state_make(const struct conf *conf, char **directory_out, struct err *err);
/* Could it be made, or used? Changes nothing; for `check`. */
MUST_CHECK int token_state_check(const struct conf *conf, struct err *err);

#endif
