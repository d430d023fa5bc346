/* Rows of figures, and how they are printed. */
#ifndef MAYFLY_BENCH_REPORT_H
#define MAYFLY_BENCH_REPORT_H

#include "bench.h"
#include "costs.h"
#include "machine.h"

/* Mode of the rows that tell of one thousand boxes of a longer run: appended to the mode of that run. */
#define REPORT_THOUSAND "@%ld"

void report_add(const char *name, const char *program, const char *mode, struct series *series,
                double per_second);
/* `costs` NULL when they were not asked for. */
void report_json(const struct machine *machine, int samples, const struct costs *costs);
void report_table(const struct machine *machine, int samples, const struct costs *costs);

#endif
