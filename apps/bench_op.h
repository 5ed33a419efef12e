/* Operations as contenders: a walsh_op's own description gives operands, cost and variants. */
#ifndef WALSH_APPS_BENCH_OP_H
#define WALSH_APPS_BENCH_OP_H

#include "apps/bench.h"
#include "engine/op/plan.h"

/* Adds one variant of an operation; takes `row` over. All contenders share the memory of their operands: what is read
 * is uniform in [-1, 1) and never written, and is as warm as the contender before leaves it. */
walsh_status walsh_bench_add_variant(walsh_bench *bench, cJSON *row, const walsh_op *op, const void *problem,
                                     const walsh_variant *variant, int kind);

/* Adds what measures the device's peaks: multiply-adds in registers, and streams through buffers beyond its caches. */
walsh_status walsh_bench_add_peaks(walsh_bench *bench);

/* Measures these peaks alone, on a device that is open. */
walsh_status walsh_bench_measure_peaks(walsh_device *device, walsh_peaks *peaks);

/* Adds walsh_fwht and walsh_fwht_host, both in place, as the calls that they are; `problem` is a walsh_fwht_problem. */
walsh_status walsh_bench_add_fwht(walsh_bench *bench, const void *problem);

/* Sums over a plan: operations, of its convolutions and matrix `products` alone or of all passes, and the bytes that
 * all passes must move. */
void walsh_bench_cost(const walsh_plan *plan, bool products, double *flops, double *bytes);

void walsh_bench_memory_destroy(struct walsh_bench_memory **memory);

#endif
