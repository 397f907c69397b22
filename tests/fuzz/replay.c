/*
 * replay: runs a fuzz target over files and directories of inputs, without libFuzzer, so that any build (and any
 * sanitizer) can replay the corpus. A directory that does not exist is an empty corpus.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"

#define INPUT_MAX (16 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replayed;

static void replay_file(const char *path, off_t size) {
    struct sbuf content;
    struct err err;
    sbuf_init(&content, INPUT_MAX);
    if (size > 0 && file_read(path, INPUT_MAX, &content, &err) < 0) {
        fprintf(stderr, "%s %s\n", path, err.text);
        exit(EXIT_FAILURE);
    }
    /* An allocation of exactly the input's size lets AddressSanitizer see every byte read beyond it. */
    struct slice s = sbuf_slice(&content);
    uint8_t *exact = mem_dup(s.ptr, s.len);
    sbuf_fini(&content);
    LLVMFuzzerTestOneInput(exact, s.len);
    mem_free(exact);
    replayed++;
}

static void replay_path(const char *path) {
    struct stat st;
    if (stat(path, &st) < 0) {
        if (errno == ENOENT)
            return;
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(EXIT_FAILURE);
    }
    if (!S_ISDIR(st.st_mode)) {
        replay_file(path, st.st_size);
        return;
    }
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.') {
            char *inner = path_join(path, names[i]->d_name);
            replay_path(inner);
            mem_free(inner);
        }
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        replay_path(argv[i]);
    printf("replayed %zu inputs: %s\n", replayed, argv[0]);
    return EXIT_SUCCESS;
}
