/*
 * Pooled boxes in which an interpreter has started already (docs/adr/0024): the image's own command, run by the
 * first waiter as any step's is, which opens its program, finds a pipe there (source.h), and waits.
 *
 *   MAKING ─> WARMING ─────────────> IDLE, warm ─ step asks for the same ─> READING ─ fed ─> RUNNING
 *              exec, pipe opened                └─ for another ─> COOLING ─> IDLE: as any box after a step
 *
 * What the interpreter used before it was fed is not billed: the counters' base is taken when it is fed, as a
 * program's is when its waiter is told to go. A box whose interpreter fails in any way before that is thrown away
 * while it is pooled, and cooled when it has been claimed.
 */
#ifndef MAYFLY_WARM_H
#define MAYFLY_WARM_H

#include "boxes.h"

void warm_configure(uint64_t bytes_max);
/* Whether memory is left for one more box of the image, when `taken` is what the others hold. */
bool warm_affordable(const struct image *image, uint64_t taken);

/* The box is ready, and pooled: starts the interpreter. Returns 0 or -errno. */
int warm_begin(struct box *box);
/* The interpreter was seen to exec. */
void warm_executed(struct box *box);
/* Pid 1 has the other end of its pipe. */
void warm_awaited(struct box *box, const struct init_report *report);
/* It says something, or closes its streams, before it was fed. */
void warm_spoke(struct box *box, int stream);
/* It takes too long to wait for its program. */
void warm_late(struct box *box);
/* It is dead, as pid 1 says. */
void warm_ended(struct box *box);

/* The first request of the box is a step: sees to it that it can be started, or that the box is cooled. */
void warm_turn(struct box *box);
/* Pid 1 has read the program, or could not. */
void warm_read_end(struct box *box, const struct init_report *report);
/* The interpreter goes on. `input`: what the step reads. Returns 0 or -errno. */
int warm_feed(struct box *box, int input);

#endif
