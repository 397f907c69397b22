/*
 * list: an intrusive, circular, doubly linked list. A node is a member of the struct it links; a node that is on
 * no list points to itself, so list_remove() is always safe after list_init().
 */
#ifndef SALLYPORT_BASE_LIST_H
#define SALLYPORT_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *node) { node->next = node->prev = node; }
static inline bool list_is_empty(const struct list *head) { return head->next == head; }
static inline void list_insert_before(struct list *place, struct list *node) {
    node->prev = place->prev;
    node->next = place;
    place->prev->next = node;
    place->prev = node;
}
static inline void list_push_back(struct list *head, struct list *node) { list_insert_before(head, node); }
static inline void list_push_front(struct list *head, struct list *node) { list_insert_before(head->next, node); }
static inline void list_remove(struct list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The struct that holds the node. */
#define LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
/* Safe against removal of the current node. */
#define LIST_EACH(cursor, following, head)                                                \
    for (struct list *cursor = (head)->next, *following = cursor->next; cursor != (head); \
         cursor = following, following = cursor->next)

#endif
