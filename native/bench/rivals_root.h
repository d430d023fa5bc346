/*
 * A mount namespace for the rivals, which ends with the benchmark; the machine's own mounts stay as they are.
 * In it: the root file system for all of them, and, where control groups are of the hybrid kind, an empty
 * directory in place of the unified hierarchy, without which crun 1.8 refuses to start.
 */
#ifndef MAYFLY_BENCH_RIVALS_ROOT_H
#define MAYFLY_BENCH_RIVALS_ROOT_H

void rivals_root_make(void);
/* A path that is the root file system in that namespace only. */
const char *rivals_root(void);
/* The namespace. */
int rivals_mounts(void);

#endif
