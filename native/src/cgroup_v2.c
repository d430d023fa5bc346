/*
 * Control groups v2. Documentation/admin-guide/cgroup-v2.rst of the kernel says what the files mean.
 * Which of them there are is tried on the supervisor's own group, never told by a version.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cgroup_layout.h"
#include "cgroup_tree.h"
#include "cgroup_v2_root.h"

/* Bytes read and written are told as 0 without it. */
static bool has_io;
/* No box can have a core alone without it. */
static bool has_cpuset;

static int find(int roots[CGROUP_HIERARCHIES_MAX], struct cgroup_failure *failure)
{
    roots[0] = cgroup_v2_root(&has_io, &has_cpuset, failure);
    return roots[0] < 0 ? roots[0] : 1;
}

static bool has_file(int group, const char *file)
{
    return faccessat(group, file, F_OK, 0) == 0;
}

static int set_up(const int *groups, struct cgroup_failure *failure)
{
    /* An exact peak cannot be had by sampling. Kernels without it cannot idmap layers either (5.19). */
    static const char *const needed[] = {"memory.max", "memory.peak", "memory.oom.group",
                                         "pids.max", "cpu.max"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        failure->missing = needed[i];
        if (!has_file(groups[0], needed[i]))
            return -ENOENT;
    }
    if (!has_file(groups[0], "memory.swap.max") && swap_is_on()) {
        failure->missing = "memory.swap.max (swap is on: turn it off, or boot with swapaccount=1)";
        return -ENOTSUP;
    }
    /* Holds for all leaves: the limits of the groups above bound a group as well. */
    int error = tree_write(groups[0], ".", "memory.swap.max", "0");
    failure->missing = "memory.swap.max";
    if (error && error != -ENOENT)
        return error;
    failure->missing = "cgroup.subtree_control of the supervisor's own group";
    return tree_write(groups[0], ".", "cgroup.subtree_control",
                      has_io ? "+cpu +memory +pids +io" : "+cpu +memory +pids");
}

/* Whoever of the leaf runs out of memory, all of its processes are killed. */
static int fresh(const int *groups, const char *leaf)
{
    return tree_write(groups[0], leaf, "memory.oom.group", "1");
}

static int limit(const int *groups, const struct cgroup_leaf *leaf,
                 const struct cgroup_limits *limits)
{
    char cpu[48];
    uint64_t quota = (uint64_t)limits->cpu_millis * CGROUP_CPU_PERIOD_US / 1000;
    int error = 0;

    snprintf(cpu, sizeof cpu, "%llu %u", (unsigned long long)(quota < 1000 ? 1000 : quota),
             CGROUP_CPU_PERIOD_US); /* the kernel's least quota is 1 ms */
    if (limits->memory_bytes_max != leaf->limits.memory_bytes_max)
        error = tree_write_number(groups[0], leaf->name, "memory.max", limits->memory_bytes_max);
    if (!error && limits->processes_max != leaf->limits.processes_max)
        error = tree_write_number(groups[0], leaf->name, "pids.max", limits->processes_max);
    if (!error && limits->cpu_millis != leaf->limits.cpu_millis)
        error = tree_write(groups[0], leaf->name, "cpu.max", cpu);
    return error;
}

/*
 * The kernel tells a change of memory.events as POLLPRI, once for each reading, at most every 10 ms: a
 * descriptor that was never read counts as changed. (inotify would do, but allows 128 watchers a user.)
 */
