/*
 * What a step writes, from its pipes, or its terminal, to the library. While nobody follows the box, it is gathered here
 * and told in large portions: every message wakes the library, whoever it is for.
 */
#ifndef MAYFLY_OUTPUT_H
#define MAYFLY_OUTPUT_H

#include "boxes.h"

/* There is something to read: 0 is stdout, 1 is stderr. */
void output_ready(struct box *box, int stream);
/* Reads resting streams whose time has come. Returns when the next one's does, in microseconds of now_us. */
uint64_t output_wake(struct box *box, uint64_t now);
/* All who could write are dead: reads what the pipes still hold. */
void output_drain(struct box *box);
/* As if the step had written it; does not count as its output. */
void output_say(struct box *box, int stream, const char *bytes, uint64_t count);
/* Tells what was gathered. */
void output_tell(struct box *box);
/* From here on what the box's steps write is told as it comes; at once, what was gathered. */
void output_follow(struct box *box);
/* The step is over. */
void output_release(struct box *box);

#endif
