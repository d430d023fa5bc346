#include "rivals_root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define UNIFIED_BESIDE_V1 "/sys/fs/cgroup/unified"

static char root[640];
static int mounts = -1;

/* Upper layers first, as overlay wants them. No upper directory: it is read-only. */
static int mount_root(void)
{
    char options[sizeof places.base_layers + 1024];
    const char *paths[LAYERS_MAX];
    const char *path = places.base_layers;
    size_t length = (size_t)snprintf(options, sizeof options, "lowerdir=%s", places.hello_layer);
    for (unsigned i = 0; i < places.base_layers_count; i++, path += strlen(path) + 1)
        paths[i] = path;
    for (unsigned i = places.base_layers_count; i-- > 0;)
        length += (size_t)snprintf(options + length, sizeof options - length, ":%s", paths[i]);
    return mount("overlay", root, "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, options);
}

static int prepare(void)
{
    struct statfs about;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return errno;
    if (mount_root() != 0)
        return errno;
    if (statfs(UNIFIED_BESIDE_V1, &about) == 0 && about.f_type == CGROUP2_SUPER_MAGIC &&
        mount("tmpfs", UNIFIED_BESIDE_V1, "tmpfs", 0, NULL) != 0)
        return errno;
    return 0;
}

/* A child makes the namespace and waits until we hold it. */
void rivals_root_make(void)
{
    char path[64];
    int ready[2], error = ECHILD;
    snprintf(root, sizeof root, "%s/root", places.scratch);
    if (mkdir(root, 0755) != 0 || pipe2(ready, O_CLOEXEC) != 0)
        die(root, errno);
    pid_t child = fork();
    if (child == 0) {
        int result = prepare();
        if (write(ready[1], &result, sizeof result) == sizeof result)
            pause();
        _exit(0);
    }
    close(ready[1]);
    if (child > 0 && read(ready[0], &error, sizeof error) == sizeof error && error == 0) {
        snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)child);
        mounts = open(path, O_RDONLY | O_CLOEXEC);
    }
    close(ready[0]);
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    if (mounts < 0)
        die("the rivals' mount namespace", error);
}

const char *rivals_root(void)
{
    return root;
}

int rivals_mounts(void)
{
    return mounts;
}
