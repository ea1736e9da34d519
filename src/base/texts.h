/**
 * NULL-terminated lists of NUL-terminated texts, as option structs have them: deep copies.
 */
#ifndef WEFT_BASE_TEXTS_H
#define WEFT_BASE_TEXTS_H

/** A copy of list and texts; NULL stays NULL. 0 or -ENOMEM. */
int texts_copy(const char *const *list, const char *const **ret_copy);

/** NULL is fine. */
void texts_free(const char *const *list);

#endif
