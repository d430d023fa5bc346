/*
 * mayfly-unpack unpack|remove DIRECTORY: what a compile step left (pack.c), from descriptor 0 into DIRECTORY; or
 * everything in DIRECTORY away again. The archive comes from a tenant's box, so nothing of it is looked at before
 * this process is nobody: its root is DIRECTORY, a mount on which no link is followed; its user is one that nobody
 * else has, mapped by the mount to the box's; it has no capability, no network, and a dozen system calls.
 *
 * Exits with 0, 1 when it could not shut itself in, 2 when the archive was refused, 3 when the disk did.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "box.h"
#include "sys.h"

/* Above the ids of all boxes (supervisor.c): one for each process number. */
#define UNPACK_IDS 0xf0000000u
#define ENTRIES_MAX 262144u
#define CPU_SECONDS_MAX 60
#define ATTR_NOSYMFOLLOW 0x00200000u

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

enum { UNCONFINED = 1, REFUSED = 2, FULL = 3 };

static _Noreturn void die(int code, const char *what, long error)
{
    char line[96];
    int length = snprintf(line, sizeof line, "mayfly-unpack: %s: errno %ld\n", what, -error);
    (void)sys_write(2, line, (unsigned long)length);
    for (;;)
        SYS1(SYS_exit_group, code);
}

static void must(long result, const char *what)
{
    if (result < 0)
        die(UNCONFINED, what, result == -1 ? -errno : result);
}

static void write_map(int pid, const char *file, uint32_t id)
{
    char path[48], text[48];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    int length = snprintf(text, sizeof text, "%u %u 1", BOX_USER, id);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    must(fd, "the id map");
    must(write(fd, text, (size_t)length), "the id map");
    close(fd);
}

/* A namespace in which the box's user is `id`: for the mount only, nobody runs in it. */
static int user_namespace(uint32_t id)
{
    char path[48];
    long pid = SYS5(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    must(pid, "the user namespace");
    if (pid == 0)
        for (;;)
            pause();
    write_map((int)pid, "uid_map", id);
    write_map((int)pid, "gid_map", id);
    snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    must(fd, "the user namespace");
    kill((pid_t)pid, SIGKILL);
    waitpid((pid_t)pid, NULL, 0);
    return fd;
}

/* From here on there is nothing but the directory. */
static void change_root(const char *directory, uint32_t id)
{
    long tree = sys_open_tree(AT_FDCWD, directory, SYS_OPEN_TREE_CLONE);
    must(tree, "the directory");
    struct sys_mount_attr change = {.attr_set = SYS_ATTR_NOSUID | SYS_ATTR_NODEV | SYS_ATTR_NOEXEC |
                                                ATTR_NOSYMFOLLOW | MOUNT_ATTR_IDMAP,
                                    .userns_fd = (uint64_t)user_namespace(id)};
    must(sys_mount_setattr((int)tree, &change), "mapping the directory");
    must(unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS), "namespaces");
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "a private root");
    must(sys_move_mount((int)tree, AT_FDCWD, "/proc"), "attaching the directory");
    must(chdir("/proc"), "entering the directory");
    must(SYS2(SYS_pivot_root, ".", "."), "changing the root");
    must(umount2(".", MNT_DETACH), "leaving the host");
    must(chdir("/"), "entering the root");
    must((long)sys_close_range(3, ~0u), "closing descriptors");
}

static void limit(int resource, rlim_t most)
{
    const struct rlimit both = {most, most};
    must(setrlimit((__rlimit_resource_t)resource, &both), "limits");
}

static void filter(void)
{
#define ALLOW(name)                                                                                \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1),                                         \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(read),
        ALLOW(write),
        ALLOW(openat),
        ALLOW(close),
        ALLOW(mkdirat),
        ALLOW(fchmod),
        ALLOW(sendfile),
        ALLOW(symlinkat),
        ALLOW(getdents64),
        ALLOW(unlinkat),
        ALLOW(lseek),
        ALLOW(exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
#undef ALLOW
    const struct sock_fprog program = {sizeof code / sizeof *code, code};
    must(SYS3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), "the filter");
}

static void become_nobody(uint32_t id)
{
    limit(RLIMIT_CPU, CPU_SECONDS_MAX);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, 2 * PACKED_DEPTH_MAX);
    must(SYS2(SYS_setgroups, 0, 0), "groups");
    must(SYS3(SYS_setresgid, id, id, id), "the group");
    must(SYS3(SYS_setresuid, id, id, id), "the user"); /* and every capability with it */
    limit(RLIMIT_NPROC, 1);
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges");
    umask(0);
    filter();
}

/* Exactly `bytes` from the archive; false at its very end, when that is allowed. */
static bool take(void *to, uint64_t bytes, bool may_end)
{
    char *at = to;
    const uint64_t all = bytes;
    while (bytes > 0) {
        long got = sys_read(0, at, bytes);
        if (got == 0 && may_end && bytes == all)
            return false;
        if (got <= 0)
            die(REFUSED, "the archive is cut short", got);
        at += got;
        bytes -= (uint64_t)got;
    }
    return true;
}

