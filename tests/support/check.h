/**
 * What every unit test includes: cmocka with the headers that it wants before it.
 */
#ifndef WEFT_TESTS_CHECK_H
#define WEFT_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

#define N_OF(array) (sizeof(array) / sizeof *(array))

/** Runs `body` again and again, with the first, the second, … allocation failing, until it needs no more of them. `body` is a
 * function that returns 0 when it got all it wanted and negative when an allocation failed, having cleaned up after itself. */
static inline void check_failing_allocations(int (*body)(void))
{
    for (uint64_t n = 1;; n++) {
        mem_fail_from(n);
        int result = body();
        mem_fail_from(0);
        if (result >= 0)
            break;
        assert_true(n < 100000);
    }
}

#endif
