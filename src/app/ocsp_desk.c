/*
 * ocsp_desk: see the header. Owned by control. One record for each certificate and issuer, whoever asks; questions wait
 * until all records of their chain are known.
 *
 *   record: EMPTY --asked--> fetching --a good answer--> KNOWN --half its life, asked--> KNOWN, fetching
 *                               `--none: FAILED for 10 s--asked--> fetching
 */
#include "app/ocsp_desk.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "pki/ocsp.h"
#include "pki/verify.h"
#include "proxy/statuses.h"
#include "store/fetch.h"
#include "store/fetch_rules.h"

#define RECORDS_MAX 16384
#define QUESTIONS_MAX 1024
#define CHAIN_MAX 16
#define URLS_MAX 2
#define TOTAL_MS 10000
#define AGAIN_S 30
#define FAILED_S 10    /* nobody asks again so soon after a failure */
#define SKEW_S 300     /* by which a responder's clock may differ */
#define MAX_AGE_S 3600 /* of an answer that does not say until when it holds */
#define KEY_SIZE (2 * SHA256_SIZE)
/* Clients read it. Addresses and causes are for the log. */
#define NO_ANSWER "no OCSP responder gave a usable answer"

struct record {
    struct list node; /* desk->records, the one used last in front */
    struct ocsp_desk *desk;
    char key[KEY_SIZE];
    struct cert *cert, *issuer;
    char *urls[URLS_MAX];
    size_t url_count, url; /* which is being asked */
    bool is_known;
    struct ocsp_answer answer; /* is_known */
    time_t asked_at, failed_until;
    const char *why; /* nothing is known */
    struct fetch *fetch;
    unsigned waiting; /* questions that look at it */
};

/* A worker's question. */
struct waiting {
    struct list node;
    struct ocsp_desk *desk;
    struct ask_question *question;
    struct record *chain[CHAIN_MAX];
    size_t count;
};

struct ocsp_desk {
    struct fetcher *fetcher;
    struct fetch_rules *rules;
    const struct conf *conf;
    const struct snapshot *snapshot;
    struct map by_key;
    struct list records, questions;
    size_t question_count;
};

/* ---- answers to workers ---- */

static void say(struct ask_question *question, const struct status_answer *answer) {
    struct sbuf text;
    sbuf_init(&text, ASK_TEXT_MAX);
    status_answer_write(answer, &text);
    ask_question_answer(&question, sbuf_slice(&text));
    sbuf_fini(&text);
}

static void say_unavailable(struct ask_question *question, const char *why) {
    struct status_answer answer = {
        .result = STATUS_UNAVAILABLE, .until = clock_wall() + FAILED_S, .revocation_reason = -1};
    (void)snprintf(answer.detail, sizeof answer.detail, "%s", why);
    say(question, &answer);
}

static bool is_usable(const struct record *record, time_t now) {
    return record->is_known && now <= record->answer.usable_until;
}

static time_t half_of(const struct record *record) {
    return record->asked_at + (record->answer.usable_until - record->asked_at) / 2;
}

/* A worker asks again at half its life, and gets what is known while a fresh answer is fetched: nobody waits. */
static time_t worker_until(const struct record *record, time_t now) {
    time_t until = now < half_of(record) ? half_of(record) : now + AGAIN_S;
    return until < record->answer.usable_until ? until : record->answer.usable_until;
}

/* One certificate's part in the answer about its chain; what is worse stays. */
static void add_record(struct status_answer *answer, const struct record *record, int depth, time_t now) {
    if (!is_usable(record, now)) {
        if (answer->result == STATUS_GOOD) {
            answer->result = STATUS_UNAVAILABLE;
            answer->depth = depth;
            (void)snprintf(answer->detail, sizeof answer->detail, "%s", record->why);
        }
        return;
    }
    if (worker_until(record, now) < answer->until)
        answer->until = worker_until(record, now);
    if (record->answer.status == OCSP_REVOKED && answer->result != STATUS_REVOKED) {
        answer->result = STATUS_REVOKED;
        answer->depth = depth;
        answer->revoked_at = record->answer.revoked_at;
        answer->revocation_reason = record->answer.reason;
        answer->detail[0] = '\0';
    }
    if (record->answer.status == OCSP_UNKNOWN && answer->result != STATUS_REVOKED) {
        answer->result = STATUS_UNAVAILABLE;
        answer->is_unknown = true;
        answer->depth = depth;
        (void)snprintf(answer->detail, sizeof answer->detail, "the responder does not know the certificate");
    }
}

