/* The other sandboxes of this machine, each with all the isolation that it has to offer. */
#ifndef MAYFLY_BENCH_RIVALS_H
#define MAYFLY_BENCH_RIVALS_H

#include <stdbool.h>

#define RIVALS_MAX 10

/* Finds out which there are, and makes what they need in the scratch directory. `go_judge`: URL or NULL. */
void rivals_find(const char *go_judge);
int rivals_count(void);
const char *rival_name(int rival);
/* Milliseconds from asking to knowing how it ended; `worker` is apart for those that run at a time. */
double rival_run(int rival, int program, int worker);

#endif
