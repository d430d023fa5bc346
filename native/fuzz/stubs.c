/* Control groups, jail and maker for fuzz_supervisor.c: nothing is made, nothing is killed. */
#include "cgroup.h"
#include "filter.h"
#include "jail.h"
#include "maker.h"
#include "mounts.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int cgroup_open(struct cgroup_failure *failure)
{
    (void)failure;
    return 0;
}

void cgroup_close(void)
{
}
void cgroup_release_lock(void)
{
}

int cgroup_cores_open(const cpu_set_t *cpus)
{
    (void)cpus;
    return -ENOTSUP;
}

int cgroup_set_cpus(const char *leaf, const cpu_set_t *cpus)
{
    (void)leaf, (void)cpus;
    return 0;
}

int cgroup_create(const char *name)
{
    (void)name;
    return 0;
}

int cgroup_open_entrances(const char *name, int core, int entrances[CGROUP_HIERARCHIES_MAX])
{
    (void)name, (void)core;
    entrances[0] = eventfd(0, EFD_CLOEXEC);
    return 1;
}

int cgroup_remove(const char *name)
{
    (void)name;
    return 0;
}

int cgroup_leaf_open(struct cgroup_leaf *leaf)
{
    leaf->memory_watch = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return 0;
}

void cgroup_leaf_close(struct cgroup_leaf *leaf)
{
    if (leaf->memory_watch >= 0)
        close(leaf->memory_watch);
    leaf->memory_watch = -1;
}

int cgroup_limit(struct cgroup_leaf *leaf, const struct cgroup_limits *limits)
{
    leaf->limits = *limits;
    return 0;
}

int cgroup_change(struct cgroup_leaf *leaf, const struct cgroup_limits *limits)
{
    if (limits->memory_bytes_max % 5 == 1)
        return -EBUSY;
    return cgroup_limit(leaf, limits);
}

int cgroup_freeze(const struct cgroup_leaf *leaf, bool frozen)
{
    return frozen && leaf->limits.memory_bytes_max % 3 == 1 ? -EIO : 0;
}

uint32_t cgroup_memory_events(void)
{
    return EPOLLIN;
}

bool cgroup_out_of_memory(const struct cgroup_leaf *leaf)
{
    return leaf->limits.memory_bytes_max % 7 == 1;
}

int cgroup_cpu_us(const struct cgroup_leaf *leaf, uint64_t *us)
{
    *us = leaf->limits.memory_bytes_max;
    return leaf->limits.memory_bytes_max % 11 == 1 ? -EIO : 0;
}

int cgroup_usage(const struct cgroup_leaf *leaf, uint64_t user_us, uint64_t system_us,
                 struct cgroup_usage *usage)
{
    *usage = (struct cgroup_usage){.cpu_us = leaf->limits.memory_bytes_max,
                                   .cpu_user_us = user_us,
                                   .cpu_system_us = system_us};
    return leaf->limits.memory_bytes_max % 13 == 1 ? -EIO : 0;
}

int cgroup_kill(struct cgroup_leaf *leaf)
{
    (void)leaf;
    return 0;
}

long mounts_resize(int disk, uint64_t bytes, uint64_t inodes)
{
    (void)disk;
    return bytes % 17 == 1 && inodes > 0 ? -ENOMEM : 0;
}

/* Instead of fchown(2), which the fuzzer's user may not. */
int __wrap_fchown(int fd, uid_t user, gid_t group);
int __wrap_fchown(int fd, uid_t user, gid_t group)
{
    (void)fd, (void)user, (void)group;
    return 0;
}

int filter_build(struct sock_fprog *program)
{
    (void)program;
    return 0;
}

int jail_enter(void)
{
    return -EPERM;
}

int jail_attach_layer(uint32_t layer, int mount)
{
    (void)layer, (void)mount;
    return 0;
}

void jail_detach_layer(uint32_t layer)
{
    (void)layer;
}

int jail_drop_capabilities(int maker)
{
    (void)maker;
    return 0;
}

int maker_start(const struct sock_fprog *filter)
{
    (void)filter;
    return -EPERM;
}
