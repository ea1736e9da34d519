/** `weft bench`: a load generator for realtime servers. */
#ifndef WEFT_CLI_BENCH_H
#define WEFT_CLI_BENCH_H

/** argv behind the word "bench". The exit status. */
int run_bench(char **argv);

#endif
