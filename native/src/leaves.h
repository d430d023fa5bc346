/* Control groups whose step is over: removed at once, or as soon as their last process has quite gone. */
#ifndef MAYFLY_LEAVES_H
#define MAYFLY_LEAVES_H

#include <stdbool.h>

#include "cgroup.h"

/* When to call leaves_retry again while it says true. */
#define LEAF_RETRY_MS 2

/*
 * A name that no group has. Those of removed groups are given again: the kernel keeps a directory entry for each name
 * that was ever there. Returns 0 or -ENOSPC.
 */
int leaf_name(char name[CGROUP_NAME_BYTES]);
/* Empties the name, which is another's when the group has gone; an empty one is of no group. */
void leaf_remove(char name[CGROUP_NAME_BYTES]);
/* True while some are left. */
bool leaves_retry(void);

#endif
