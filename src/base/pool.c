#include "base/pool.h"
#include "base/mem.h"
#include <assert.h>
#include <string.h>

/* Without this a block that is used after it was given back would look alive to the address sanitizer. The link stays
 * readable: the leak checker follows no pointer out of poisoned memory. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define POOL_POISONS
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define POOL_POISONS
#endif

#ifdef POOL_POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes)   ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#endif

enum { SMALLEST_BLOCK = 64 };

struct pool_block {
    pool_block *next;
};

/** The smallest class whose blocks hold `bytes`. Classes 4k to 4k + 3 are 4, 5, 6, 7 quarters of 64 << k. */
static size_t class_of(size_t bytes)
{
    if (bytes <= SMALLEST_BLOCK)
        return 0;
    size_t last = bytes - 1;
    size_t top_bit = 63 - (size_t)__builtin_clzll(last);
    return (top_bit - 6) * 4 + (last >> (top_bit - 2) & 3) + 1;
}

static size_t class_bytes(size_t size_class)
{
    return (4 + size_class % 4) << (4 + size_class / 4);
}

static_assert(POOL_CLASSES > (23 - 6) * 4 && POOL_BLOCK_BYTES == 1 << 23, "the largest block has a class");

static pool_block *pop(pool *p, size_t size_class)
{
    pool_block *block = p->free[size_class];
    if (!block)
        return NULL;
    ASAN_UNPOISON_MEMORY_REGION(block + 1, class_bytes(size_class) - sizeof *block);
    p->free[size_class] = block->next;
    p->kept_bytes -= class_bytes(size_class);
    return block;
}

void pool_done(pool *p)
{
    for (size_t size_class = 0; size_class < POOL_CLASSES; size_class++) {
        pool_block *block;
        while ((block = pop(p, size_class)))
            mem_free(block);
    }
    assert(p->kept_bytes == 0);
}

void *pool_get(pool *p, size_t bytes, size_t *ret_bytes)
{
    /* A thread without a pool rounds up too: the block may end in the pool of a loop. */
    if (bytes <= POOL_BLOCK_BYTES) {
        size_t size_class = class_of(bytes);
        bytes = class_bytes(size_class);
        void *kept = p ? pop(p, size_class) : NULL;
        if (kept) {
            *ret_bytes = bytes;
            return kept;
        }
    }
    void *block = mem_new(bytes);
    if (block)
        *ret_bytes = bytes;
    return block;
}

void pool_put(pool *p, void *block, size_t bytes)
{
    if (!block)
        return;
    if (!p || bytes > POOL_BLOCK_BYTES || bytes > POOL_KEPT_BYTES - p->kept_bytes) {
        mem_free(block);
        return;
    }
    size_t size_class = class_of(bytes);
    assert(bytes == class_bytes(size_class));
    pool_block *head = block;
    head->next = p->free[size_class];
    p->free[size_class] = head;
    p->kept_bytes += bytes;
    ASAN_POISON_MEMORY_REGION(head + 1, bytes - sizeof *head);
}

void *pool_grow(pool *p, void *block, size_t *bytes, size_t used, size_t wanted)
{
    size_t block_bytes;
    void *larger = pool_get(p, wanted, &block_bytes);
    if (!larger)
        return NULL;
    if (used)
        memcpy(larger, block, used);
    pool_put(p, block, *bytes);
    *bytes = block_bytes;
    return larger;
}
