/* What a layout of control groups provides; cgroup.c finds the layout and owns the common parts. */
#ifndef MAYFLY_CGROUP_LAYOUT_H
#define MAYFLY_CGROUP_LAYOUT_H

#include "cgroup.h"

/* Places in cgroup_leaf.files and cgroup_layout.files. */
enum cgroup_file { CGROUP_CPU, CGROUP_MEMORY_PEAK, CGROUP_PROCESSES_PEAK, CGROUP_IO };

/* Of v1: the group of a core that a box may have alone, and that of all others. */
#define CGROUP_CORE_NAME "core-%d"
#define CGROUP_SHARED_NAME "shared"

struct cgroup_layout {
    /*
     * Opens the directories under which the groups are made into `roots`, first the one whose lock
     * tells that a supervisor lives. Returns how many, or -errno with *failure filled: -ENODEV where
     * the host does not have this layout. Where `cpuset_apart`, one more root may follow them, else -1 does.
     */
    int (*find)(int roots[CGROUP_HIERARCHIES_MAX], struct cgroup_failure *failure);
    /* Settings of the supervisor's own new groups. */
    int (*set_up)(const int *groups, struct cgroup_failure *failure);
    /* Settings of every new leaf for a program, made ahead of time. */
    int (*fresh)(const int *groups, const char *leaf);
    /* v1 has groups of its own for CPUs, which processes enter beside their leaf. */
    bool cpuset_apart;
    /* See cgroup_cores_open and cgroup_set_cpus. */
    int (*cores_open)(const int *groups, const cpu_set_t *cpus);
    int (*set_cpus)(const int *groups, const char *leaf, const char *cpus);
    const char *entrance; /* the file that a single-threaded process enters a group by */
    /* Only what differs from leaf->limits. */
    int (*limit)(const int *groups, const struct cgroup_leaf *leaf,
                 const struct cgroup_limits *limits);
    /* Makes room for a lower limit of memory: -EBUSY when that many bytes are too few. */
    int (*shrink)(const int *groups, const struct cgroup_leaf *leaf, uint64_t bytes);
    int (*freeze)(const int *groups, const char *leaf, bool frozen);
    uint32_t memory_events; /* of epoll_ctl(2), that the watch waits for */
    int (*watch_memory)(const int *groups, const char *leaf);
    bool (*out_of_memory)(const struct cgroup_leaf *leaf);
    const char *files[CGROUP_FILES_MAX]; /* to be kept open; CGROUP_CPU is one of them */
    /* Which of the files may be missing; their figures are told as 0. */
    bool optional[CGROUP_FILES_MAX];
    int hierarchies[CGROUP_FILES_MAX];
    int (*cpu_us)(const struct cgroup_leaf *leaf, uint64_t *us);
    int (*usage)(const int *groups, const struct cgroup_leaf *leaf, struct cgroup_usage *usage);
    int (*kill)(const int *groups, const char *leaf);
};

extern const struct cgroup_layout cgroup_layout_v1, cgroup_layout_v2;

#endif