static void waiting_free(struct waiting *waiting) {
    list_remove(&waiting->node);
    waiting->desk->question_count--;
    for (size_t i = 0; i < waiting->count; i++)
        waiting->chain[i]->waiting--;
    mem_free(waiting);
}

/* Answers, if every record of the chain has an answer or a failure. */
static void settle(struct waiting *waiting) {
    time_t now = clock_wall();
    struct status_answer answer = {.result = STATUS_GOOD, .until = INT64_MAX, .revocation_reason = -1};
    for (size_t i = 0; i < waiting->count; i++) {
        if (waiting->chain[i]->fetch && !is_usable(waiting->chain[i], now))
            return;
        add_record(&answer, waiting->chain[i], (int)i, now);
    }
    if (answer.result == STATUS_UNAVAILABLE)
        answer.until = now + FAILED_S;
    say(waiting->question, &answer);
    waiting_free(waiting);
}

static void settle_all(struct ocsp_desk *desk) {
    LIST_EACH (node, following, &desk->questions) {
        settle(LIST_ENTRY(node, struct waiting, node));
    }
}

/* ---- asking responders ---- */

static void ask_responder(struct record *record);

static void fail(struct record *record, const char *why) {
    const char *url = record->url < record->url_count ? record->urls[record->url] : "";
    record->why = NO_ANSWER;
    log_warning("OCSP: %s: %s", url, why);
    metric_add(METRIC_OCSP, 1, "failed");
    record->url++;
    if (record->url < record->url_count) {
        ask_responder(record);
        return;
    }
    record->failed_until = clock_wall() + FAILED_S;
}

static void take_answer(struct record *record, struct slice bytes) {
    const struct ocsp_question question = {.cert = record->cert, .issuer = record->issuer};
    const struct ocsp_rules rules = {.now = clock_wall(), .skew_seconds = SKEW_S, .max_age_seconds = MAX_AGE_S};
    struct ocsp_answer answer;
    struct err err = {""};
    if (ocsp_response_read(bytes, &question, &rules, &answer, &err) < 0) {
        ocsp_answer_fini(&answer);
        fail(record, err.text);
        return;
    }
    if (record->is_known && answer.this_update < record->answer.this_update) {
        ocsp_answer_fini(&answer);
        fail(record, "the answer is older than the one before"); /* replayed: it may be from before a revocation */
        return;
    }
    if (record->is_known)
        ocsp_answer_fini(&record->answer);
    record->answer = answer;
    record->is_known = true;
    metric_add(METRIC_OCSP, 1,
               answer.status == OCSP_GOOD      ? "good"
               : answer.status == OCSP_REVOKED ? "revoked"
                                               : "unknown");
}

static void on_fetched(void *arg, const struct fetch_answer *answer) {
    struct record *record = arg;
    char why[128];
    record->fetch = NULL;
    if (answer->status == 200) {
        take_answer(record, answer->body);
    } else {
        (void)snprintf(why, sizeof why, "it answered %d", answer->status);
        fail(record, answer->status ? why : answer->error);
    }
    settle_all(record->desk);
}

