#include "base/histogram.h"

const uint16_t histogram_bounds_ms[HISTOGRAM_BOUNDS] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000};

void histogram_add(histogram *h, uint64_t us)
{
    int i = 0;
    while (i < HISTOGRAM_BOUNDS && us > (uint64_t)histogram_bounds_ms[i] * 1000)
        i++;
    h->n[i]++;
    h->sum_us += us;
}