static int watch_memory(const int *groups, const char *leaf)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "%s/memory.events", leaf);
    int fd = openat(groups[0], path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (read(fd, text, sizeof text) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* "max" alone does not count: the kernel found something to reclaim. */
static bool out_of_memory(const struct cgroup_leaf *leaf)
{
    char text[256];
    uint64_t oom = 0, kills = 0;

    if (tree_read_open(leaf->memory_watch, text, sizeof text) != 0)
        return false;
    tree_field(text, "oom", &oom);
    tree_field(text, "oom_kill", &kills);
    return oom > 0 || kills > 0;
}

static int cpu_us(const struct cgroup_leaf *leaf, uint64_t *us)
{
    char text[64]; /* usage_usec is the first line */
    int error = tree_read_open(leaf->files[CGROUP_CPU], text, sizeof text);
    if (error)
        return error;
    return tree_field(text, "usage_usec", us) ? 0 : -EBADMSG;
}

/* Sums "8:0 rbytes=4096 wbytes=0 rios=1 …" over the devices. */
static void add_io(const char *text, struct cgroup_usage *usage)
{
    unsigned long long bytes;
    for (const char *at = text; (at = strstr(at, " rbytes=")); at++)
        if (sscanf(at, " rbytes=%llu", &bytes) == 1)
            usage->io_read_bytes += bytes;
    for (const char *at = text; (at = strstr(at, " wbytes=")); at++)
        if (sscanf(at, " wbytes=%llu", &bytes) == 1)
            usage->io_write_bytes += bytes;
}

/*
 * Where there is no pids.peak, only one thing is known afterwards: a fork that was refused says that as many
 * as were allowed have been there. Else the peak is unknown, told as 0.
 */
static int read_processes_peak(const int *groups, const struct cgroup_leaf *leaf,
                               struct cgroup_usage *usage)
{
    char text[256];
    uint64_t number = 0, refused = 0;
    int error = 0;
    if (leaf->files[CGROUP_PROCESSES_PEAK] >= 0) {
        error = tree_read_open_number(leaf->files[CGROUP_PROCESSES_PEAK], &number);
    } else {
        error = tree_read(groups[0], leaf->name, "pids.events", text, sizeof text);
        if (!error && tree_field(text, "max", &refused) && refused > 0)
            number = leaf->limits.processes_max;
    }
    usage->processes_peak = (uint32_t)number;
    return error;
}

static int read_usage(const int *groups, const struct cgroup_leaf *leaf, struct cgroup_usage *usage)
{
    char text[4096];
    uint64_t kills;

    int error = tree_read_open(leaf->files[CGROUP_CPU], text, sizeof text);
    if (error)
        return error;
    if (!tree_field(text, "usage_usec", &usage->cpu_us) ||
        !tree_field(text, "user_usec", &usage->cpu_user_us) ||
        !tree_field(text, "system_usec", &usage->cpu_system_us))
        return -EBADMSG;
    error = tree_read_open_number(leaf->files[CGROUP_MEMORY_PEAK], &usage->memory_bytes_peak);
    if (!error)
        error = tree_read_open(leaf->memory_watch, text, sizeof text);
    if (error)
        return error;
    if (!tree_field(text, "oom_kill", &kills))
        return -EBADMSG;
    usage->oom_kills = (uint32_t)kills;
    error = read_processes_peak(groups, leaf, usage);
    if (error || leaf->files[CGROUP_IO] < 0)
        return error;
    error = tree_read_open(leaf->files[CGROUP_IO], text, sizeof text);
    if (!error)
        add_io(text, usage);
    return error;
}

/*
 * Unlike v1, the kernel takes any limit and kills until it is kept. memory.reclaim is there since Linux 5.19;
 * it fails when it got less than it was asked for, which is what the second look is for.
 */
static int shrink(const int *groups, const struct cgroup_leaf *leaf, uint64_t bytes)
{
    uint64_t used;
    int error = tree_read_number(groups[0], leaf->name, "memory.current", &used);
    if (error || used <= bytes)
        return error;
    tree_write_number(groups[0], leaf->name, "memory.reclaim", used - bytes);
    error = tree_read_number(groups[0], leaf->name, "memory.current", &used);
    return error ? error : used <= bytes ? 0 : -EBUSY;
}

static int cores_open(const int *groups, const cpu_set_t *cpus)
{
    (void)cpus;
    return has_cpuset ? tree_write(groups[0], ".", "cgroup.subtree_control", "+cpuset") : -ENOTSUP;
}

static int set_cpus(const int *groups, const char *leaf, const char *cpus)
{
    return tree_write(groups[0], leaf, "cpuset.cpus", cpus);
}

static int freeze(const int *groups, const char *leaf, bool frozen)
{
    return tree_write(groups[0], leaf, "cgroup.freeze", frozen ? "1" : "0");
}

/* A frozen process dies of it as well; a throttled one does not before its next period. */
static int kill_leaf(const int *groups, const char *leaf)
{
    tree_write(groups[0], leaf, "cpu.max", "max");
    int error = tree_write(groups[0], leaf, "cgroup.kill", "1");
    if (error != -ENOENT)
        return error;
    int killed = tree_kill(groups[0], leaf); /* before Linux 5.14 */
    tree_write(groups[0], leaf, "cgroup.freeze", "0");
    return killed < 0 ? killed : 0;
}

const struct cgroup_layout cgroup_layout_v2 = {
    .find = find,
    .set_up = set_up,
    .fresh = fresh,
    .cores_open = cores_open,
    .set_cpus = set_cpus,
    .entrance = "cgroup.procs",
    .limit = limit,
    .shrink = shrink,
    .freeze = freeze,
    .memory_events = EPOLLPRI,
    .watch_memory = watch_memory,
    .out_of_memory = out_of_memory,
    .files = {[CGROUP_CPU] = "cpu.stat",
              [CGROUP_MEMORY_PEAK] = "memory.peak",
              [CGROUP_PROCESSES_PEAK] = "pids.peak",
              [CGROUP_IO] = "io.stat"},
    .optional = {[CGROUP_PROCESSES_PEAK] = true, [CGROUP_IO] = true},
    .cpu_us = cpu_us,
    .usage = read_usage,
    .kill = kill_leaf,
};