static void ask_responder(struct record *record) {
    struct err err = {""};
    struct sbuf body;
    sbuf_init(&body, 4096);
    const struct ocsp_question question = {.cert = record->cert, .issuer = record->issuer};
    if (ocsp_request_write(&question, &body, &err) == 0) {
        struct fetch_request request = {.url = record->urls[record->url],
                                        .method = FETCH_POST,
                                        .body = sbuf_slice(&body),
                                        .content_type = "application/ocsp-request"};
        fetch_rules_apply(record->desk->rules, &request);
        request.size_max = OCSP_RESPONSE_MAX;
        request.total_ms = request.total_ms < TOTAL_MS ? request.total_ms : TOTAL_MS;
        record->asked_at = clock_wall();
        record->fetch = fetch_start(record->desk->fetcher, &request, on_fetched, record, &err);
    }
    sbuf_fini(&body);
    if (!record->fetch)
        fail(record, err.text);
}

/* Asks if what is known is missing, or will soon be over. */
static void freshen(struct record *record, time_t now) {
    bool is_fresh = is_usable(record, now) && now < half_of(record);
    if (is_fresh || record->fetch || now < record->failed_until)
        return;
    record->url = 0;
    if (record->url_count == 0)
        record->why = "the certificate names no OCSP responder";
    else
        ask_responder(record);
}

/* ---- records ---- */

static void record_free(struct record *record) {
    fetch_cancel(&record->fetch);
    list_remove(&record->node);
    (void)map_remove(&record->desk->by_key, slice_make(record->key, KEY_SIZE));
    while (record->url_count > 0)
        mem_free(record->urls[--record->url_count]);
    if (record->is_known)
        ocsp_answer_fini(&record->answer);
    cert_unref(&record->cert);
    cert_unref(&record->issuer);
    mem_free(record);
}

static void make_room(struct ocsp_desk *desk) {
    for (struct list *node = desk->records.prev; desk->by_key.count >= RECORDS_MAX && node != &desk->records;) {
        struct record *record = LIST_ENTRY(node, struct record, node);
        node = node->prev;
        if (record->waiting == 0)
            record_free(record);
    }
}

/* url: the bundle's, which may be another one since; NULL: the certificate's own. */
static void set_urls(struct record *record, const char *url) {
    bool is_same = record->url_count > 0 && (!url || strcmp(record->urls[0], url) == 0);
    if (is_same || record->fetch)
        return;
    while (record->url_count > 0)
        mem_free(record->urls[--record->url_count]);
    record->url_count = url ? 1 : ocsp_urls(record->cert, record->urls, URLS_MAX);
    if (url)
        record->urls[0] = mem_strdup(url);
}

static struct record *record_of(struct ocsp_desk *desk, struct cert *cert, struct cert *issuer, const char *url) {
    char key[KEY_SIZE];
    memcpy(key, cert_sha256(cert), SHA256_SIZE);
    memcpy(key + SHA256_SIZE, cert_sha256(issuer), SHA256_SIZE);
    struct record *record = map_get(&desk->by_key, slice_make(key, KEY_SIZE));
    if (record) {
        list_remove(&record->node);
        list_push_front(&desk->records, &record->node);
        set_urls(record, url);
        return record;
    }
    make_room(desk);
    record = NEW(struct record);
    *record = (struct record){.desk = desk, .cert = cert_ref(cert), .issuer = cert_ref(issuer), .why = NO_ANSWER};
    memcpy(record->key, key, KEY_SIZE);
    set_urls(record, url);
    list_push_front(&desk->records, &record->node);
    map_put(&desk->by_key, slice_make(record->key, KEY_SIZE), record);
    return record;
}

/* ---- questions ---- */

static const struct conf_ca_bundle *bundle_named(const struct ocsp_desk *desk, const char *name) {
    for (size_t i = 0; i < desk->conf->ca_bundles.count; i++)
        if (strcmp(desk->conf->ca_bundles.items[i].name.text, name) == 0)
            return &desk->conf->ca_bundles.items[i];
    return NULL;
}

