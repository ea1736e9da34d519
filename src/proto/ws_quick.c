#include "proto/ws_quick.h"

#ifdef WEFT_LIBDEFLATE

#include <libdeflate.h>

enum { LEVEL = 1 }; /* measured on JSON of 1 to 16 KiB: smaller than zlib's level 6, sooner than its level 1 */

ws_quick *ws_quick_new(void)
{
    return libdeflate_alloc_compressor(LEVEL);
}

void ws_quick_free(ws_quick *q)
{
    if (q)
        libdeflate_free_compressor(q);
}

size_t ws_quick_compress(ws_quick *q, str in, char *out, size_t room)
{
    return libdeflate_deflate_compress(q, in.at, in.len, out, room);
}

#else

ws_quick *ws_quick_new(void)
{
    return NULL;
}

void ws_quick_free(ws_quick *q)
{
    (void)q;
}

size_t ws_quick_compress(ws_quick *q, str in, char *out, size_t room)
{
    (void)q, (void)in, (void)out, (void)room;
    return 0;
}

#endif
