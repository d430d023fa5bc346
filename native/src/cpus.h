/*
 * Which CPUs boxes use. A box is told ⌈cpus⌉ of them, so that runtimes size their thread pools right: those that
 * the fewest boxes have. It is advice, which a program may change; the quota is what limits.
 *
 * A box that is made ahead of time is given its CPU then: moving a process that is about to run to another
 * CPU costs more than most of what else is done for it.
 */
#ifndef MAYFLY_CPUS_H
#define MAYFLY_CPUS_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

/* Finds the CPUs that this process may use. Returns 0 or -errno. */
int cpus_open(void);
uint32_t cpus_count(void);
/* The CPU for a box that is about to be made: each in turn. */
uint32_t cpus_next(void);
/* How many running boxes have it. */
uint32_t cpus_load(uint32_t cpu);
/* All that there are, as the kernel writes them: "0,2,3". */
void cpus_text(const cpu_set_t *set, char *text, size_t bytes);
/* The CPUs that no box has alone. */
const cpu_set_t *cpus_shared(void);
/*
 * A CPU that one box is to have alone, which goes to no other until it is shared again. One stays for the others:
 * -EBUSY when it is the last. Returns it, or -errno.
 */
int cpus_reserve(void);
void cpus_share(uint32_t cpu);
/* Takes a CPU that is reserved. */
void cpus_take_reserved(uint32_t cpu, cpu_set_t *taken);
/* Takes `wanted` CPUs of the shared ones, or all of them; `preferred` first if no other has less to do. */
void cpus_take(uint32_t wanted, uint32_t preferred, cpu_set_t *taken);
/* Gives back and clears. */
void cpus_give_back(cpu_set_t *taken);

#endif
