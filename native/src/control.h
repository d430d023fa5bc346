/*
 * What is done to a step while it runs: freezing, new limits, input, signals, the size of its terminal. Each
 * request is answered at once by one CONTROL_END.
 */
#ifndef MAYFLY_CONTROL_H
#define MAYFLY_CONTROL_H

#include "boxes.h"

/* One request about a box; `tail` holds its tail_bytes. */
void control_take(struct box *box, const struct request *request, const char *tail);
/* Types what the program had no room for. Returns when to call again, in microseconds of now_us. */
uint64_t control_type(struct box *box, uint64_t now);

bool control_size_is_sound(uint32_t rows, uint32_t columns);
/* Has pid 1 make the terminal of the next step. Returns 0 or -errno. */
int control_ask_terminal(struct box *box);
/* It is made; both ends are taken over. */
void control_terminal(struct box *box, int master, int slave);
/* What the program gets as its input: the terminal, or a pipe. Or -errno. */
int control_connect(struct box *box);
/* The step is over. */
void control_release(struct box *box);
/* The box is about to be killed: what is frozen on control groups v1 would not die. */
void control_kill(struct box *box);

#endif
