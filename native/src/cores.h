/* Cores that a box has alone: every other box is kept off them. Which CPUs there are is in cpus.h. */
#ifndef MAYFLY_CORES_H
#define MAYFLY_CORES_H

#include <stdbool.h>

#include "boxes.h"

/* Whether boxes can have a core alone: the host's control groups say so. */
void cores_open(bool can);
/* Returns a core that no other box runs on from here on, or -errno; -ENOTSUP where boxes cannot have one. */
int cores_take(void);
/* For all boxes again; CGROUP_NO_CORE is nothing to give back. */
void cores_give_back(int core);
/* Says on which CPUs the box's new leaf may run. Returns 0 or -errno. */
int cores_confine(const struct box *box);

#endif
