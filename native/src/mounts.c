#include "mounts.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "box.h"
#include "sys.h"
#include "weaken.h"

static long failed(struct mount_failure *failure, uint32_t stage, uint32_t index, long error)
{
    failure->stage = stage;
    failure->index = index;
    return error;
}

static long mount_with(const char *type, const char *const *options, unsigned attributes)
{
    long context = sys_fsopen(type);
    if (context < 0)
        return context;
    long result = 0;
    for (; !result && options[0]; options += 2)
        result = sys_fsconfig_string((int)context, options[0], options[1]);
    if (!result)
        result = sys_fsconfig_create((int)context);
    if (!result)
        result = sys_fsmount((int)context, attributes);
    sys_close((int)context);
    return result;
}

/* A second mount of the same tree, with more attributes. */
static long clone_mount(const char *path, uint64_t attributes, uint64_t cleared, int user_namespace)
{
    long tree = sys_open_tree(AT_FDCWD, path, SYS_OPEN_TREE_CLONE);
    if (tree < 0)
        return tree;
    struct sys_mount_attr change = {.attr_set = attributes, .attr_clr = cleared};
    if (user_namespace >= 0) {
        change.attr_set |= MOUNT_ATTR_IDMAP;
        change.userns_fd = (uint64_t)user_namespace;
    }
    long error = sys_mount_setattr((int)tree, &change);
    if (error) {
        sys_close((int)tree);
        return error;
    }
    return tree;
}

static const struct {
    const char *name;
    unsigned major, minor;
} devices[] = {
    {"t/dev/null", 1, 3},   {"t/dev/zero", 1, 5},    {"t/dev/full", 1, 7},
    {"t/dev/random", 1, 8}, {"t/dev/urandom", 1, 9}, {"t/dev/tty", 5, 0},
};

static const char *const links[][2] = {
    {"/proc/self/fd", "t/dev/fd"},
    {"/proc/self/fd/0", "t/dev/stdin"},
    {"/proc/self/fd/1", "t/dev/stdout"},
    {"/proc/self/fd/2", "t/dev/stderr"},
};

/* The maker's umask is 0. */
static long directory(const char *path, unsigned mode, uint32_t owner)
{
    long error = SYS3(SYS_mkdirat, AT_FDCWD, path, mode);
    return error ? error : SYS5(SYS_fchownat, AT_FDCWD, path, owner, owner, 0);
}

/* Everything on the box's tmpfs, which is attached at "t". */
static long populate(uint32_t id_base)
{
    long error = directory("t/u", 0755, id_base);
    if (!error)
        error = directory("t/w", 0755, id_base);
    if (!error)
        error = directory("t/tmp", 01777, id_base);
    if (!error)
        error = directory("t/shm", 01777, id_base);
    if (!error)
        error = directory("t/dev", 0755, id_base);
    if (!error)
        error = directory("t/dev/shm", 0755, id_base);
    if (!error)
        error = directory("t/dev/pts", 0755, id_base);
    for (size_t i = 0; !error && i < sizeof devices / sizeof *devices; i++) {
        error = SYS4(SYS_mknodat, AT_FDCWD, devices[i].name, S_IFCHR | 0666,
                     makedev(devices[i].major, devices[i].minor));
        if (!error)
            error = SYS5(SYS_fchownat, AT_FDCWD, devices[i].name, id_base, id_base, 0);
    }
    for (size_t i = 0; !error && i < sizeof links / sizeof *links; i++)
        error = SYS3(SYS_symlinkat, links[i][0], AT_FDCWD, links[i][1]);
    return error;
}

static long attach_disk(const struct make_request *request, int *disk)
{
    char bytes[24], inodes[24];
    const uint64_t size = weak(WEAK_LIMITS) ? 1u << 30 : request->disk_bytes_max;
    snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)size);
    /* Room for the box's own few inodes; mounts_resize makes it exact. */
    snprintf(inodes, sizeof inodes, "%u", weak(WEAK_LIMITS) ? 1u << 20 : request->files_max + 64);
    const char *const options[] = {"source", "box",  "size", bytes, "nr_inodes",
                                   inodes,   "mode", "755",  NULL};
    long mount = mount_with("tmpfs", options, SYS_ATTR_NOSUID);
    if (mount < 0)
        return mount;
    *disk = (int)mount;
    return sys_move_mount(*disk, AT_FDCWD, "t");
}

/*
 * Attaches the idmapped layers at t/0, t/1 ... and lists them, topmost first, as overlay wants them. Below the
 * tmpfs, so that one umount takes all away: each costs the kernel a grace period.
 */
