/*
 * webhooks: see the header. Owned by control, fed by expiry_watch. One post for each address and alert:
 *
 *   webhooks_send --> waiting --timer--> under way --2xx--> delivered: remembered
 *                        ^                   |
 *                        `---anything else---'  1 s, 2 s, 4 s ... 1 h apart; given up after a day
 */
#include "app/webhooks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/id.h"
#include "base/jsonw.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "pki/cert.h"
#include "store/fetch.h"
#include "store/fetch_rules.h"
#include "store/state.h"

#define POSTS_MAX 1000
#define BODY_MAX ((size_t)64 * 1024)
#define FIRST_PAUSE_MS 1000
#define LONGEST_PAUSE_MS (3600 * 1000)
#define GIVE_UP_US ((int64_t)24 * 3600 * 1000000)
#define DELIVERED_MAX ((size_t)1024 * 1024) /* bytes of the file that remembers */

struct address {
    char *url, *name, *auth; /* auth: the whole header line, a secret */
    size_t auth_size;
};

struct post {
    struct list node;
    struct webhooks *webhooks;
    char *url, *type;
    char key[65]; /* of address and alert */
    struct sbuf body;
    int64_t pause_ms, begun_us;
    struct loop_timer *timer;
    struct fetch *fetch;
};

struct webhooks {
    struct loop *loop;
    struct fetcher *fetcher;
    struct fetch_rules *rules;
    struct address *addresses;
    size_t count;
    struct list posts;
    size_t post_count;
    char *path;           /* of the file that remembers; NULL: nothing is configured, or it cannot be kept */
    struct map delivered; /* keys of posts; to themselves */
    struct sbuf keys;     /* the file's content: a key a line */
};

/* ---- what was delivered ---- */

static void remember(struct webhooks *webhooks, const char *key) {
    if (!map_get(&webhooks->delivered, slice_of(key)))
        map_put(&webhooks->delivered, slice_make(mem_strdup(key), 64), webhooks);
}

static void write_delivered(struct webhooks *webhooks, const char *key) {
    struct err err = {""};
    remember(webhooks, key);
    if (sbuf_room(&webhooks->keys) < 65) /* years of them: the oldest are of certificates that are gone */
        sbuf_consume(&webhooks->keys, DELIVERED_MAX / 65 / 2 * 65);
    sbuf_printf(&webhooks->keys, "%s\n", key);
    if (webhooks->path && state_write(webhooks->path, sbuf_slice(&webhooks->keys), &err) < 0)
        log_warning("alerts: what was sent cannot be remembered, and will be sent again after a restart: %s", err.text);
}

/* What is not a key is no reason to send nothing. */
static void read_delivered(struct webhooks *webhooks) {
    struct err err = {""};
    struct sbuf content;
    sbuf_init(&content, DELIVERED_MAX);
    struct file_stamp stamp;
    file_stamp_take(webhooks->path, &stamp);
    if (stamp.error != ENOENT && file_read(webhooks->path, DELIVERED_MAX, &content, &err) < 0)
        log_warning("alerts: %s %s", webhooks->path, err.text);
    for (struct slice rest = sbuf_slice(&content), line; rest.len > 0;) {
        rest = slice_cut(rest, '\n', &line);
        char key[65] = "";
        uint8_t bytes[32];
        if (line.len != 64 || !hex_decode(line, bytes))
            continue;
        memcpy(key, line.ptr, 64);
        remember(webhooks, key);
        sbuf_printf(&webhooks->keys, "%s\n", key);
    }
    sbuf_fini(&content);
}

static void forget_delivered(struct webhooks *webhooks) {
    size_t cursor = 0;
    const struct map_entry *entry;
    while ((entry = map_next(&webhooks->delivered, &cursor)) != NULL)
        mem_free((char *)(uintptr_t)entry->key.ptr);
    map_fini(&webhooks->delivered);
    map_init(&webhooks->delivered);
    sbuf_clear(&webhooks->keys);
}

/* The file of this configuration; read once for each place it is kept in. */
static void open_delivered(struct webhooks *webhooks, const char *state_dir) {
    struct err err = {""};
    char *directory = state_directory(state_dir);
    char *part = path_join(directory, "alerts"), *path = path_join(part, "delivered");
    if (!webhooks->path || strcmp(webhooks->path, path) != 0) {
        mem_free(webhooks->path);
        webhooks->path = NULL;
        forget_delivered(webhooks);
        if (state_make(directory, "alerts", &err) < 0) {
            log_warning("alerts: what was sent cannot be remembered, and will be sent again after a restart: %s",
                        err.text);
        } else {
            webhooks->path = path;
            path = NULL;
            read_delivered(webhooks);
        }
    }
    mem_free(path);
    mem_free(part);
    mem_free(directory);
}

