/**
 * A whole run of the load generator, from the plan to the report.
 */
#ifndef WEFT_BENCH_BENCH_H
#define WEFT_BENCH_BENCH_H

#include "bench/plan.h"

/** Runs and reports on standard output; what went wrong is told on standard error, a sentence each. The exit status: 0, or 1 when anything was lost, wrong or
 * not possible. */
int bench_run(const bench_plan *plan);

#endif
