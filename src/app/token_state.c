/* token_state: see the header. Called by control_tokens and `check`; nothing is kept where no application is. */
#include "app/token_state.h"

#include "base/file.h"
#include "base/mem.h"
#include "store/state.h"

#define PART "keys"

static char *state_of(const struct conf *conf) { return state_directory(conf->state_dir.path.text); }

int token_state_make(const struct conf *conf, char **directory_out, struct err *err) {
    char *state = state_of(conf);
    int result = state_make(state, PART, err);
    *directory_out = path_join(state, PART);
    mem_free(state);
    return result;
}

int token_state_check(const struct conf *conf, struct err *err) {
    if (conf->applications.count == 0)
        return 0;
    char *state = state_of(conf);
    int result = state_check(state, PART, err);
    mem_free(state);
    return result;
}
