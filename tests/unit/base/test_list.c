#include "base/list.h"

#include <check.h>

struct item {
    int value;
    struct list node;
};

START_TEST(order_of_insertion) {
    struct list head;
    struct item items[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    list_init(&head);
    ck_assert(list_is_empty(&head));
    list_push_back(&head, &items[2].node);
    list_push_back(&head, &items[3].node);
    list_push_front(&head, &items[0].node);
    list_insert_before(&items[2].node, &items[1].node);
    int expected = 0;
    LIST_EACH (node, next, &head)
        ck_assert_int_eq(LIST_ENTRY(node, struct item, node)->value, expected++);
    ck_assert_int_eq(expected, 4);
}
END_TEST

START_TEST(removal_while_walking_and_twice) {
    struct list head;
    struct item items[3];
    list_init(&head);
    for (int i = 0; i < 3; i++)
        list_push_back(&head, &items[i].node);
    LIST_EACH (node, next, &head)
        list_remove(node);
    ck_assert(list_is_empty(&head));
    list_remove(&items[0].node);
    ck_assert(list_is_empty(&items[0].node));
}
END_TEST

Suite *base_list_suite(void);
Suite *base_list_suite(void) {
    Suite *suite = suite_create("list");
    TCase *tcase = tcase_create("list");
    tcase_add_test(tcase, order_of_insertion);
    tcase_add_test(tcase, removal_while_walking_and_twice);
    suite_add_tcase(suite, tcase);
    return suite;
}
