/**
 * What kind of thing a file is, by its name.
 */
#ifndef WEFT_HTTP_MEDIA_TYPE_H
#define WEFT_HTTP_MEDIA_TYPE_H

#include "base/str.h"

/** The Content-Type of a file, by what stands behind the last dot of its path, in any case; application/octet-stream when nobody
 * knows. Text is taken to be UTF-8. Static. */
str media_type_of(str path);

#endif
