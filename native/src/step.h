/*
 * One step: from "go" to its outcome and usage. The outcome is decided here, in step_ended, and nowhere
 * else in Mayfly.
 */
#ifndef MAYFLY_STEP_H
#define MAYFLY_STEP_H

#include "boxes.h"

/* Limits, counters, and the message that makes the waiter the program. `strings` as in mayfly_step. */
void step_start(struct box *box, const struct mayfly_step *request, const char *strings, int input,
                uint64_t asked_us);
/* The size of the box's file system, if it is another. Returns 0 or -errno. */
int step_set_disk(struct box *box, uint64_t bytes, uint32_t files);
/* Writes the limits that do not hold yet. Returns 0 or -errno. */
int step_set_limits(struct box *box, const struct box_limits *limits);
/* Writes the limits of a step that will be the first, ahead of it. Returns 0 or -errno. */
int step_foresee(struct box *box, const struct mayfly_step *request);
/* The waiter's socket: exec succeeded (end of file) or a report of what failed. */
void step_waiter(struct box *box);
/* The step is over, however it ended: its CPUs may be given to others. */
void step_release(struct box *box);
/*
 * Memory for what a step reads, which goes on being the caller's, and the descriptor that the step gets. Returns
 * that, or -errno.
 */
int step_make_input(int *memory);
/* What the waiter is told, but for its CPUs. */
struct go step_go(const struct mayfly_step *request);
void step_out_of_memory(struct box *box);
/* How long the step has taken by the clock, without the time that it stood still. */
uint64_t step_wall_us(const struct step *step, uint64_t now);
/* How long the program cannot have used `left` of its CPU time yet. */
uint64_t step_cpu_headroom_us(const struct mayfly_step *request, uint64_t left);
/* Kills the program; the first reason stands. */
void step_kill(struct box *box, enum mayfly_outcome reason);
/* Pid 1 says that the program and all that it started are dead. NULL: pid 1 is dead too. */
void step_ended(struct box *box, const struct init_report *report);
/* Limits in time. Returns when it wants to be called again, in microseconds of now_us. */
uint64_t step_tick(struct box *box, uint64_t now);

#endif
