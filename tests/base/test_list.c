#include "base/list.h"
#include "support/check.h"
#include <string.h>

typedef struct {
    char name;
    list_node node; /* not first, so that CONTAINER has something to do */
} item;

static list_node head;
static item a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};

static int start(void **state)
{
    (void)state;
    list_init(&head);
    a.node = b.node = c.node = (list_node){NULL, NULL};
    return 0;
}

/* The names in order, checked in both directions. */
static void assert_list(const char *expected)
{
    size_t n = 0, len = strlen(expected);
    for (list_node *node = head.next; node != &head; node = node->next, n++) {
        assert_true(n < len);
        assert_int_equal(CONTAINER(node, item, node)->name, expected[n]);
        assert_ptr_equal(node->prev->next, node);
        assert_ptr_equal(node->next->prev, node);
        assert_true(list_linked(node));
    }
    assert_int_equal(n, len);
    assert_int_equal(list_empty(&head), len == 0);
}

static void list__is_empty_at_first(void **state)
{
    (void)state;
    assert_list("");
    assert_null(list_first(&head));
    assert_false(list_linked(&a.node));
}

static void list__keeps_order(void **state)
{
    (void)state;
    list_append(&head, &a.node);
    list_append(&head, &b.node);
    list_append(&head, &c.node);
    assert_list("abc");
    assert_ptr_equal(list_first(&head), &a.node);
}

static void list__loses_first_middle_and_last(void **state)
{
    (void)state;
    item *all[] = {&a, &b, &c};
    static const char *const left[] = {"bc", "ac", "ab"};
    for (size_t i = 0; i < N_OF(all); i++) {
        for (size_t j = 0; j < N_OF(all); j++)
            list_append(&head, &all[j]->node);
        list_remove(&all[i]->node);
        assert_list(left[i]);
        assert_false(list_linked(&all[i]->node));
        for (size_t j = 0; j < N_OF(all); j++)
            list_remove(&all[j]->node);
        assert_list("");
    }
}

static void list__remove_of_none_is_fine(void **state)
{
    (void)state;
    list_append(&head, &a.node);
    list_remove(&b.node);
    list_remove(&a.node);
    list_remove(&a.node);
    assert_list("");
    list_append(&head, &a.node);
    assert_list("a");
}

static void list__can_be_emptied_from_the_front(void **state)
{
    (void)state;
    list_append(&head, &a.node);
    list_append(&head, &b.node);
    size_t n = 0;
    for (list_node *node; (node = list_first(&head)); n++)
        list_remove(node);
    assert_int_equal(n, 2);
    assert_list("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(list__is_empty_at_first, start),
        cmocka_unit_test_setup(list__keeps_order, start),
        cmocka_unit_test_setup(list__loses_first_middle_and_last, start),
        cmocka_unit_test_setup(list__remove_of_none_is_fine, start),
        cmocka_unit_test_setup(list__can_be_emptied_from_the_front, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