static long attach_layers(const struct make_request *request, int user_namespace, char *lower,
                          struct mount_failure *failure)
{
    size_t length = 0;
    for (uint32_t i = request->layers_count; i-- > 0;) {
        char from[32], to[16];
        snprintf(from, sizeof from, JAIL_LAYERS "/%u", request->layers[i]);
        snprintf(to, sizeof to, "t/%u", i);
        long error = SYS3(SYS_mkdirat, AT_FDCWD, to, 0700);
        if (error)
            return failed(failure, MAYFLY_STAGE_LAYER, i, error);
        const uint64_t nosuid = weak(WEAK_SETUID) ? 0 : SYS_ATTR_NOSUID;
        long layer = clone_mount(from, SYS_ATTR_RDONLY | nosuid | SYS_ATTR_NODEV,
                                 SYS_ATTR_NOSUID & ~nosuid, user_namespace);
        error = layer < 0 ? layer : sys_move_mount((int)layer, AT_FDCWD, to);
        if (layer >= 0)
            sys_close((int)layer);
        if (error)
            return failed(failure, MAYFLY_STAGE_LAYER, i, error);
        if (length > 0)
            lower[length++] = ':';
        for (const char *c = to; *c; c++)
            lower[length++] = *c;
    }
    lower[length] = '\0';
    return 0;
}

/* The tests' weakest root: no overlay, the lowest layer can be written to. */
static long bare_layer(const struct make_request *request, int user_namespace)
{
    char from[32];
    snprintf(from, sizeof from, JAIL_LAYERS "/%u", request->layers[0]);
    return clone_mount(from, SYS_ATTR_NOSUID | SYS_ATTR_NODEV, SYS_ATTR_RDONLY, user_namespace);
}

static long make(const struct make_request *request, int user_namespace, int mounts[BOX_MOUNTS],
                 int *disk, struct mount_failure *failure)
{
    char lower[MAYFLY_LAYERS_MAX * 16];
    const uint64_t still = (weak(WEAK_SETUID) ? 0 : SYS_ATTR_NOSUID) | SYS_ATTR_NODEV;

    long error = attach_disk(request, disk);
    if (error)
        return failed(failure, MAYFLY_STAGE_OVERLAY, 0, error);
    error = populate(request->id_base);
    if (error)
        return failed(failure, MAYFLY_STAGE_OVERLAY, 1, error);
    error = attach_layers(request, user_namespace, lower, failure);
    if (error)
        return error;
    /* Relative names: they are shown in the box's /proc/self/mountinfo. */
    /* Without redirects a directory of a lower layer cannot be renamed, which git mv and npm do. */
    const char *const overlay[] = {"source",  "box", "lowerdir",     lower, "upperdir", "t/u",
                                   "workdir", "t/w", "redirect_dir", "on",  NULL};
    long mount = weak(WEAK_OVERLAY) ? bare_layer(request, user_namespace)
                                    : mount_with("overlay", overlay, (unsigned)still);
    if (mount < 0)
        return failed(failure, MAYFLY_STAGE_OVERLAY, 2, mount);
    mounts[BOX_ROOT] = (int)mount;
    mount = clone_mount("t/tmp", still, 0, -1);
    if (mount < 0)
        return failed(failure, MAYFLY_STAGE_OVERLAY, 3, mount);
    mounts[BOX_TMP] = (int)mount;
    mount = clone_mount(weak(WEAK_SHARED) ? "/shared/shm" : "t/shm", still, 0, -1);
    if (mount < 0)
        return failed(failure, MAYFLY_STAGE_OVERLAY, 4, mount);
    mounts[BOX_SHM] = (int)mount;
    const uint64_t quiet = SYS_ATTR_RDONLY | SYS_ATTR_NOSUID | SYS_ATTR_NOEXEC;
    mount = weak(WEAK_SHARED) ? clone_mount("/shared/dev", quiet, SYS_ATTR_NODEV, -1)
                              : clone_mount("t/dev", quiet, 0, -1);
    if (mount < 0)
        return failed(failure, MAYFLY_STAGE_OVERLAY, 5, mount);
    mounts[BOX_DEV] = (int)mount;
    return 0;
}

long mounts_make(const struct make_request *request, int user_namespace, int mounts[BOX_MOUNTS],
                 int *disk, struct mount_failure *failure)
{
    *disk = -1;
    for (int i = 0; i < BOX_MOUNTS; i++)
        mounts[i] = -1;
    long error = make(request, user_namespace, mounts, disk, failure);
    if (!error)
        return 0;
    mounts_detach();
    for (int i = 0; i < BOX_MOUNTS; i++)
        if (mounts[i] >= 0)
            sys_close(mounts[i]);
    if (*disk >= 0)
        sys_close(*disk);
    *disk = -1;
    return error;
}

void mounts_detach(void)
{
    SYS2(SYS_umount2, "t", MNT_DETACH); /* EINVAL where nothing was attached */
}

