/*
 * fuzz_target: paths, authorities and hosts. What is accepted is in normal form: normalising it again changes nothing,
 * and nothing that servers read in two ways is left in it (sec-43).
 */
#include "base/err.h"
#include "http/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool contains(struct slice s, const char *needle) {
    size_t len = strlen(needle);
    for (size_t i = 0; i + len <= s.len; i++) {
        if (memcmp(s.ptr + i, needle, len) == 0)
            return true;
    }
    return false;
}

static void check_normal_path(struct slice path) {
    static const char *const banned[] = {"//",  "/./", "/../", "\\",  ";",   "%2F",    "%2f", "%5C", "%5c", "%3B",
                                         "%00", "%0A", "%0D",  "%2E", "%2e", "%C0%AF", "#",   "?",   " "};
    INVARIANT(path.len && path.ptr[0] == '/');
    for (size_t i = 0; i < sizeof banned / sizeof banned[0]; i++)
        INVARIANT(!contains(path, banned[i]));
    INVARIANT(!slice_ends_with(path, SLICE("/.")) && !slice_ends_with(path, SLICE("/..")));
    for (size_t i = 0; i < path.len; i++)
        INVARIANT(path.ptr[i] > 0x20 && path.ptr[i] < 0x7f);
}

static void check_path(struct slice bytes, struct arena *arena) {
    struct target once = {0}, twice = {0};
    if (target_parse_path(bytes, false, arena, &once))
        return;
    check_normal_path(once.path);
    INVARIANT(once.path_and_query.len == once.path.len + (once.query.ptr ? once.query.len + 1 : 0));
    INVARIANT(!target_parse_path(once.path_and_query, false, arena, &twice));
    INVARIANT(slice_eq(once.route_path, target_route_path(once.route_path, true, arena)));
    INVARIANT(slice_eq(once.path, twice.path) && slice_eq(once.query, twice.query));
}

static void check_host(struct slice bytes) {
    char once[254], twice[254];
    if (!host_normalise(bytes, once))
        return;
    INVARIANT(strlen(once) <= 253 && once[0] != '\0');
    INVARIANT(host_normalise(slice_of(once), twice) && strcmp(once, twice) == 0);
}

static void check_authority(struct slice bytes, struct arena *arena) {
    struct target once = {0}, twice = {0};
    if (target_parse_authority(bytes, arena, &once))
        return;
    INVARIANT(!contains(bytes, "@") && !contains(bytes, "/"));
    INVARIANT(!target_parse_authority(once.host, arena, &twice));
    INVARIANT(slice_eq(once.host, twice.host) && twice.port == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice bytes = slice_make(data, size);
    struct arena *arena = arena_new(4096);
    struct target target;
    check_path(bytes, arena);
    check_host(bytes);
    check_authority(bytes, arena);
    if (!target_parse_url(bytes, arena, &target))
        check_normal_path(target.path);
    arena_free(arena);
    return 0;
}