static void wait_for_chain(struct ocsp_desk *desk, struct ask_question *question, const struct verify_report *report,
                           const struct trust *trust) {
    struct trust_ocsp_rule rule = trust_ocsp_rule(trust, report->bundles);
    const struct conf_ca_bundle *bundle = bundle_named(desk, trust_bundle_name(trust, rule.bundle));
    size_t count = report->chain.count > 0 ? report->chain.count - 1 : 0;
    if (rule.ocsp == TRUST_OCSP_OFF || count == 0 || count > CHAIN_MAX || desk->question_count >= QUESTIONS_MAX) {
        ask_question_refuse(&question);
        return;
    }
    if (rule.ocsp == TRUST_OCSP_LEAF)
        count = 1;
    struct waiting *waiting = NEW(struct waiting);
    *waiting = (struct waiting){.desk = desk, .question = question};
    list_push_back(&desk->questions, &waiting->node);
    desk->question_count++;
    time_t now = clock_wall();
    for (size_t i = 0; i < count; i++) {
        struct record *record =
            record_of(desk, report->chain.items[i], report->chain.items[i + 1], bundle ? bundle->ocsp_url.text : NULL);
        waiting->chain[waiting->count++] = record;
        record->waiting++;
        freshen(record, now);
    }
    settle(waiting);
}

/* As the worker did, by what is in force here: only a chain that verifies is asked about. */
static void verify_and_wait(struct ocsp_desk *desk, struct ask_question *question, const struct cert_list *certs,
                            const struct trust *trust) {
    const struct cert_list rest = {certs->items + 1, certs->count - 1};
    struct verify_report report;
    verify_chain(trust, certs->items[0], &rest, clock_wall(), NULL, &report);
    if (report.reason == REASON_NONE)
        wait_for_chain(desk, question, &report, trust);
    else
        ask_question_refuse(&question);
    verify_report_fini(&report);
}

static bool decode(const struct status_question *text, struct cert_list *certs) {
    for (size_t i = 0; i < text->count; i++) {
        struct err err;
        struct cert *cert = cert_from_der(text->ders[i], &err);
        if (!cert)
            return false;
        cert_list_add(certs, cert);
        cert_unref(&cert);
    }
    return true;
}

void ocsp_desk_answer(struct ocsp_desk *desk, struct ask_question *question) {
    struct status_question text;
    struct cert_list certs = {NULL, 0};
    const struct hostname *hostname = NULL;
    if (desk->snapshot && status_question_read(question->text, &text))
        hostname = snapshot_hostname(desk->snapshot, text.hostname);
    if (!hostname || !hostname->trust || !decode(&text, &certs))
        say_unavailable(question, "the question makes no sense");
    else
        verify_and_wait(desk, question, &certs, hostname->trust);
    cert_list_fini(&certs);
}

/* ---- life ---- */

struct ocsp_desk *ocsp_desk_new(struct loop *loop, struct err *err) {
    struct ocsp_desk *desk = NEW(struct ocsp_desk);
    *desk = (struct ocsp_desk){.fetcher = fetcher_new(loop, err)};
    map_init(&desk->by_key);
    list_init(&desk->records);
    list_init(&desk->questions);
    if (!desk->fetcher)
        ocsp_desk_free(&desk);
    return desk;
}

void ocsp_desk_set(struct ocsp_desk *desk, const struct conf *conf, const struct snapshot *snapshot) {
    desk->conf = conf;
    desk->snapshot = snapshot;
    fetch_rules_free(&desk->rules);
    desk->rules = fetch_rules_new(&conf->fetch);
}

void ocsp_desk_free(struct ocsp_desk **desk_ptr) {
    struct ocsp_desk *desk = *desk_ptr;
    *desk_ptr = NULL;
    if (!desk)
        return;
    LIST_EACH (node, following, &desk->questions) {
        struct waiting *waiting = LIST_ENTRY(node, struct waiting, node);
        ask_question_refuse(&waiting->question);
        waiting_free(waiting);
    }
    LIST_EACH (node, following, &desk->records) {
        record_free(LIST_ENTRY(node, struct record, node));
    }
    map_fini(&desk->by_key);
    fetch_rules_free(&desk->rules);
    fetcher_free(&desk->fetcher);
    mem_free(desk);
}
