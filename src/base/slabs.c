#include "base/slabs.h"

#include "base/mem.h"
#include <assert.h>
#include <string.h>

enum { HEAD_BYTES = 64 };

typedef struct free_place {
    struct free_place *next;
} free_place;

/* Stands at a multiple of its size, so a place knows its page. */
typedef struct {
    list_node ring;   /* of the pages of its size that have room; in none when it is full */
    free_place *free; /* given back */
    uint32_t n_used;
    uint32_t n_begun; /* places behind these were never used, and their memory not touched */
    uint32_t n_all;
} page;

static_assert(sizeof(page) <= HEAD_BYTES, "places begin behind it");

static size_t size_index(size_t bytes)
{
    return bytes ? (bytes - 1) / SLABS_STEP_BYTES : 0;
}

static size_t size_bytes(size_t index)
{
    return (index + 1) * SLABS_STEP_BYTES;
}

static void join(list_node **ring, page *p)
{
    if (*ring)
        list_append(*ring, &p->ring);
    else
        list_init(&p->ring);
    *ring = &p->ring;
}

static void leave(list_node **ring, page *p)
{
    if (*ring == &p->ring)
        *ring = p->ring.next == &p->ring ? NULL : p->ring.next;
    list_remove(&p->ring);
}

static page *page_new(slabs *s, size_t index)
{
    page *p = mem_aligned(SLABS_PAGE_BYTES, SLABS_PAGE_BYTES);
    if (!p)
        return NULL;
    *p = (page){.n_all = (uint32_t)((SLABS_PAGE_BYTES - HEAD_BYTES) / size_bytes(index))};
    join(&s->with_room[index], p);
    s->n_pages++;
    return p;
}

static void page_free(slabs *s, size_t index, page *p)
{
    leave(&s->with_room[index], p);
    s->n_pages--;
    mem_free(p);
}

static page *page_with_room(slabs *s, size_t index)
{
    list_node *node = s->with_room[index];
    return node ? CONTAINER(node, page, ring) : page_new(s, index);
}

/* A place that was used before is in the cache, or at least in memory. */
static void *take(page *p, size_t bytes)
{
    free_place *place = p->free;
    p->n_used++;
    if (!place)
        return (char *)p + HEAD_BYTES + bytes * p->n_begun++;
    p->free = place->next;
    return place;
}

static bool is_own_block(size_t bytes)
{
#ifdef __has_feature
#if __has_feature(address_sanitizer)
    return true;
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
    return true;
#endif
    return bytes > SLABS_MOST_BYTES;
}

void *slabs_get(slabs *s, size_t bytes)
{
    if (is_own_block(bytes))
        return mem_zero(bytes);
    size_t index = size_index(bytes);
    page *p = page_with_room(s, index);
    if (!p)
        return NULL;
    void *place = take(p, size_bytes(index));
    s->used_bytes += size_bytes(index);
    if (p->n_used == p->n_all)
        leave(&s->with_room[index], p);
    return memset(place, 0, bytes);
}

void slabs_put(slabs *s, void *place, size_t bytes)
{
    if (!place || is_own_block(bytes)) {
        mem_free(place);
        return;
    }
    size_t index = size_index(bytes);
    page *p = (page *)((uintptr_t)place & ~(uintptr_t)(SLABS_PAGE_BYTES - 1));
    assert(p->n_used);
    if (p->n_used == p->n_all)
        join(&s->with_room[index], p);
    free_place *freed = place;
    freed->next = p->free;
    p->free = freed;
    p->n_used--;
    s->used_bytes -= size_bytes(index);
    if (!p->n_used && p->ring.next != &p->ring)
        page_free(s, index, p);
}

void slabs_trim(slabs *s)
{
    for (size_t index = 0; index < SLABS_MOST_BYTES / SLABS_STEP_BYTES; index++) {
        list_node *node = s->with_room[index];
        page *p = node ? CONTAINER(node, page, ring) : NULL;
        if (p && !p->n_used) /* it is the only one */
            page_free(s, index, p);
    }
}