long mounts_resize(int disk, uint64_t bytes, uint64_t inodes)
{
    char text[24];
    long context = sys_fspick(disk);
    if (context < 0)
        return context;
    snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
    long error = sys_fsconfig_string((int)context, "size", text);
    snprintf(text, sizeof text, "%llu", (unsigned long long)inodes);
    if (!error)
        error = sys_fsconfig_string((int)context, "nr_inodes", text);
    if (!error)
        error = sys_fsconfig_reconfigure((int)context);
    sys_close((int)context);
    return error;
}

/* In pid 1 from here on: raw system calls only. */

/* What of /proc tells about the host or could reach it. Files get /dev/null, directories an empty one. */
static const char *const masked_files[] = {
    "proc/kcore",      "proc/keys",    "proc/key-users", "proc/sysrq-trigger",
    "proc/timer_list", "proc/modules", "proc/cmdline",   "proc/interrupts",
};
static const char *const masked_directories[] = {
    "proc/acpi", "proc/asound", "proc/bus", "proc/fs", "proc/irq", "proc/scsi",
};

static long attach(long mount, const char *where)
{
    if (mount < 0)
        return mount;
    long error = sys_move_mount((int)mount, AT_FDCWD, where);
    sys_close((int)mount);
    return error;
}

/*
 * Covers `path` with a mount of `cover`. Only a path that is not there may stay as it is; it is asked for first,
 * since a mount that was made and finds no place costs the kernel a grace period to take away.
 */
static long mask(const char *cover, const char *path)
{
    long error = SYS3(SYS_faccessat, AT_FDCWD, path, 0 /* F_OK */);
    if (error == -ENOENT)
        return 0;
    return error ? error : attach(sys_open_tree(AT_FDCWD, cover, SYS_OPEN_TREE_CLONE), path);
}

static long mask_proc(uint32_t *index)
{
    long error = 0;
    if (weak(WEAK_PROC))
        return 0;
    for (size_t i = 0; !error && i < sizeof masked_files / sizeof *masked_files; i++, ++*index)
        error = mask("dev/null", masked_files[i]);
    /* dev/shm is empty and read-only until the box's shared memory is attached over it. */
    for (size_t i = 0; !error && i < sizeof masked_directories / sizeof *masked_directories;
         i++, ++*index)
        error = mask("dev/shm", masked_directories[i]);
    if (error)
        return error;
    return attach(clone_mount("proc/sys",
                              SYS_ATTR_RDONLY | SYS_ATTR_NOSUID | SYS_ATTR_NODEV | SYS_ATTR_NOEXEC,
                              0, -1),
                  "proc/sys");
}

long mounts_enter(const int mounts[BOX_MOUNTS], struct mount_failure *failure)
{
    /* Another user's processes, pid 1 among them, do not exist for the program. */
    static const char *const proc[] = {"source", "proc", "hidepid", "invisible", NULL};
    static const char *const open_proc[] = {"source", "proc", NULL};
    const unsigned still = SYS_ATTR_NOSUID | SYS_ATTR_NODEV | SYS_ATTR_NOEXEC;
    uint32_t index = 16;

    long error = attach(mounts[BOX_ROOT], JAIL_ROOT);
    if (!error)
        error = SYS1(SYS_chdir, JAIL_ROOT);
    if (error)
        return failed(failure, MAYFLY_STAGE_MOUNT, 1, error);
    error = attach(weak(WEAK_PID) ? clone_mount("/proc", still, 0, -1)
                                  : mount_with("proc", weak(WEAK_PROC) ? open_proc : proc, still),
                   "proc");
    if (error)
        return failed(failure, MAYFLY_STAGE_MOUNT, 2, error);
    error = attach(mounts[BOX_DEV], "dev");
    if (error)
        return failed(failure, MAYFLY_STAGE_MOUNT, 3, error);
    error = mask_proc(&index);
    if (error)
        return failed(failure, MAYFLY_STAGE_MOUNT, index, error);
    error = attach(mounts[BOX_SHM], "dev/shm");
    if (!error)
        error = attach(mounts[BOX_TMP], "tmp");
    if (error)
        return failed(failure, MAYFLY_STAGE_MOUNT, 4, error);

    error = weak(WEAK_PIVOT) ? SYS1(SYS_chroot, ".") : SYS2(SYS_pivot_root, ".", ".");
    return error ? failed(failure, MAYFLY_STAGE_PIVOT, 0, error) : 0;
}

long mounts_leave_jail(void)
{
    /* pivot_root(".", ".") left the jail's root stacked over the box's: "." leads to it, "/" does not. */
    long error = weak(WEAK_PIVOT) ? 0 : SYS2(SYS_umount2, ".", MNT_DETACH);
    return error ? error : SYS1(SYS_chdir, "/");
}
