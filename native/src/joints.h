/*
 * Pipes between the boxes of one job: each end is a descriptor that the next step of its box begins with. What
 * goes through stays in the kernel; only where a transcript is wanted does it pass here, by way of two pipes.
 */
#ifndef MAYFLY_JOINTS_H
#define MAYFLY_JOINTS_H

#include "boxes.h"

/* Makes a pipe, and keeps each end for its box. What makes no sense is a fault of the box that it is about. */
void joints_join(const struct mayfly_join *join);
/* Whether descriptor 0 of the next step is the end of a pipe. */
bool joints_feed(const struct box *box);
/* Appends the ends that the step is given, behind what `go` and `given` have already. */
void joints_give(const struct box *box, struct go *go, int given[GIVEN_MAX]);
/* The program has them: those that are not held are closed here. */
void joints_given(struct box *box);
/* The step is over, or never will be. */
void joints_release(struct box *box);
#endif
