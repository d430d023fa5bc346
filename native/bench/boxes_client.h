/* Mayfly itself as a contender: one supervisor, driven through libmayfly. */
#ifndef MAYFLY_BENCH_BOXES_CLIENT_H
#define MAYFLY_BENCH_BOXES_CLIENT_H

#include <stdint.h>
#include <sys/types.h>

#include "bench.h"

struct client {
    int fd;
    int32_t pid;
    uint32_t next_box;
};

/* A supervisor that keeps `pool` boxes ready, with no image yet. */
struct client client_start(uint32_t boxes_max, uint32_t pool);
/* Names the image, from which on the pool fills. */
void client_load_image(struct client *client);
void client_stop(const struct client *client);

/* One box, from asking. What the supervisor itself says of it comes third and fourth. */
struct box_times {
    double ended_ms;     /* until its end is known */
    double destroyed_ms; /* until all its processes are dead */
    double box_ms;       /* until the program's exec */
    double wall_ms;      /* from there to the program's end */
};
struct box_times client_run(struct client *client, const struct program *program);

/* Boxes one after the other, `at_once` (1 or 2) at a time, each asked for when one before it is dead. */
struct flood {
    const struct program *program;
    int at_once;
    double until_ms;           /* no box is asked for after this */
    long boxes;                /* nor more than these */
    struct series *latency;    /* from asking to knowing how it ended; or NULL */
    void (*ended)(long count); /* called after each; or NULL */
};
/* How many ended. */
long client_flood(struct client *client, const struct flood *flood);

#endif
