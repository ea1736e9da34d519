#include "base/texts.h"

#include "base/mem.h"
#include <errno.h>
#include <string.h>

void texts_free(const char *const *list)
{
    for (size_t i = 0; list && list[i]; i++)
        mem_free((void *)(uintptr_t)list[i]);
    mem_free((void *)(uintptr_t)list);
}

int texts_copy(const char *const *list, const char *const **ret_copy)
{
    size_t n = 0;
    *ret_copy = NULL;
    if (!list)
        return 0;
    while (list[n])
        n++;
    const char **copy = mem_zero((n + 1) * sizeof *copy);
    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        copy[i] = mem_copy_text(list[i], strlen(list[i]));
        if (!copy[i]) {
            texts_free(copy);
            return -ENOMEM;
        }
    }
    *ret_copy = copy;
    return 0;
}
