/**
 * A function that is seldom called: compiled apart, so that what is always called stays small and together.
 */
#ifndef WEFT_BASE_RARE_H
#define WEFT_BASE_RARE_H

#define RARE __attribute__((cold, noinline))

#endif
