/*
 * glob: the usual two-pointer walk. When a literal does not fit, only the last star has to take one byte more: whatever
 * an earlier star could take instead, the last one can too. So there is no recursion and no exponential pattern.
 */
#include "base/glob.h"

bool glob_match(struct slice pattern, struct slice text) {
    const size_t none = (size_t)-1;
    size_t p = 0, t = 0, star = none, taken = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            taken = t;
        } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            p++;
            t++;
        } else if (star != none) {
            p = star + 1;
            t = ++taken;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}
