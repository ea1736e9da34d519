#include "loop/inbox.h"
#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <weft.h>

/*
 * head is a stack: producers push with a compare-exchange, the consumer takes all of it with one exchange. Nothing is
 * ever popped singly, so a note that is freed and comes back at the same address does no harm: it is again the head
 * that it seems to be.
 *
 * No wake-up is lost because the two sides go in opposite order: a producer changes head (or flags) and then writes the
 * eventfd; the consumer reads the eventfd and then exchanges. A change that the exchange missed came after it, so its
 * write comes after our read and stays readable. (The kernel's lock on the eventfd orders the two system calls, and so
 * what surrounds them.)
 */

#define INBOX_CLOSED ((note *)NULL)

static const unsigned flag_open = 1U << 31;

/* Stands at the bottom of every stack of an open inbox; never written. */
static note inbox_empty;

int inbox_fd(const inbox *box)
{
    /* Pairs with the release of inbox_open(); whoever saw the inbox open has synchronised already. */
    return atomic_load_explicit(&box->eventfd, memory_order_acquire) - 1;
}

int inbox_open(inbox *box)
{
    assert(atomic_load_explicit(&box->head, memory_order_relaxed) == INBOX_CLOSED);
    if (inbox_fd(box) < 0) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0)
            return -errno;
        atomic_store_explicit(&box->eventfd, fd + 1, memory_order_release); /* to inbox_fd() */
    }
    /* Release: inbox_signal() and inbox_push() acquire these two before they use the descriptor. */
    atomic_store_explicit(&box->flags, flag_open, memory_order_release);
    atomic_store_explicit(&box->head, &inbox_empty, memory_order_release);
    return 0;
}

/* Cannot fail in a way that matters: EAGAIN is a counter at its top, which is readable. */
void inbox_wake(const inbox *box)
{
    int before = errno;
    uint64_t one = 1;
    ssize_t written = write(inbox_fd(box), &one, sizeof one);
    (void)written;
    errno = before;
}

/* Relaxed throughout: the counter only limits, it publishes nothing. One compare-exchange decides and counts, so the
 * limit is never passed, nor is anything refused because of a push that is itself about to be refused. */
static bool reserve(inbox *box, size_t bytes)
{
    size_t waiting = atomic_load_explicit(&box->bytes, memory_order_relaxed);
    do {
        if (bytes > INBOX_MAX_BYTES || waiting > INBOX_MAX_BYTES - bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&box->bytes, &waiting, waiting + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void release(inbox *box, size_t bytes)
{
    atomic_fetch_sub_explicit(&box->bytes, bytes, memory_order_relaxed); /* see reserve() */
}

int inbox_push_quietly(inbox *box, note *n, bool *ret_wake)
{
    assert(n->bytes >= sizeof *n);
    /* Acquire, here and when the exchange fails: of the store that opened the inbox, for the descriptor that inbox_wake()
     * uses. */
    note *head = atomic_load_explicit(&box->head, memory_order_acquire);
    if (head == INBOX_CLOSED)
        return WEFT_E_CLOSED;
    size_t bytes = n->bytes;
    if (!reserve(box, bytes))
        return WEFT_E_FULL;
    do {
        if (head == INBOX_CLOSED) {
            release(box, bytes);
            return WEFT_E_CLOSED;
        }
        n->next = head;
        /* Release: the note's bytes, to the exchange of inbox_take() and inbox_close(). From here on the note is
         * theirs. */
    } while (!atomic_compare_exchange_weak_explicit(&box->head, &head, n, memory_order_release, memory_order_acquire));
    *ret_wake = head == &inbox_empty;
    return 0;
}

int inbox_push(inbox *box, note *n)
{
    bool wake = false;
    int error = inbox_push_quietly(box, n, &wake);
    if (wake)
        inbox_wake(box);
    return error;
}

void inbox_signal(inbox *box, unsigned flags)
{
    /* Acquire: of inbox_open(), for the descriptor. */
    unsigned before = atomic_load_explicit(&box->flags, memory_order_acquire);
    do {
        if (!(before & flag_open))
            return;
        /* Release: what the caller wrote before it signalled, to the exchange of inbox_take(). */
    } while (!atomic_compare_exchange_weak_explicit(&box->flags, &before, before | flags, memory_order_release,
                                                    memory_order_acquire));
    if (!(before & INBOX_FLAGS)) /* otherwise whoever set the first flag writes, or has written */
        inbox_wake(box);
}

/* Newest first to oldest first; what comes out no longer counts. */
static note *reverse(inbox *box, note *newest)
{
    note *oldest = NULL;
    size_t bytes = 0;
    while (newest && newest != &inbox_empty) {
        note *n = newest;
        newest = n->next;
        n->next = oldest;
        oldest = n;
        bytes += n->bytes;
    }
    release(box, bytes);
    return oldest;
}

note *inbox_take(inbox *box, unsigned *ret_flags)
{
    uint64_t count;
    ssize_t got = read(inbox_fd(box), &count, sizeof count); /* first: see the top of this file */
    (void)got;
    /* Acquire: of the release in inbox_signal(). */
    *ret_flags = atomic_fetch_and_explicit(&box->flags, flag_open, memory_order_acquire) & INBOX_FLAGS;
    /* Acquire: the notes, from the release in inbox_push(). Release: the empty inbox, with its descriptor, to the next
     * push. */
    return reverse(box, atomic_exchange_explicit(&box->head, &inbox_empty, memory_order_acq_rel));
}

note *inbox_close(inbox *box)
{
    /* Relaxed: a signal that comes too late finds the bit gone and touches nothing. */
    atomic_store_explicit(&box->flags, 0, memory_order_relaxed);
    /* Acquire: the notes, from the release in inbox_push(). */
    return reverse(box, atomic_exchange_explicit(&box->head, INBOX_CLOSED, memory_order_acquire));
}
