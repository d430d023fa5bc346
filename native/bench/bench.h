/* What the parts of the benchmark share: programs, clocks, series of milliseconds, and failing. */
#ifndef MAYFLY_BENCH_H
#define MAYFLY_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#define PROGRAMS 3
#define PROGRAM_ARGUMENTS_MAX 4
#define LAYERS_MAX 16
/* Where the static hello is in every root file system but the host's. */
#define HELLO_PATH "/hello"

struct program {
    const char *name;
    const char *argv[PROGRAM_ARGUMENTS_MAX]; /* as in a box */
};
extern const struct program programs[PROGRAMS];

/* Places that the whole run uses; set once by main. */
struct places {
    char supervisor[512];
    char scratch[512]; /* ours alone; whoever started us removes it */
    char
        hello_layer[576]; /* holds HELLO_PATH, and what is mounted over the base layer for rivals */
    char base_layers[LAYERS_MAX * 512]; /* NUL-terminated paths, lowest first */
    unsigned base_layers_count;
    const char *root_layer; /* the lowest of them, which is a whole root file system */
};
extern struct places places;

struct series {
    double *ms;
    size_t count, room;
};
void series_add(struct series *series, double ms);
void series_clear(struct series *series);
double series_quantile(struct series *series, double share);
double series_sum(const struct series *series);

double now_ms(void);
void sleep_ms(double ms);

/* The only way out on failure: says what, and ends with 1. `error` 0 when there is no errno. */
_Noreturn void die(const char *what, int error) __attribute__((cold));

#endif
