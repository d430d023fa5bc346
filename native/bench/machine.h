/* What the kernel says of the machine, and of processes on it. */
#ifndef MAYFLY_BENCH_MACHINE_H
#define MAYFLY_BENCH_MACHINE_H

#include <sys/types.h>

struct machine {
    char kernel[128], architecture[32], cpu[128], cgroups[16];
    long cpus, memory_kib;
    double load; /* runnable, over the last minute, when the run began */
};
struct machine machine_read(void);

/* Slab + KernelStack + PageTables + AnonPages, in KiB: what a pooled box is made of. */
long memory_of_boxes_kib(void);
/* Milliseconds that all CPUs together have been busy since boot. */
double busy_ms(void);
/* Resident set of one process. */
long resident_kib(pid_t pid);
/* How many processes descend from it. */
int descendants(pid_t pid);

#endif
