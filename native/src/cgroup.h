/*
 * Control groups behind one interface; the layout of the host (v1 and hybrid, or v2) is found once.
 *
 * The supervisor owns one group named mayfly-<random> in each hierarchy that it uses, whose directory in
 * the first of them it holds locked (flock(2)) for as long as it lives. Below it are a leaf "init" for
 * maker and pid 1s, and one leaf for each step, named by box and step, that holds the program only:
 * peaks cannot be reset on older kernels, and pid 1 must neither count nor be killed with the program.
 *
 * Functions return 0 or -errno. A leaf is its name.
 */
#ifndef MAYFLY_CGROUP_H
#define MAYFLY_CGROUP_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol.h"

#define CGROUP_NAME_BYTES 32
#define CGROUP_NO_CORE (-1)

/* One period of the CPU quota. Short, so that a kill need not wait long and a burst is small. */
#define CGROUP_CPU_PERIOD_US 20000u

struct cgroup_limits {
    uint64_t memory_bytes_max;
    uint32_t processes_max;
    uint32_t cpu_millis;
};

/* What a layout keeps open of a leaf. */
#define CGROUP_FILES_MAX 4

/*
 * A leaf whose files are open: what is read at the end of every step is opened ahead of it, and limits that
 * hold already are not written again.
 */
struct cgroup_leaf {
    char name[CGROUP_NAME_BYTES]; /* empty: none */
    struct cgroup_limits limits;  /* as last written, zeros before */
    int memory_watch;             /* see cgroup_memory_events */
    int files[CGROUP_FILES_MAX];
};

struct cgroup_usage {
    uint64_t cpu_us, cpu_user_us, cpu_system_us; /* user and system sum up to cpu_us */
    uint64_t memory_bytes_peak;
    uint64_t io_read_bytes, io_write_bytes;
    uint32_t processes_peak;
    uint32_t oom_kills;
};

/* Why cgroup_open failed, in words for the operator. */
struct cgroup_failure {
    int error;
    const char *missing; /* controller or file; static */
};

/*
 * Finds the hierarchies, removes what dead supervisors left, makes this supervisor's groups, and keeps
 * directory descriptors. Refuses a host on which a limit could not be enforced.
 */
int cgroup_open(struct cgroup_failure *failure);
/* Kills and removes all that cgroup_open and cgroup_create made. */
void cgroup_close(void);

/* In a child of the supervisor: lets go of the lock, keeps the directories. */
void cgroup_release_lock(void);

/*
 * Makes it possible that a box has a core alone; `cpus` are all that boxes may use. -ENOTSUP where the host has no
 * cpuset controller for us.
 */
int cgroup_cores_open(const cpu_set_t *cpus);
/* Where the processes of a leaf may run; of "init" where all may that have no core of their own. */
int cgroup_set_cpus(const char *leaf, const cpu_set_t *cpus);

int cgroup_create(const char *name);
/*
 * Opens what a process enters the leaf by ("0" written by itself): one for each hierarchy and, where they are apart,
 * one for its CPUs: those of `core`, or with CGROUP_NO_CORE for "init" the shared ones, which all that it makes
 * inherit. Returns how many, or -errno.
 */
int cgroup_open_entrances(const char *name, int core, int entrances[CGROUP_HIERARCHIES_MAX]);
/* -EBUSY while a process has not quite gone. A leaf that is not there is removed. */
int cgroup_remove(const char *name);

/* Opens the leaf of that name, which exists and is closed. cgroup_leaf_close is right after a failure, too. */
int cgroup_leaf_open(struct cgroup_leaf *leaf);
/* Closes what is open; the name stays. */
void cgroup_leaf_close(struct cgroup_leaf *leaf);
int cgroup_limit(struct cgroup_leaf *leaf, const struct cgroup_limits *limits);
/* The same while the program runs: -EBUSY, and nothing changed, when more memory is in use than is wanted. */
int cgroup_change(struct cgroup_leaf *leaf, const struct cgroup_limits *limits);
/* Stops and continues all processes of the leaf. */
int cgroup_freeze(const struct cgroup_leaf *leaf, bool frozen);
/* What epoll says of leaf->memory_watch when the leaf has run out of memory. */
uint32_t cgroup_memory_events(void);
/* Has it, since the last call? */
bool cgroup_out_of_memory(const struct cgroup_leaf *leaf);
int cgroup_cpu_us(const struct cgroup_leaf *leaf, uint64_t *us);
/*
 * `user_us` and `system_us` say how the program's CPU time divides, as far as wait4(2) told; both 0: unknown.
 */
int cgroup_usage(const struct cgroup_leaf *leaf, uint64_t user_us, uint64_t system_us,
                 struct cgroup_usage *usage);
/*
 * One pass of SIGKILL over the leaf, whose CPU quota is lifted before and whose freezer is thawed after it: what
 * is frozen does not run on before it dies.
 */
int cgroup_kill(struct cgroup_leaf *leaf);

#endif
