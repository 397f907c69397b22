/* rotation: see the header. Asked by session/key_ring at every look at its keys. */
#include "session/rotation.h"

/* How long before it signs a key is published. */
static int64_t lead_s(const struct rotation *rotation) {
    int64_t half = rotation->period_s / 2;
    return rotation->overlap_s < half ? rotation->overlap_s : half;
}

size_t rotation_current(const int64_t *active, size_t count, int64_t now) {
    size_t current = 0;
    for (size_t i = 1; i < count; i++)
        if (active[i] <= now)
            current = i;
    return current;
}

int64_t rotation_retires(const int64_t *active, size_t count, size_t i, const struct rotation *rotation) {
    return i + 1 < count ? active[i + 1] + rotation->overlap_s : INT64_MAX;
}

int64_t rotation_good_until(const int64_t *active, size_t count, int64_t now, const struct rotation *rotation) {
    size_t current = rotation_current(active, count, now);
    int64_t retires = rotation_retires(active, count, current, rotation);
    if (retires != INT64_MAX)
        return retires;
    /* A successor that is made now signs after the lead at the earliest. */
    int64_t planned = active[current] + rotation->period_s, soonest = now + lead_s(rotation);
    return (planned > soonest ? planned : soonest) + rotation->overlap_s;
}

bool rotation_wants_key(const int64_t *active, size_t count, int64_t now, const struct rotation *rotation,
                        int64_t *active_from_out) {
    *active_from_out = now;
    if (count == 0)
        return true;
    int64_t due = active[count - 1] + rotation->period_s, soonest = now + lead_s(rotation);
    if (active[count - 1] > now || due > soonest)
        return false;
    *active_from_out = soonest;
    return true;
}
