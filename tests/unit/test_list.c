/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/list.h"

struct item {
    int number;
    struct list node;
};

/* The numbers in the list, as decimal digits; the way back must give the same. */
static long numbers(const struct list *head)
{
    long forward = 0, backward = 0, unit = 1;

    list_for_each (it, head)
        forward = forward * 10 + container_of(it, struct item, node)->number;
    for (const struct list *it = head->prev; it != head; it = it->prev, unit *= 10)
        backward += unit * container_of(it, struct item, node)->number;
    assert_int_equal(forward, backward);
    return forward;
}

static void adding(void **state)
{
    struct item a = {.number = 1}, b = {.number = 2}, c = {.number = 3}, d = {.number = 4};
    struct list head = LIST_INIT(head);

    (void)state;
    assert_true(list_empty(&head));
    assert_int_equal(numbers(&head), 0);
    list_push_back(&head, &a.node);
    assert_false(list_empty(&head));
    list_push_back(&head, &b.node);
    list_push_front(&head, &c.node);
    assert_int_equal(numbers(&head), 312);
    list_add_before(&b.node, &d.node);
    assert_int_equal(numbers(&head), 3142);
}

static void removing(void **state)
{
    struct item item[5];
    struct list head;

    (void)state;
    list_init(&head);
    for (int i = 0; i < 5; i++) {
        item[i].number = i + 1;
        list_push_back(&head, &item[i].node);
    }
    list_del(&item[2].node);
    assert_int_equal(numbers(&head), 1245);
    list_del(&item[2].node); /* twice is harmless */
    assert_int_equal(numbers(&head), 1245);
    assert_true(list_empty(&item[2].node));
    list_del(&item[0].node);
    list_del(&item[4].node);
    assert_int_equal(numbers(&head), 24);
    list_push_front(&head, &item[4].node);
    assert_int_equal(numbers(&head), 524);
    list_del(&item[1].node);
    list_del(&item[3].node);
    list_del(&item[4].node);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adding),
        cmocka_unit_test(removing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
