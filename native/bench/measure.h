/* The parts of the benchmark. Each adds its rows to the report. */
#ifndef MAYFLY_BENCH_MEASURE_H
#define MAYFLY_BENCH_MEASURE_H

void measure_sequential(int samples);
/* Where the time of one box goes, from the pool and made cold: a row for each stage. */
void measure_stages(int samples);
/* Two clients on two cores. */
void measure_concurrent(void);
/* `boxes` of /bin/true without a rest, the pool refilling meanwhile: one and two at a time. */
void measure_back_to_back(long boxes);

#endif
