/**
 * Work handed to a loop from any thread: a lock-free queue of many producers and one consumer whose eventfd is written
 * only when it was empty. Notes of one producer come out in the order in which it pushed them.
 *
 * An inbox is never freed: it lives in a static table, is opened by the loop that takes the place and closed when that
 * loop ends, so that a stale handle can always be tried. Its descriptor is made once and kept.
 */
#ifndef WEFT_LOOP_INBOX_H
#define WEFT_LOOP_INBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { INBOX_MAX_BYTES = 16 << 20 }; /* what may wait at once; more is refused with WEFT_E_FULL */

typedef struct note note;

/** One call that travels. Made by mem_new() with whatever follows it; the consumer runs it and then frees it. */
struct note {
    note *next;
    size_t bytes;                     /* what it counts for, itself included */
    void (*run)(note *n, void *loop); /* on the loop's thread */
    void (*drop)(note *n);            /* instead of run when the loop ends first; NULL: nothing to release */
};

enum { INBOX_FLAGS = 0x7fffffff }; /* the bits that inbox_signal() may carry */

/** Zeroed is closed. */
typedef struct {
    _Atomic(note *) head;   /* newest first; NULL is closed, a sentinel is open and empty */
    _Atomic size_t bytes;   /* of the notes that wait */
    _Atomic unsigned flags; /* INBOX_FLAGS signalled, and one bit more that says open */
    _Atomic int eventfd;    /* descriptor + 1, so that zeroed is none */
} inbox;

/** Opens a closed inbox; one thread at a time. 0 or -errno (no descriptor). */
int inbox_open(inbox *box);

/** The descriptor that is readable when there is something to take (and now and then when there is not). Opened once,
 * it stays. */
int inbox_fd(const inbox *box);

/** Any thread. Takes ownership of the note on 0; WEFT_E_CLOSED or WEFT_E_FULL leave it with the caller. A place that
 * has been taken again accepts notes meant for the loop before: what a note refers to by handle must be looked up when
 * it runs. */
int inbox_push(inbox *box, note *n);

/** The same without waking the loop; where *ret_wake says so inbox_wake() is to follow soon. */
int inbox_push_quietly(inbox *box, note *n, bool *ret_wake);

/** Any thread. */
void inbox_wake(const inbox *box);

/** Wakes the loop with flag bits that inbox_take() hands over; async-signal-safe; a closed inbox ignores it. */
void inbox_signal(inbox *box, unsigned flags);

/** On the loop: everything that waits, oldest first, linked by next (NULL for nothing), and the flags. Resets the
 * descriptor. */
note *inbox_take(inbox *box, unsigned *ret_flags);

/** On the loop: no push succeeds from now on; what still waits comes out, oldest first. */
note *inbox_close(inbox *box);

#endif
