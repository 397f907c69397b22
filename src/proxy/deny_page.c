/*
 * deny_page: one self-contained HTML page: no script, no external resource, readable without styles, light and dark,
 * and printable. The facts a person will be asked for (code, ray id, time) are in one list, ready to be copied.
 */
#include "deny_page_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "http/head.h"

static const char page_style[] =
    ":root{color-scheme:light dark;--ink:#1b2430;--soft:#5a6675;--line:#e2e7ee;--paper:#fff;--ground:#f4f6f9;"
    "--mark:#b3261e;--mark-soft:#fdecea;--note:#eef4ff;--note-ink:#173e7a}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e8ecf2;--soft:#9aa7b8;--line:#2b3544;--paper:#18202b;"
    "--ground:#0f141b;--mark:#ff8a80;--mark-soft:#3a1d1c;--note:#172740;--note-ink:#b7d0ff}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;padding:24px;background:var(--ground);"
    "color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}"
    "main{width:100%;max-width:580px;background:var(--paper);border:1px solid var(--line);border-radius:14px;"
    "padding:40px;box-shadow:0 12px 40px rgba(15,25,40,.08)}"
    ".badge{display:grid;place-items:center;width:52px;height:52px;border-radius:50%;background:var(--mark-soft);"
    "color:var(--mark);margin-bottom:20px}"
    "h1{margin:0 0 8px;font-size:26px;line-height:1.25;letter-spacing:-.01em}"
    "p{margin:0 0 16px}.lead{font-size:17px;overflow-wrap:anywhere}"
    ".hint{background:var(--note);color:var(--note-ink);border-radius:10px;padding:14px 16px;margin:20px 0 0}"
    ".hint strong{display:block;font-size:13px;letter-spacing:.02em;margin-bottom:2px}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:8px 20px;margin:28px 0 0;padding-top:22px;"
    "border-top:1px solid var(--line);font-size:14px}"
    "dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;"
    "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation "
    "Mono',monospace;font-size:13px;line-height:22px}"
    "@media(max-width:480px){main{padding:28px 22px}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:10px}}"
    "@media print{body{background:#fff}main{box-shadow:none}}";

static const char icon_lock[] =
    "<rect x=\"4.5\" y=\"10.5\" width=\"15\" height=\"10\" rx=\"2\"/><path d=\"M8 10.5V7.5a4 4 0 0 1 8 0v3\"/>"
    "<path d=\"M12 14.5v2.5\"/>";
static const char icon_warning[] = "<path d=\"M12 4 2.8 20h18.4z\"/><path d=\"M12 10v4.5\"/><path d=\"M12 17.2v.1\"/>";

/* As text of the page. Control characters and bytes that are no UTF-8 are shown as \x1b. */
static void append_escaped(struct sbuf *out, const char *text) {
    struct sbuf printable;
    sbuf_init(&printable, 4 * strlen(text) + 1);
    sbuf_append_printable(&printable, slice_of(text));
    for (text = sbuf_text(&printable); *text; text++) {
        switch (*text) {
        case '&':
            sbuf_append_str(out, "&amp;");
            break;
        case '<':
            sbuf_append_str(out, "&lt;");
            break;
        case '>':
            sbuf_append_str(out, "&gt;");
            break;
        case '"':
            sbuf_append_str(out, "&quot;");
            break;
        case '\'':
            sbuf_append_str(out, "&#39;");
            break;
        default:
            sbuf_append_char(out, *text);
        }
    }
    sbuf_fini(&printable);
}

/* A detail begins in lower case, to follow a colon elsewhere; here it is a sentence of its own. */
static void append_sentence(struct sbuf *out, const char *text) {
    if (*text >= 'a' && *text <= 'z') {
        sbuf_append_char(out, (char)(*text++ - 'a' + 'A'));
    }
    append_escaped(out, text);
    if (*text && !strchr(".!?", text[strlen(text) - 1])) {
        sbuf_append_char(out, '.');
    }
}

static const char *page_title(int status) {
    switch (status) {
    case 302:
    case 401:
    case 403:
        return "Access denied";
    case 421:
        return "Wrong connection";
    case 429:
        return "Too many requests";
    case 502:
    case 503:
    case 504:
        return "The application does not answer";
    default:
        return status >= 500 ? "Something went wrong" : "This request cannot be served";
    }
}

static void append_fact(struct sbuf *out, const char *name, const char *value) {
    if (!value || !*value)
        return;
    sbuf_printf(out, "<dt>%s</dt><dd>", name);
    append_escaped(out, value);
    sbuf_append_str(out, "</dd>\n");
}

static void append_head(const struct deny_page *page, struct sbuf *out) {
    const char *title = page_title(page->status);
    sbuf_append_str(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                         "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                         "<meta name=\"robots\" content=\"noindex\">\n");
    sbuf_printf(out, "<title>%s</title>\n<style>%s</style>\n</head>\n", title, page_style);
}

void deny_page_render(const struct deny_page *page, struct sbuf *out) {
    char when[CLOCK_TEXT_SIZE], status[48];
    bool is_denial = page->status == 401 || page->status == 403 || page->status == 302;
    append_head(page, out);
    sbuf_printf(
        out,
        "<body>\n<main>\n<div class=\"badge\"><svg width=\"26\" height=\"26\" viewBox=\"0 0 24 24\" fill=\"none\" "
        "stroke=\"currentColor\" stroke-width=\"1.8\" stroke-linecap=\"round\" stroke-linejoin=\"round\" "
        "aria-hidden=\"true\">%s</svg></div>\n<h1>%s</h1>\n",
        is_denial ? icon_lock : icon_warning, page_title(page->status));
    if (page->message) {
        sbuf_append_str(out, "<p class=\"lead\">");
        append_escaped(out, page->message);
        sbuf_append_str(out, "</p>\n");
    }
    sbuf_append_str(out, "<p class=\"lead\">");
    if (page->detail && *page->detail)
        append_sentence(out, page->detail);
    else if (is_denial)
        sbuf_append_str(out, "You do not have permission to view this. Please contact your system administrator.");
    else
        append_escaped(out, status_phrase(page->status));
    sbuf_append_str(out, "</p>\n");
    if (page->hint && *page->hint) {
        sbuf_append_str(out, "<div class=\"hint\"><strong>What you can do</strong>");
        append_escaped(out, page->hint);
        sbuf_append_str(out, "</div>\n");
    }
    snprintf(status, sizeof status, "%d %s", page->status, status_phrase(page->status));
    sbuf_append_str(out, "<dl>\n");
    append_fact(out, "Host", page->hostname);
    append_fact(out, "Application", page->application);
    append_fact(out, "Status", status);
    append_fact(out, "Reason", page->code);
    append_fact(out, "Ray ID", page->ray_id);
    append_fact(out, "Time", clock_format(page->now, when));
    sbuf_append_str(out, "</dl>\n</main>\n</body>\n</html>\n");
}
