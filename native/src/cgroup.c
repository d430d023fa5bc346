#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup_layout.h"
#include "cgroup_tree.h"
#include "cpus.h"

#define PREFIX "mayfly-"

static const struct cgroup_layout *layout;
static int count; /* hierarchies that have a leaf for each step */
static int trees; /* all in which we have a group */
static bool has_cores;
static int roots[CGROUP_HIERARCHIES_MAX];  /* where our groups are made */
static int groups[CGROUP_HIERARCHIES_MAX]; /* our groups */
static char name[CGROUP_NAME_BYTES];
static int lock = -1;

/* How long what a dead supervisor left may take to die. */
#define SWEEP_MS 5000

static bool ours(const char *entry)
{
    return strncmp(entry, PREFIX, strlen(PREFIX)) == 0 && strlen(entry) < CGROUP_NAME_BYTES;
}

/*
 * Removes one group of a supervisor that no longer holds its lock. The lock is on the directory in the
 * first hierarchy, which is made first and removed last: whoever has it, or finds none there, may go on.
 */
static void sweep_one(const char *entry)
{
    int fd = openat(roots[0], entry, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return;
    }
    for (int i = trees; i-- > 0;)
        tree_remove_all(roots[i], entry, SWEEP_MS);
    if (fd >= 0)
        close(fd);
}

