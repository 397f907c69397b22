/* deny_page: the HTML form of a denial; private to reply.c. */
#ifndef SALLYPORT_PROXY_DENY_PAGE_PRIV_H
#define SALLYPORT_PROXY_DENY_PAGE_PRIV_H

#include "base/sbuf.h"
#include "proxy/reply.h"

/* What the page says; every text is escaped on the way in. NULL: the part is left out. */
struct deny_page {
    int status;
    const char *message; /* the application's own words, above the detail */
    const char *code;
    const char *detail, *hint;
    const char *hostname, *application;
    const char *ray_id;
    time_t now;
};

void deny_page_render(const struct deny_page *page, struct sbuf *out);

#endif
