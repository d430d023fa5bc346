/* What the tests of real boxes share: a supervisor, boxes of the image "base" with prey in them, and what is left. */
#ifndef MAYFLY_HARNESS_H
#define MAYFLY_HARNESS_H

#include <stdint.h>

#include "mayfly.h"

#define MIB (1024u * 1024u)

/*
 * How many times slower than a real machine this one is (MAYFLY_TEST_SLOWNESS, 1 by default): multiplies
 * how late or imprecise something may be, never a limit that is tested.
 */
uint64_t slowness(void);

void open_harness(const char *supervisor_program, const char *prey);
/* Directory of the uppermost layer of the image. */
const char *top_layer(void);
uint64_t now_us(void);

/* The supervisor that runs, and its socket. */
extern int32_t supervisor;
extern int library;
void start(uint32_t pool);
void stop(void);

/* The next event of any kind. Within 20 s, by a machine that is not slow. */
struct mayfly_event next_event(void);
/* The next event of this kind; output and the ends of puts may come before it. */
struct mayfly_event await(uint32_t kind);
/* What steps wrote to standard output and error so far, and what went through pipes with a transcript. */
extern char captured[3][1 << 16];
/* In how many events. */
extern uint32_t captured_events;

extern uint32_t next_box;
struct mayfly_step defaults(void);
uint32_t open_box(void);
/* A record of the archive that mayfly_put takes. */
void put_record(uint8_t **at, const char *path, uint32_t mode, const void *content, uint64_t bytes);
void put_prey(uint32_t box);
/* `command` is argv as one string with blanks. */
void ask_step(uint32_t box, struct mayfly_step step, const char *command, const char *input);
/* Milliseconds from asking to all processes being dead. */
double close_box(uint32_t box);
/* All of it: a box, prey, one step, its end. */
struct mayfly_event run(struct mayfly_step step, const char *command);

/* Control groups of the supervisors started here that still exist, and processes in them. */
int count_groups(void);
int count_processes(void);

/* accuracy.c: what is billed, against what the program itself says. */
void accuracy(void);
/* control.c: what is done to a step while it runs. */
void control(void);
/* graphs.c: boxes that are joined by pipes. */
void graphs(void);
/* cores.c: boxes that have a core alone. */
void cores(void);

#endif
