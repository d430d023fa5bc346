/*
 * Finding the group below which ours are made, and the controllers in it. Every answer comes from trying.
 *
 * Under systemd a service with Delegate=yes may use the subtree of its own group, which systemd marks with
 * an extended attribute (systemd.io/CGROUP_DELEGATION): the nearest marked one upwards is taken. Elsewhere
 * it is the root of the mount, which in a container with a control group namespace is the container's own.
 * A group with processes cannot give controllers to its children ("no internal processes"), unless it is
 * the root of all: where the kernel says so, they are moved into a leaf first.
 */
#include "cgroup_v2_root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cgroup_tree.h"

/* For what ran in the delegated group itself: the service, or all of a container. Stays for good. */
#define LEAF "mayfly.main"

/* Processes may fork while they are moved: passes over the group until it is given up. */
#define MOVE_PASSES 64

struct place {
    char mount[1024]; /* where the file system is mounted */
    char below[1024]; /* our group, relative to it; empty for the root */
};

/* Explains a refusal; the text lives on in failure->missing. */
static int refuse(struct cgroup_failure *failure, int error, const char *controller,
                  const char *what)
{
    static char text[256];
    snprintf(text, sizeof text, "%s (%s)", controller, what);
    failure->error = error;
    failure->missing = text;
    return -error;
}

/*
 * Mount point and the group that is mounted there: fields 5 and 4, proc_pid_mountinfo(5). The first there is,
 * or what was mounted over it.
 */
static bool find_mount(struct place *place, char root[1024])
{
    char line[4096], group[1024], point[1024];
    bool found = false;
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    while (mounts && fgets(line, sizeof line, mounts)) {
        if (!strstr(line, " - cgroup2 ") ||
            sscanf(line, "%*s %*s %*s %1023s %1023s", group, point) != 2 ||
            (found && strcmp(point, place->mount) != 0))
            continue;
        memcpy(place->mount, point, sizeof point);
        memcpy(root, group, sizeof group);
        found = true;
    }
    if (mounts)
        fclose(mounts);
    return found;
}

/* Our own group below the mount; left empty where it is not below it. */
static void find_own(struct place *place, const char *root)
{
    char line[1100];
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    FILE *groups = fopen("/proc/self/cgroup", "re");
    while (groups && fgets(line, sizeof line, groups)) {
        const char *path = line + strlen("0::");
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::/", 4) == 0 && strncmp(path, root, length) == 0 &&
            path[length] == '/' && strstr(path, "/..") == NULL)
            snprintf(place->below, sizeof place->below, "%s", path + length + 1);
    }
    if (groups)
        fclose(groups);
}

static bool is_delegated(int group)
{
    static const char *const marks[] = {"trusted.delegate", "user.delegate"};
    char value;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (fgetxattr(group, marks[i], &value, 1) == 1 && value == '1')
            return true;
    return false;
}

static int open_group(struct place *place)
{
    int mount = open(place->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (mount < 0)
        return -errno;
    while (place->below[0] != '\0') {
        int group = openat(mount, place->below, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (group >= 0 && is_delegated(group)) {
            close(mount);
            return group;
        }
        if (group >= 0)
            close(group);
        char *last = strrchr(place->below, '/');
        *(last ? last : place->below) = '\0';
    }
    return mount;
}

/* One pass. Returns how many processes there were, or -errno. */
static int move_once(int group)
{
    int pid, moved = 0, fd = openat(group, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *processes = fd < 0 ? NULL : fdopen(fd, "r");
    if (!processes) {
        int error = -errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    while (fscanf(processes, "%d", &pid) == 1) {
        /* 0 is a process outside our pid namespace, which we cannot name. */
        int error = pid == 0 ? -EXDEV
                             : tree_write_number(group, LEAF, "cgroup.procs", (uint64_t)pid);
        if (error && error != -ESRCH) {
            fclose(processes);
            return error;
        }
        moved++;
    }
    fclose(processes);
    return moved;
}

static int move_processes(int group)
{
    if (mkdirat(group, LEAF, 0755) != 0 && errno != EEXIST)
        return -errno;
    int moved = 1;
    for (int pass = 0; pass < MOVE_PASSES && moved > 0; pass++)
        moved = move_once(group);
    return moved > 0 ? -EBUSY : moved;
}

/* The names are short, and none is the beginning of another ("cpu", "cpuset"). */
static bool lists(int group, const char *file, const char *controller)
{
    char text[256], word[32];
    if (tree_read(group, ".", file, text, sizeof text) != 0)
        return false;
    for (const char *at = text; sscanf(at, "%31s", word) == 1;) {
        if (strcmp(word, controller) == 0)
            return true;
        at = strstr(at, word) + strlen(word);
    }
    return false;
}

static int enable(int group, const char *controller, struct cgroup_failure *failure)
{
    char text[32];
    if (lists(group, "cgroup.subtree_control", controller))
        return 0;
    if (!lists(group, "cgroup.controllers", controller))
        return refuse(failure, ENOENT, controller,
                      "not in cgroup.controllers: set Delegate=yes in the unit, or add it to "
                      "cgroup.subtree_control of the groups above");
    snprintf(text, sizeof text, "+%s", controller);
    int error = tree_write(group, ".", "cgroup.subtree_control", text);
    if (error == -EBUSY) {
        error = move_processes(group);
        if (error)
            return refuse(
                failure, -error, controller,
                "the processes of the group cannot be moved into a leaf: start Mayfly in a "
                "group or a container of its own");
        error = tree_write(group, ".", "cgroup.subtree_control", text);
    }
    if (error)
        return refuse(
            failure, -error, controller,
            "cannot be enabled in cgroup.subtree_control: set Delegate=yes in the unit; in "
            "a container mount /sys/fs/cgroup read-write");
    return 0;
}

int cgroup_v2_root(bool *io, bool *cpuset, struct cgroup_failure *failure)
{
    /* Memory first: cpu and pids can be had beside processes, but make a threaded subtree of it then. */
    static const char *const needed[] = {"memory", "cpu", "pids"};
    struct place place = {.below = ""};
    struct cgroup_failure ignored;
    char root[1024];

    if (!find_mount(&place, root))
        return refuse(failure, ENODEV, "control groups",
                      "mount -t cgroup2 none /sys/fs/cgroup, or the v1 controllers below it");
    find_own(&place, root);
    int group = open_group(&place);
    if (group < 0)
        return refuse(failure, -group, "control groups", "the mount point cannot be opened");
    int error = 0;
    for (size_t i = 0; !error && i < sizeof needed / sizeof *needed; i++)
        error = enable(group, needed[i], failure);
    if (error) {
        close(group);
        return error;
    }
    *io = enable(group, "io", &ignored) == 0;
    *cpuset = enable(group, "cpuset", &ignored) == 0;
    return group;
}