/* ---- posts ---- */

static void post_free(struct post *post) {
    list_remove(&post->node);
    post->webhooks->post_count--;
    loop_timer_free(&post->timer);
    fetch_cancel(&post->fetch);
    sbuf_fini(&post->body);
    mem_free(post->url);
    mem_free(post->type);
    mem_free(post);
}

static const struct address *find_address(const struct webhooks *webhooks, const char *url) {
    for (size_t i = 0; i < webhooks->count; i++)
        if (strcmp(webhooks->addresses[i].url, url) == 0)
            return &webhooks->addresses[i];
    return NULL;
}

/* Between half and the whole of the pause, so that many gateways do not come at once. */
static void pause_post(struct post *post) {
    uint32_t random;
    random_bytes(&random, sizeof random);
    loop_timer_set(post->timer, post->pause_ms / 2 + (int64_t)(random % (uint64_t)(post->pause_ms / 2 + 1)));
    post->pause_ms = 2 * post->pause_ms < LONGEST_PAUSE_MS ? 2 * post->pause_ms : LONGEST_PAUSE_MS;
}

static void fail_post(struct post *post, const char *why) {
    if (clock_mono_us() - post->begun_us > GIVE_UP_US) {
        log_error("alerts: given up on %s after a day: %s", post->url, why);
        metric_add(METRIC_ALERTS, 1, post->type, "failed");
        post_free(post);
        return;
    }
    log_warning("alerts: %s: %s; tried again later", post->url, why);
    metric_add(METRIC_ALERTS, 1, post->type, "retried");
    pause_post(post);
}

static void on_answer(void *arg, const struct fetch_answer *answer) {
    struct post *post = arg;
    post->fetch = NULL;
    if (answer->status < 200 || answer->status > 299) {
        char why[64];
        (void)snprintf(why, sizeof why, "it answered %d", answer->status);
        fail_post(post, answer->status ? why : answer->error);
        return;
    }
    metric_add(METRIC_ALERTS, 1, post->type, "sent");
    log_info("alerts: %s was told", post->url);
    write_delivered(post->webhooks, post->key);
    post_free(post);
}

static void start_post(void *arg) {
    struct post *post = arg;
    struct err err = {""};
    const struct address *address = find_address(post->webhooks, post->url);
    INVARIANT(address != NULL); /* webhooks_set drops the others */
    struct fetch_request request = {.url = post->url,
                                    .method = FETCH_POST,
                                    .body = sbuf_slice(&post->body),
                                    .content_type = "application/json",
                                    .headers = (const char *const *)&address->auth,
                                    .header_count = address->auth ? 1 : 0};
    fetch_rules_apply(post->webhooks->rules, &request);
    post->fetch = fetch_start(post->webhooks->fetcher, &request, on_answer, post, &err);
    if (!post->fetch)
        fail_post(post, err.text);
}

static void write_data(struct jsonw *json, const struct alert *alert) {
    char when[CLOCK_TEXT_SIZE];
    jsonw_open_object(json, "data");
    jsonw_str(json, "kind", alert->kind);
    jsonw_str(json, "name", alert->name);
    jsonw_str(json, "subject", alert->subject);
    jsonw_str(json, "fingerprint_sha256", alert->fingerprint);
    jsonw_str(json, "severity", alert->severity);
    jsonw_str(json, "expires_on", clock_format(alert->expires, when));
    jsonw_open_array(json, "hostnames");
    for (size_t i = 0; alert->hostnames && i < alert->hostnames->count; i++)
        jsonw_str(json, NULL, alert->hostnames->items[i].text);
    jsonw_close_array(json);
    jsonw_close_object(json);
}

/* The members of the payload schema; what only an account at Cloudflare has is empty. */
static void write_body(struct sbuf *out, const struct address *address, const struct alert *alert) {
    struct jsonw json;
    jsonw_init(&json, out);
    jsonw_open_object(&json, NULL);
    jsonw_str(&json, "name", address->name);
    jsonw_str(&json, "text", alert->text);
    write_data(&json, alert);
    jsonw_int(&json, "ts", clock_wall());
    jsonw_str(&json, "account_id", "");
    jsonw_str(&json, "policy_id", "");
    jsonw_str(&json, "policy_name", "");
    jsonw_str(&json, "alert_type", alert->type);
    jsonw_string(&json, "alert_correlation_id", slice_first(slice_of(alert->id), 32));
    jsonw_str(&json, "alert_event", "ALERT_STATE_EVENT_START");
    jsonw_close_object(&json);
}

