/* signer: see the header. Called by control_tokens; one belongs to one generation. */
#include "app/signer.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "session/jwt.h"
#include "snapshot/snapshot.h"

#define SECONDS_MIN 60 /* of a token, whatever session_duration says: the origin has to see it */
#define ISSUER_MAX 600

struct signer_application {
    char aud[65];
    int64_t session_s; /* the longest that it or one of its policies allows */
};

struct signer {
    struct arena *arena;
    struct map applications; /* by aud */
    const char *directory;   /* of the keys */
    const char *issuer;      /* or NULL */
    enum token_algorithm algorithm;
    struct rotation rotation;
    struct key_ring *ring; /* NULL: not open */
};

static void add_application(struct signer *signer, const struct conf_application *conf) {
    struct signer_application *application = ARENA_NEW(signer->arena, struct signer_application);
    application_tag(conf, application->aud);
    application->session_s = SECONDS_MIN;
    for (size_t i = 0; i < conf->policies.count; i++) {
        int64_t session_s = conf->policies.items[i].session_duration_ms / 1000;
        if (session_s > application->session_s)
            application->session_s = session_s;
    }
    map_put(&signer->applications, slice_of(application->aud), application);
}

int signer_open(struct signer *signer, int64_t now, struct err *err) {
    const struct key_ring_source source = {signer->directory, signer->algorithm, signer->rotation};
    signer->ring = key_ring_open(&source, now, err);
    return signer->ring ? 0 : err_context(err, "the keys of tokens");
}

struct signer *signer_new(const struct conf *conf, const char *directory) {
    struct arena *arena = arena_new(4096);
    struct signer *signer = ARENA_NEW(arena, struct signer);
    *signer = (struct signer){.arena = arena,
                              .directory = arena_str(arena, slice_of(directory)),
                              .algorithm = conf->tokens.algorithm == CONF_ES256 ? TOKEN_ES256 : TOKEN_RS256,
                              .rotation = {conf->tokens.key_rotation_ms / 1000, conf->tokens.key_overlap_ms / 1000}};
    map_init(&signer->applications);
    if (conf->tokens.issuer.text)
        signer->issuer = arena_str(arena, slice_of(conf->tokens.issuer.text));
    for (size_t i = 0; i < conf->applications.count; i++)
        add_application(signer, &conf->applications.items[i]);
    return signer;
}

void signer_free(struct signer **signer_ptr) {
    struct signer *signer = *signer_ptr;
    *signer_ptr = NULL;
    if (!signer)
        return;
    key_ring_free(&signer->ring);
    map_fini(&signer->applications);
    arena_free(signer->arena);
}

struct key_ring *signer_ring(const struct signer *signer) {
    return signer->ring;
}

bool signer_knows(const struct signer *signer, struct slice audience) {
    return map_get(&signer->applications, audience) != NULL;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

int signer_sign(const struct signer *signer, const struct claims *claims, int64_t now, struct sbuf *out,
                struct err *err) {
    const struct signer_application *application = map_get(&signer->applications, claims->audience);
    int64_t good_until;
    const struct token_key *key = key_ring_current(signer->ring, now, &good_until);
    char issuer[ISSUER_MAX];
    struct sbuf payload;
    int64_t expires_at = least(now + least(claims->session_s, application->session_s), good_until);
    if (claims->has_certificate)
        expires_at = least(expires_at, claims->not_after);
    if (expires_at <= now)
        return err_set(err, "the certificate has expired");
    (void)snprintf(issuer, sizeof issuer, "https://" SLICE_FMT, SLICE_ARG(claims->hostname));
    const struct claims_terms terms = {slice_of(signer->issuer ? signer->issuer : issuer), now, expires_at};
    sbuf_init(&payload, JWT_SIZE_MAX);
    claims_write_payload(claims, &terms, &payload);
    int64_t times[] = {now, expires_at};
    sbuf_append(out, slice_make(times, sizeof times));
    int result =
        payload.overflow ? err_set(err, "the token is too long") : jwt_sign(key, sbuf_slice(&payload), out, err);
    sbuf_fini(&payload);
    return result;
}