/* The directory that holds the last segment of `path`, which is cut in place; *name is that segment. */
static int open_parent(char *path, const char **name)
{
    long directory = sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
    int depth = 0;
    for (char *segment = path;;) {
        char *end = strchr(segment, '/');
        if (end)
            *end = '\0';
        if (directory < 0)
            die(REFUSED, "a directory is not there", directory);
        if (!*segment || !strcmp(segment, ".") || !strcmp(segment, "..") ||
            depth++ > PACKED_DEPTH_MAX)
            die(REFUSED, "a path leads astray", -EINVAL);
        if (!end) {
            *name = segment;
            return (int)directory;
        }
        long next = sys_openat((int)directory, segment, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
        sys_close((int)directory);
        directory = next;
        segment = end + 1;
    }
}

static long write_file(int directory, const char *name, uint32_t mode, uint64_t bytes)
{
    long fd = sys_openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fd;
    long error = 0;
    while (!error && bytes > 0) {
        long sent = SYS4(SYS_sendfile, fd, 0, 0, bytes);
        if (sent == 0)
            die(REFUSED, "the archive is cut short", 0);
        if (sent < 0)
            error = sent;
        else
            bytes -= (uint64_t)sent;
    }
    if (!error)
        error = SYS2(SYS_fchmod, fd, (mode & 0777) | 0400); /* no set-id bits, whoever asks */
    sys_close((int)fd);
    return error;
}

static long write_one(const struct packed_record *record, char *path)
{
    char target[PACKED_PATH_BYTES_MAX + 1];
    const char *name;
    int directory = open_parent(path, &name);
    long error;
    switch (record->mode & S_IFMT) {
    case S_IFREG:
        error = write_file(directory, name, record->mode, record->content_bytes);
        break;
    case S_IFDIR: /* its owner has to be able to fill it, and to take it away */
        if (record->content_bytes != 0)
            die(REFUSED, "a directory with content", -EINVAL);
        error = SYS3(SYS_mkdirat, directory, name, (record->mode & 0777) | 0700);
        break;
    case S_IFLNK:
        if (record->content_bytes == 0 || record->content_bytes > PACKED_PATH_BYTES_MAX)
            die(REFUSED, "a link of that length", -EINVAL);
        take(target, record->content_bytes, false);
        target[record->content_bytes] = '\0';
        error = SYS3(SYS_symlinkat, target, directory, name);
        break;
    default:
        die(REFUSED, "neither file nor directory nor link", -EINVAL);
    }
    sys_close(directory);
    return error;
}

static void unpack(void)
{
    static char path[PACKED_PATH_BYTES_MAX + 1];
    struct packed_record record;
    /* Whoever packed it wrote through the same description. */
    if (SYS3(SYS_lseek, 0, 0, SEEK_SET) != 0)
        die(REFUSED, "the archive is no file", -ESPIPE);
    for (uint32_t entries = 0; take(&record, sizeof record, true); entries++) {
        if (record.path_bytes == 0 || record.path_bytes > PACKED_PATH_BYTES_MAX ||
            entries == ENTRIES_MAX)
            die(REFUSED, "a path of that length, or too many", -EINVAL);
        take(path, record.path_bytes, false);
        path[record.path_bytes] = '\0';
        if (strlen(path) != record.path_bytes)
            die(REFUSED, "a path with NUL", -EINVAL);
        long error = write_one(&record, path);
        if (error == -ENOSPC || error == -EDQUOT || error == -EIO || error == -EMFILE)
            die(FULL, "the disk", error);
        if (error)
            die(REFUSED, "an entry", error);
    }
}

struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

static void empty(int directory, int depth)
{
    _Alignas(8) char entries[4096];
    long got;
    if (depth > PACKED_DEPTH_MAX)
        die(REFUSED, "too deep", -ENAMETOOLONG);
    for (bool gone = true; gone;) {
        gone = false;
        SYS3(SYS_lseek, directory, 0, SEEK_SET);
        while ((got = SYS3(SYS_getdents64, directory, entries, sizeof entries)) > 0) {
            for (long at = 0; at < got;) {
                const struct entry *entry = (const void *)(entries + at);
                const char *name = entry->name;
                at += entry->bytes;
                if (!strcmp(name, ".") || !strcmp(name, ".."))
                    continue;
                long error = SYS3(SYS_unlinkat, directory, name, 0);
                if (error == -EISDIR || error == -EPERM) {
                    long next = sys_openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
                    if (next < 0)
                        die(FULL, "a directory", next);
                    empty((int)next, depth + 1);
                    sys_close((int)next);
                    error = SYS3(SYS_unlinkat, directory, name, AT_REMOVEDIR);
                }
                if (error)
                    die(FULL, "an entry", error);
                gone = true; /* what getdents says after a removal is not defined: look again */
            }
        }
    }
}

int main(int argc, char **argv)
{
    const bool removing = argc == 3 && !strcmp(argv[1], "remove");
    const uint32_t id = UNPACK_IDS + (uint32_t)getpid() % 0x0ffffff0u;
    if (argc != 3 || (!removing && strcmp(argv[1], "unpack") != 0))
        die(UNCONFINED, "usage: unpack|remove DIRECTORY", -EINVAL);
    change_root(argv[2], id);
    become_nobody(id);
    if (removing)
        empty((int)sys_openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0), 0);
    else
        unpack();
    for (;;)
        SYS1(SYS_exit_group, 0);
}
