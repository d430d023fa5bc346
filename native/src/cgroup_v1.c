/*
 * Control groups v1, also beside a v2 hierarchy without controllers ("hybrid").
 * Documentation/admin-guide/cgroup-v1 of the kernel says what the files mean.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup_layout.h"
#include "cgroup_tree.h"
#include "cpus.h"

/* Without CPUSET, in which there is no leaf for each step, no box can have a core alone. */
enum hierarchy {
    PIDS,
    MEMORY,
    CPU,
    CPUACCT,
    FREEZER,
    BLKIO,
    HIERARCHIES,
    CPUSET = HIERARCHIES,
    ALL
};

/* Mount options of /proc/self/mountinfo that name the controller. */
static const char *const controllers[ALL] = {"pids",    "memory", "cpu",   "cpuacct",
                                             "freezer", "blkio",  "cpuset"};

/* Least that the IP sockets of a step may hold: enough for a connection or two at full speed. */
#define SOCKETS_BYTES_MIN (1u << 20)

/* Whether the kernel accounts memory and swap together; without it no swap may be on. */
static bool has_memsw;

static bool has_option(const char *options, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = options; at && *at;) {
        if (strncmp(at, name, length) == 0 &&
            (at[length] == ',' || at[length] == '\n' || !at[length]))
            return true;
        at = strchr(at, ',');
        if (at)
            at++;
    }
    return false;
}