static bool is_under_way(const struct webhooks *webhooks, const char *key) {
    LIST_EACH (node, following, &webhooks->posts) {
        if (strcmp(LIST_ENTRY(node, struct post, node)->key, key) == 0)
            return true;
    }
    return false;
}

static void send_to(struct webhooks *webhooks, const struct address *address, const struct alert *alert) {
    char both[FETCH_URL_MAX + 80], key[65];
    (void)snprintf(both, sizeof both, "%s %s", alert->id, address->url);
    sha256_hex(slice_of(both), key);
    if (map_get(&webhooks->delivered, slice_of(key)) || is_under_way(webhooks, key))
        return;
    if (webhooks->post_count >= POSTS_MAX) {
        log_error("alerts: more than %d wait to be sent: %s is not told: %s", POSTS_MAX, address->url, alert->text);
        metric_add(METRIC_ALERTS, 1, alert->type, "failed");
        return;
    }
    struct post *post = NEW(struct post);
    *post = (struct post){.webhooks = webhooks,
                          .url = mem_strdup(address->url),
                          .type = mem_strdup(alert->type),
                          .pause_ms = FIRST_PAUSE_MS,
                          .begun_us = clock_mono_us()};
    memcpy(post->key, key, sizeof key);
    sbuf_init(&post->body, BODY_MAX);
    write_body(&post->body, address, alert);
    post->timer = loop_timer_new(webhooks->loop, start_post, post);
    loop_timer_set(post->timer, 0);
    list_push_back(&webhooks->posts, &post->node);
    webhooks->post_count++;
}

void webhooks_send(struct webhooks *webhooks, const struct alert *alert) {
    for (size_t i = 0; i < webhooks->count; i++)
        send_to(webhooks, &webhooks->addresses[i], alert);
}

/* ---- life ---- */

struct webhooks *webhooks_new(struct loop *loop, struct err *err) {
    struct webhooks *webhooks = NEW(struct webhooks);
    *webhooks = (struct webhooks){.loop = loop, .fetcher = fetcher_new(loop, err)};
    list_init(&webhooks->posts);
    map_init(&webhooks->delivered);
    sbuf_init(&webhooks->keys, DELIVERED_MAX);
    if (!webhooks->fetcher)
        webhooks_free(&webhooks);
    return webhooks;
}

static void drop_addresses(struct address *addresses, size_t count) {
    for (size_t i = 0; i < count; i++) {
        mem_free(addresses[i].url);
        mem_free(addresses[i].name);
        mem_wipe_free(addresses[i].auth, addresses[i].auth_size);
    }
    mem_free(addresses);
}

static void take_address(struct address *address, const struct conf_webhook *conf, const struct resolved *resolved) {
    struct slice secret = resolved_secret(resolved, conf->secret_file.digest);
    address->url = mem_strdup(conf->url.text);
    address->name = mem_strdup(conf->name.text ? conf->name.text : "sallyport");
    if (!secret.ptr)
        return;
    address->auth_size = secret.len + sizeof "cf-webhook-auth: ";
    address->auth = mem_new(address->auth_size);
    (void)snprintf(address->auth, address->auth_size, "cf-webhook-auth: " SLICE_FMT, SLICE_ARG(secret));
}

void webhooks_set(struct webhooks *webhooks, const struct conf *conf, const struct resolved *resolved) {
    drop_addresses(webhooks->addresses, webhooks->count);
    webhooks->count = conf->alerts.webhooks.count;
    webhooks->addresses = NEW_ARRAY(struct address, webhooks->count + 1);
    for (size_t i = 0; i < webhooks->count; i++)
        take_address(&webhooks->addresses[i], &conf->alerts.webhooks.items[i], resolved);
    fetch_rules_free(&webhooks->rules);
    webhooks->rules = fetch_rules_new(&conf->fetch);
    if (webhooks->count > 0)
        open_delivered(webhooks, conf->state_dir.path.text);
    LIST_EACH (node, following, &webhooks->posts) {
        struct post *post = LIST_ENTRY(node, struct post, node);
        if (!find_address(webhooks, post->url))
            post_free(post);
    }
}

void webhooks_free(struct webhooks **webhooks_ptr) {
    struct webhooks *webhooks = *webhooks_ptr;
    *webhooks_ptr = NULL;
    if (!webhooks)
        return;
    while (!list_is_empty(&webhooks->posts))
        post_free(LIST_ENTRY(webhooks->posts.next, struct post, node));
    drop_addresses(webhooks->addresses, webhooks->count);
    forget_delivered(webhooks);
    map_fini(&webhooks->delivered);
    sbuf_fini(&webhooks->keys);
    mem_free(webhooks->path);
    fetch_rules_free(&webhooks->rules);
    fetcher_free(&webhooks->fetcher);
    mem_free(webhooks);
}
