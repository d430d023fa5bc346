/* What boxes cost the machine beside time. */
#ifndef MAYFLY_BENCH_COSTS_H
#define MAYFLY_BENCH_COSTS_H

struct costs {
    double pooled_box_kib; /* kernel and anonymous memory of one box in a pool of COSTS_POOL */
    double pooled_box_kib_after; /* the same when the pool has been used `boxes_between` times */
    long boxes_between;
    long left_kib; /* what is more than before the supervisor started, when it has ended */
    long supervisor_kib, maker_kib;
    double box_busy_ms, spawn_busy_ms; /* of all CPUs together, less what they do without us */
    double idle_busy_ms_per_second;
};
#define COSTS_POOL 64u

struct costs costs_measure(long boxes);

#endif