/* Opens the mount point of each controller. mountinfo's fields: proc_pid_mountinfo(5). */
static int open_mounts(int roots[ALL])
{
    char line[4096];
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    if (!mounts)
        return -errno;
    while (fgets(line, sizeof line, mounts)) {
        char point[1024];
        char *separator = strstr(line, " - cgroup ");
        if (!separator || sscanf(line, "%*s %*s %*s %*s %1023s", point) != 1)
            continue;
        char *options = strchr(separator + strlen(" - cgroup "), ' ');
        for (int i = 0; options && i < ALL; i++)
            if (roots[i] < 0 && has_option(options + 1, controllers[i]))
                roots[i] = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    fclose(mounts);
    return 0;
}

static int find(int roots[CGROUP_HIERARCHIES_MAX], struct cgroup_failure *failure)
{
    for (int i = 0; i < ALL; i++)
        roots[i] = -1;
    failure->error = -open_mounts(roots);
    failure->missing = "/proc/self/mountinfo";
    if (failure->error)
        return -failure->error;
    if (roots[MEMORY] < 0) {
        for (int i = 0; i < ALL; i++)
            if (roots[i] >= 0)
                close(roots[i]);
        return -ENODEV;
    }
    for (int i = 0; i < HIERARCHIES; i++) {
        if (roots[i] >= 0)
            continue;
        failure->error = ENOENT;
        failure->missing = controllers[i];
        return -ENOENT;
    }
    uint64_t ignored;
    has_memsw = tree_read_number(roots[MEMORY], ".", "memory.memsw.usage_in_bytes", &ignored) == 0;
    if (!has_memsw && swap_is_on()) {
        failure->error = ENOTSUP;
        failure->missing = "memory.memsw (swap is on: turn it off, or boot with swapaccount=1)";
        return -ENOTSUP;
    }
    return HIERARCHIES;
}

/*
 * What IP sockets keep for readers that never read is not part of the memory counter on v1: unless it has a limit
 * of its own, a box may keep as much as the host gives to UDP. Without the file the kernel counts none.
 */
static int limit_sockets(const int *groups, const char *leaf, uint64_t bytes)
{
    int error = tree_write_number(groups[MEMORY], leaf, "memory.kmem.tcp.limit_in_bytes",
                                  bytes / 8 < SOCKETS_BYTES_MIN ? SOCKETS_BYTES_MIN : bytes / 8);
    return error == -ENOENT ? 0 : error;
}

static int set_up(const int *groups, struct cgroup_failure *failure)
{
    (void)failure;
    /* One that stays: the first and the last such limit make the kernel patch its own code. */
    return limit_sockets(groups, ".", UINT32_MAX);
}

static int fresh(const int *groups, const char *leaf)
{
    return tree_write_number(groups[CPU], leaf, "cpu.cfs_period_us", CGROUP_CPU_PERIOD_US);
}

/*
 * The limit of memory and swap together may not be below that of memory alone: the one that rises is
 * written first.
 */
static int limit_memory(const int *groups, const char *leaf, uint64_t before, uint64_t bytes)
{
    static const char *const files[] = {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"};
    bool rises = before != 0 && bytes > before;
    int error = 0;
    for (int i = 0; !error && i < 2; i++) {
        int which = rises ? 1 - i : i;
        if (which == 0 || has_memsw)
            error = tree_write_number(groups[MEMORY], leaf, files[which], bytes);
    }
    return error ? error : limit_sockets(groups, leaf, bytes);
}

static int limit(const int *groups, const struct cgroup_leaf *leaf,
                 const struct cgroup_limits *limits)
{
    uint64_t quota = (uint64_t)limits->cpu_millis * CGROUP_CPU_PERIOD_US / 1000;
    int error = 0;

    if (limits->memory_bytes_max != leaf->limits.memory_bytes_max)
        error = limit_memory(groups, leaf->name, leaf->limits.memory_bytes_max,
                             limits->memory_bytes_max);
    if (!error && limits->processes_max != leaf->limits.processes_max)
        error = tree_write_number(groups[PIDS], leaf->name, "pids.max", limits->processes_max);
    if (!error && limits->cpu_millis != leaf->limits.cpu_millis) /* the least quota is 1 ms */
        error = tree_write_number(groups[CPU], leaf->name, "cpu.cfs_quota_us",
                                  quota < 1000 ? 1000 : quota);
    return error;
}

/* memory.oom_control tells an eventfd of every out-of-memory condition, before it kills. */
static int watch_memory(const int *groups, const char *leaf)
{
    char path[64], text[32];
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        return -errno;
    snprintf(path, sizeof path, "%s/memory.oom_control", leaf);
    int control = openat(groups[MEMORY], path, O_RDONLY | O_CLOEXEC);
    int error = control < 0 ? -errno : 0;
    if (!error) {
        snprintf(text, sizeof text, "%d %d", event, control);
        error = tree_write(groups[MEMORY], leaf, "cgroup.event_control", text);
        close(control);
    }
    if (error) {
        close(event);
        return error;
    }
    return event;
}

static bool out_of_memory(const struct cgroup_leaf *leaf)
{
    uint64_t count = 0;
    return read(leaf->memory_watch, &count, sizeof count) == sizeof count && count > 0;
}

static int cpu_us(const struct cgroup_leaf *leaf, uint64_t *us)
{
    int error = tree_read_open_number(leaf->files[CGROUP_CPU], us);
    *us /= 1000;
    return error;
}

/* Sums the lines "8:0 Read 4096" of blkio.throttle.io_service_bytes. */
static void add_io(const char *text, struct cgroup_usage *usage)
{
    for (const char *line = text; line && *line;) {
        char operation[16];
        unsigned long long bytes;
        if (sscanf(line, "%*u:%*u %15s %llu", operation, &bytes) == 2) {
            if (strcmp(operation, "Read") == 0)
                usage->io_read_bytes += bytes;
            else if (strcmp(operation, "Write") == 0)
                usage->io_write_bytes += bytes;
        }
        line = strchr(line, '\n');
        if (line)
            line++;
    }
}

/* Only for a program that wait4(2) told nothing of. */
static int read_parts(const int *groups, const char *leaf, struct cgroup_usage *usage)
{
    int error = tree_read_number(groups[CPUACCT], leaf, "cpuacct.usage_user", &usage->cpu_user_us);
    if (!error)
        error = tree_read_number(groups[CPUACCT], leaf, "cpuacct.usage_sys", &usage->cpu_system_us);
    return error;
}

static int read_usage(const int *groups, const struct cgroup_leaf *leaf, struct cgroup_usage *usage)
{
    char text[4096];
    uint64_t number = 0;

    int error = cpu_us(leaf, &usage->cpu_us);
    if (!error && usage->cpu_user_us + usage->cpu_system_us == 0)
        error = read_parts(groups, leaf->name, usage);
    if (!error)
        error = tree_read_open_number(leaf->files[CGROUP_MEMORY_PEAK], &usage->memory_bytes_peak);
    if (!error && leaf->files[CGROUP_PROCESSES_PEAK] >= 0) /* since Linux 6.11 */
        error = tree_read_open_number(leaf->files[CGROUP_PROCESSES_PEAK], &number);
    usage->processes_peak = (uint32_t)number;
    if (!error)
        error = tree_read_open(leaf->files[CGROUP_IO], text, sizeof text);
    if (!error)
        add_io(text, usage);
    /* It cannot have come near its limit: no need to ask how often it was killed for it. */
    if (error || usage->memory_bytes_peak < leaf->limits.memory_bytes_max / 2)
        return error;
    error = tree_read(groups[MEMORY], leaf->name, "memory.oom_control", text, sizeof text);
    if (!error && !tree_field(text, "oom_kill", &number))
        error = -EBADMSG;
    usage->oom_kills = error ? 0 : (uint32_t)number;
    return error;
}

/* The kernel refuses the limit itself (EBUSY) when it cannot reclaim as much. */
static int shrink(const int *groups, const struct cgroup_leaf *leaf, uint64_t bytes)
{
    (void)groups, (void)leaf, (void)bytes;
    return 0;
}

/* A new group has neither CPUs nor memory nodes. */
static int fill_cpuset(int group, const char *name, const char *cpus, const char *nodes)
{
    if (strcmp(name, ".") != 0 && mkdirat(group, name, 0755) != 0)
        return -errno;
    int error = tree_write(group, name, "cpuset.mems", nodes);
    return error ? error : tree_write(group, name, "cpuset.cpus", cpus);
}

/*
 * One group for each core, and one that the maker enters, and with it all that it makes: who is to have a core alone
 * enters that core's, and the core is taken from the other.
 */
static int cores_open(const int *groups, const cpu_set_t *cpus)
{
    char nodes[256], text[CPU_SETSIZE * 5], name[16];
    int error = tree_read(groups[CPUSET], "..", "cpuset.mems", nodes, sizeof nodes);
    cpus_text(cpus, text, sizeof text);
    if (!error)
        error = fill_cpuset(groups[CPUSET], ".", text, nodes);
    if (!error)
        error = fill_cpuset(groups[CPUSET], CGROUP_SHARED_NAME, text, nodes);
    for (int core = 0; !error && core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET((size_t)core, cpus))
            continue;
        snprintf(name, sizeof name, CGROUP_CORE_NAME, core);
        snprintf(text, sizeof text, "%d", core);
        error = fill_cpuset(groups[CPUSET], name, text, nodes);
    }
    return error;
}

static int set_cpus(const int *groups, const char *leaf, const char *cpus)
{
    /* A leaf is in the group that its first process has entered. */
    return strcmp(leaf, "init") == 0
               ? tree_write(groups[CPUSET], CGROUP_SHARED_NAME, "cpuset.cpus", cpus)
               : 0;
}

static int freeze(const int *groups, const char *leaf, bool frozen)
{
    return tree_write(groups[FREEZER], leaf, "freezer.state", frozen ? "FROZEN" : "THAWED");
}

static int kill_leaf(const int *groups, const char *leaf)
{
    /* A throttled process does not die before its next period, a frozen one before its thawing. */
    tree_write(groups[CPU], leaf, "cpu.cfs_quota_us", "-1");
    int killed = tree_kill(groups[PIDS], leaf);
    tree_write(groups[FREEZER], leaf, "freezer.state", "THAWED");
    return killed < 0 ? killed : 0;
}

const struct cgroup_layout cgroup_layout_v1 = {
    .find = find,
    .set_up = set_up,
    .fresh = fresh,
    .cpuset_apart = true,
    .cores_open = cores_open,
    .set_cpus = set_cpus,
    /* "tasks", unlike cgroup.procs, takes no lock that stops all forks of the machine. */
    .entrance = "tasks",
    .limit = limit,
    .shrink = shrink,
    .freeze = freeze,
    .memory_events = EPOLLIN,
    .watch_memory = watch_memory,
    .out_of_memory = out_of_memory,
    .files = {[CGROUP_CPU] = "cpuacct.usage",
              [CGROUP_MEMORY_PEAK] = "memory.max_usage_in_bytes",
              [CGROUP_PROCESSES_PEAK] = "pids.peak",
              [CGROUP_IO] = "blkio.throttle.io_service_bytes"},
    .optional = {[CGROUP_PROCESSES_PEAK] = true},
    .hierarchies = {[CGROUP_CPU] = CPUACCT,
                    [CGROUP_MEMORY_PEAK] = MEMORY,
                    [CGROUP_PROCESSES_PEAK] = PIDS,
                    [CGROUP_IO] = BLKIO},
    .cpu_us = cpu_us,
    .usage = read_usage,
    .kill = kill_leaf,
};
