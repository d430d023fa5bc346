/* Where on a host with control groups v2 a supervisor may make its own group. */
#ifndef MAYFLY_CGROUP_V2_ROOT_H
#define MAYFLY_CGROUP_V2_ROOT_H

#include <stdbool.h>

#include "cgroup.h"

/*
 * Opens the group and has its children get the controllers that limits need, and io where there is one:
 * *io tells, and *cpuset the same of that one. Returns a descriptor or -errno with *failure filled, -ENODEV when no v2 is mounted.
 */
int cgroup_v2_root(bool *io, bool *cpuset, struct cgroup_failure *failure);

#endif
