/**
 * A doubly linked list through a node inside each member. The head is a node of its own; a zeroed node is in no list.
 */
#ifndef WEFT_BASE_LIST_H
#define WEFT_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct list_node {
    struct list_node *next, *prev;
} list_node;

/** The struct that holds a node: CONTAINER(node, stream, waiting). */
#define CONTAINER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(list_node *head)
{
    head->next = head->prev = head;
}

static inline bool list_empty(const list_node *head)
{
    return head->next == head;
}

static inline bool list_linked(const list_node *node)
{
    return node->next;
}

static inline void list_append(list_node *head, list_node *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/** In no list is fine. */
static inline void list_remove(list_node *node)
{
    if (!node->next)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = NULL;
}

/** The first member's node, NULL when empty. */
static inline list_node *list_first(const list_node *head)
{
    return list_empty(head) ? NULL : head->next;
}

#endif