static void sweep(void)
{
    for (int i = 0; i < trees; i++) {
        int fd = openat(roots[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *entries = fd < 0 ? NULL : fdopendir(fd);
        if (!entries) {
            if (fd >= 0)
                close(fd);
            continue;
        }
        for (struct dirent *entry; (entry = readdir(entries));)
            if (entry->d_type == DT_DIR && ours(entry->d_name))
                sweep_one(entry->d_name);
        closedir(entries);
    }
}

static int make_group(int i)
{
    if (mkdirat(roots[i], name, 0755) != 0)
        return -errno;
    groups[i] = openat(roots[i], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return groups[i] < 0 ? -errno : 0;
}

/* The first group, and its lock. A sweeper that came between the two has it: try another name. */
static int claim_name(void)
{
    for (int attempt = 0; attempt < 16; attempt++) {
        uint64_t random;
        if (getrandom(&random, sizeof random, 0) != sizeof random)
            return -errno;
        snprintf(name, sizeof name, PREFIX "%012llx", (unsigned long long)(random >> 16));
        int error = make_group(0);
        if (error == -EEXIST)
            continue;
        if (error)
            return error;
        lock = openat(roots[0], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (lock >= 0)
            close(lock);
        close(groups[0]);
        unlinkat(roots[0], name, AT_REMOVEDIR);
    }
    return -EAGAIN;
}

static int make_leaf(const char *leaf)
{
    for (int i = 0; i < count; i++) {
        if (mkdirat(groups[i], leaf, 0755) == 0)
            continue;
        int error = -errno;
        while (i-- > 0)
            unlinkat(groups[i], leaf, AT_REMOVEDIR);
        return error;
    }
    return 0;
}

int cgroup_open(struct cgroup_failure *failure)
{
    /* A controller belongs to one hierarchy: where v1 has none of ours, they are v2's. */
    static const struct cgroup_layout *const layouts[] = {&cgroup_layout_v1, &cgroup_layout_v2};
    count = -ENODEV;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts && count == -ENODEV; i++) {
        layout = layouts[i];
        count = layout->find(roots, failure);
    }
    if (count < 0) {
        int error = count;
        count = 0;
        return error;
    }
    trees = layout->cpuset_apart && roots[count] >= 0 ? count + 1 : count;
    sweep();
    failure->missing = "a group of its own";
    int error = claim_name();
    for (int i = 1; !error && i < trees; i++)
        error = make_group(i);
    if (!error)
        error = layout->set_up(groups, failure);
    if (!error)
        error = make_leaf("init");
    failure->error = -error;
    return error;
}

void cgroup_close(void)
{
    for (int i = trees; i-- > 0;) {
        tree_remove_all(roots[i], name, SWEEP_MS);
        close(groups[i]);
        close(roots[i]);
    }
    count = trees = 0;
    cgroup_release_lock();
}

void cgroup_release_lock(void)
{
    if (lock >= 0)
        close(lock);
    lock = -1;
}

int cgroup_cores_open(const cpu_set_t *cpus)
{
    int error = layout->cpuset_apart && trees == count ? -ENOTSUP
                                                       : layout->cores_open(groups, cpus);
    has_cores = error == 0;
    return error;
}

int cgroup_set_cpus(const char *leaf, const cpu_set_t *cpus)
{
    char text[CPU_SETSIZE * 5];
    cpus_text(cpus, text, sizeof text);
    return layout->set_cpus(groups, leaf, text);
}

int cgroup_create(const char *leaf)
{
    int error = make_leaf(leaf);
    if (error)
        return error;
    error = layout->fresh(groups, leaf);
    if (error)
        cgroup_remove(leaf);
    return error;
}

int cgroup_open_entrances(const char *leaf, int core, int entrances[CGROUP_HIERARCHIES_MAX])
{
    char path[64];
    const bool apart = has_cores && layout->cpuset_apart &&
                       (core != CGROUP_NO_CORE || strcmp(leaf, "init") == 0);
    const int all = apart ? count + 1 : count;
    snprintf(path, sizeof path, "%s/%s", leaf, layout->entrance);
    for (int i = 0; i < all; i++) {
        if (i == count && core == CGROUP_NO_CORE)
            snprintf(path, sizeof path, CGROUP_SHARED_NAME "/%s", layout->entrance);
        else if (i == count)
            snprintf(path, sizeof path, CGROUP_CORE_NAME "/%s", core, layout->entrance);
        entrances[i] = openat(groups[i], path, O_WRONLY | O_CLOEXEC);
        if (entrances[i] >= 0)
            continue;
        int error = -errno;
        while (i-- > 0)
            close(entrances[i]);
        return error;
    }
    return all;
}

int cgroup_remove(const char *leaf)
{
    int result = 0;
    for (int i = count; i-- > 0;)
        if (unlinkat(groups[i], leaf, AT_REMOVEDIR) != 0 && errno != ENOENT)
            result = -errno;
    return result;
}

static int open_file(const char *leaf, int which)
{
    char path[96];
    snprintf(path, sizeof path, "%s/%s", leaf, layout->files[which]);
    int fd = openat(groups[layout->hierarchies[which]], path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    return errno == ENOENT && layout->optional[which] ? -1 : -errno - 1;
}

int cgroup_leaf_open(struct cgroup_leaf *leaf)
{
    leaf->limits = (struct cgroup_limits){0};
    int watch = layout->watch_memory(groups, leaf->name);
    if (watch < 0)
        return watch;
    leaf->memory_watch = watch;
    for (int i = 0; i < CGROUP_FILES_MAX; i++) {
        int fd = open_file(leaf->name, i);
        if (fd < -1)
            return fd + 1;
        leaf->files[i] = fd;
    }
    return 0;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void cgroup_leaf_close(struct cgroup_leaf *leaf)
{
    close_one(&leaf->memory_watch);
    for (int i = 0; i < CGROUP_FILES_MAX; i++)
        close_one(&leaf->files[i]);
}

int cgroup_limit(struct cgroup_leaf *leaf, const struct cgroup_limits *limits)
{
    int error = layout->limit(groups, leaf, limits);
    if (!error)
        leaf->limits = *limits;
    return error;
}

int cgroup_change(struct cgroup_leaf *leaf, const struct cgroup_limits *limits)
{
    const struct cgroup_limits before = leaf->limits;
    int error = limits->memory_bytes_max < before.memory_bytes_max
                    ? layout->shrink(groups, leaf, limits->memory_bytes_max)
                    : 0;
    if (error)
        return error;
    error = cgroup_limit(leaf, limits);
    if (error) { /* whatever of it was written is taken back */
        leaf->limits = *limits;
        cgroup_limit(leaf, &before);
        leaf->limits = before;
    }
    return error;
}

int cgroup_freeze(const struct cgroup_leaf *leaf, bool frozen)
{
    return layout->freeze(groups, leaf->name, frozen);
}

uint32_t cgroup_memory_events(void)
{
    return layout->memory_events;
}

bool cgroup_out_of_memory(const struct cgroup_leaf *leaf)
{
    return layout->out_of_memory(leaf);
}

int cgroup_cpu_us(const struct cgroup_leaf *leaf, uint64_t *us)
{
    return layout->cpu_us(leaf, us);
}

int cgroup_usage(const struct cgroup_leaf *leaf, uint64_t user_us, uint64_t system_us,
                 struct cgroup_usage *usage)
{
    *usage = (struct cgroup_usage){.cpu_user_us = user_us, .cpu_system_us = system_us};
    int error = layout->usage(groups, leaf, usage);
    if (error)
        return error;
    /* The parts are sampled apart from the total: the total stands, they share it out. */
    uint64_t parts = usage->cpu_user_us + usage->cpu_system_us;
    usage->cpu_user_us = parts > 0 ? (uint64_t)((double)usage->cpu_us *
                                                ((double)usage->cpu_user_us / (double)parts))
                                   : usage->cpu_us;
    if (usage->cpu_user_us > usage->cpu_us)
        usage->cpu_user_us = usage->cpu_us;
    usage->cpu_system_us = usage->cpu_us - usage->cpu_user_us;
    return 0;
}

int cgroup_kill(struct cgroup_leaf *leaf)
{
    leaf->limits.cpu_millis = 0; /* lifted */
    return layout->kill(groups, leaf->name);
}
