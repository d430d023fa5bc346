#include "jail.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "mounts.h"
#include "sys.h"
#include "weaken.h"

static int make_directories(void)
{
    static const char *const names[] = {"proc", "layers", "s", "s/t", "m"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (mkdir(names[i], 0755) != 0)
            return -errno;
    return 0;
}

/* What the tests' weak supervisors put where a broken box could find it. */
static int weaken_jail(void)
{
    static const char *const nodes[] = {"null", "zero", "full", "random", "urandom"};
    static const unsigned minors[] = {3, 5, 7, 8, 9};

    if (weak(WEAK_JAIL) &&
        (mkdir("host", 0755) != 0 || mount("/", "host", NULL, MS_BIND | MS_REC, NULL) != 0))
        return -errno;
    if (!weak(WEAK_SHARED))
        return 0;
    if (mkdir("shared", 0755) != 0 || mkdir("shared/shm", 01777) != 0 ||
        mkdir("shared/dev", 0755) != 0 || mkdir("shared/dev/shm", 0755) != 0)
        return -errno;
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        char path[32];
        snprintf(path, sizeof path, "shared/dev/%s", nodes[i]);
        if (mknod(path, S_IFCHR | 0666, makedev(1, minors[i])) != 0)
            return -errno;
    }
    return 0;
}

int jail_enter(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return -errno;
    /* Any directory would do as the place to mount on; /proc is the one that every host has. */
    if (mount("jail", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=1m") !=
            0 ||
        chdir("/proc") != 0)
        return -errno;
    int error = make_directories();
    if (!error)
        error = weaken_jail();
    if (error)
        return error;
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
        return -errno;
    /* pivot_root(".", ".") stacks the old root over the new one: pivot_root(2), Notes. */
    if (SYS2(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
        return -errno;
    return 0;
}

int jail_attach_layer(uint32_t layer, int tree)
{
    char path[32];
    struct sys_mount_attr still = {.attr_set = SYS_ATTR_RDONLY | SYS_ATTR_NOSUID | SYS_ATTR_NODEV};

    snprintf(path, sizeof path, JAIL_LAYERS "/%u", layer);
    if (mkdir(path, 0755) != 0)
        return -errno;
    long error = sys_mount_setattr(tree, &still);
    if (!error)
        error = sys_move_mount(tree, AT_FDCWD, path);
    return (int)error;
}

void jail_detach_layer(uint32_t layer)
{
    char path[32];
    snprintf(path, sizeof path, JAIL_LAYERS "/%u", layer);
    if (umount2(path, MNT_DETACH) == 0)
        rmdir(path);
}

int jail_drop_capabilities(int maker)
{
    static const int both[] = {CAP_SYS_ADMIN, CAP_SETUID,       CAP_SETGID,
                               CAP_CHOWN,     CAP_DAC_OVERRIDE, CAP_KILL};
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {0};
    uint64_t kept = 0;

    for (size_t i = 0; i < sizeof both / sizeof *both; i++)
        kept |= 1ull << both[i];
    if (maker)
        kept |= 1ull << CAP_MKNOD | 1ull << CAP_FOWNER;
    for (int capability = 0; capability < 64; capability++) {
        if (kept >> capability & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
            if (errno == EINVAL)
                break; /* beyond this kernel's last capability */
            return -errno;
        }
    }
    sets[0].effective = sets[0].permitted = (uint32_t)kept;
    sets[1].effective = sets[1].permitted = (uint32_t)(kept >> 32);
    return (int)SYS2(SYS_capset, &head, sets);
}
