#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const struct program programs[PROGRAMS] = {
    {"/bin/true", {"/bin/true", NULL}},
    {"static hello", {HELLO_PATH, NULL}},
    {"python3 -c 1", {"/usr/bin/python3", "-c", "1", NULL}},
};
struct places places;

void series_add(struct series *series, double ms)
{
    if (series->count == series->room) {
        series->room = series->room ? 2 * series->room : 256;
        series->ms = realloc(series->ms, series->room * sizeof *series->ms);
        if (!series->ms)
            die("out of memory", 0);
    }
    series->ms[series->count++] = ms;
}

void series_clear(struct series *series)
{
    series->count = 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double series_quantile(struct series *series, double share)
{
    if (series->count == 0)
        die("a series without samples", 0);
    qsort(series->ms, series->count, sizeof *series->ms, compare);
    size_t at = (size_t)(share * (double)series->count);
    return series->ms[at < series->count ? at : series->count - 1];
}

double series_sum(const struct series *series)
{
    double sum = 0;
    for (size_t i = 0; i < series->count; i++)
        sum += series->ms[i];
    return sum;
}

double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

void sleep_ms(double ms)
{
    struct timespec time = {(time_t)(ms / 1e3), 0};
    time.tv_nsec = (long)((ms - (double)time.tv_sec * 1e3) * 1e6);
    nanosleep(&time, NULL);
}

void die(const char *what, int error)
{
    fprintf(stderr, "bench_box: %s%s%s\n", what, error ? ": " : "", error ? strerror(error) : "");
    exit(1);
}
