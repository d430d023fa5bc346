/*
 * System calls without libc: they return -errno and touch no thread-local state.
 *
 * Pid 1's helpers and the waiter share pid 1's memory (CLONE_VM) and run beside it, so libc's errno,
 * buffers and locks are not theirs to use. All code that runs in a box uses these wrappers only.
 */
#ifndef MAYFLY_SYS_H
#define MAYFLY_SYS_H

#include <fcntl.h>
#include <linux/mount.h>
#include <stdint.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
static inline long sys_raw(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
static inline long sys_raw(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory", "cc");
    return x0;
}
#else
#error "Mayfly knows the system call convention of x86-64 and aarch64 only"
#endif

#define SYS0(n) sys_raw(n, 0, 0, 0, 0, 0, 0)
#define SYS1(n, a) sys_raw(n, (long)(a), 0, 0, 0, 0, 0)
#define SYS2(n, a, b) sys_raw(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS3(n, a, b, c) sys_raw(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS4(n, a, b, c, d) sys_raw(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS5(n, a, b, c, d, e) sys_raw(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

static inline long sys_openat(int dir, const char *path, int flags, unsigned mode)
{
    return SYS4(SYS_openat, dir, path, flags | O_CLOEXEC, mode);
}

static inline void sys_close(int fd)
{
    (void)SYS1(SYS_close, fd);
}

static inline long sys_read(int fd, void *buffer, unsigned long bytes)
{
    return SYS3(SYS_read, fd, buffer, bytes);
}

static inline long sys_write(int fd, const void *buffer, unsigned long bytes)
{
    return SYS3(SYS_write, fd, buffer, bytes);
}

static inline long sys_dup3(int from, int to, int flags)
{
    return SYS3(SYS_dup3, from, to, flags);
}

static inline long sys_close_range(unsigned first, unsigned last)
{
    return SYS3(SYS_close_range, first, last, 0);
}

/* The mount API of Linux 5.2 and later: fsopen(2) and its family, not yet in Debian 12's libc. */
#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif

static inline long sys_open_tree(int dir, const char *path, unsigned flags)
{
    return SYS3(SYS_open_tree, dir, path, flags);
}

static inline long sys_move_mount(int from, int to_dir, const char *to)
{
    return SYS5(SYS_move_mount, from, "", to_dir, to, 0x4 /* MOVE_MOUNT_F_EMPTY_PATH */);
}

static inline long sys_fsopen(const char *type)
{
    return SYS2(SYS_fsopen, type, 1 /* FSOPEN_CLOEXEC */);
}

static inline long sys_fsconfig_string(int fd, const char *key, const char *value)
{
    return SYS5(SYS_fsconfig, fd, 1 /* FSCONFIG_SET_STRING */, key, value, 0);
}

static inline long sys_fsconfig_create(int fd)
{
    return SYS5(SYS_fsconfig, fd, 6 /* FSCONFIG_CMD_CREATE */, 0, 0, 0);
}

static inline long sys_fsconfig_reconfigure(int fd)
{
    return SYS5(SYS_fsconfig, fd, 7 /* FSCONFIG_CMD_RECONFIGURE */, 0, 0, 0);
}

static inline long sys_fsmount(int fd, unsigned attributes)
{
    return SYS3(SYS_fsmount, fd, 1 /* FSMOUNT_CLOEXEC */, attributes);
}

static inline long sys_fspick(int dir)
{
    return SYS3(SYS_fspick, dir, "", 0x8 | 0x1 /* FSPICK_EMPTY_PATH | FSPICK_CLOEXEC */);
}

struct sys_mount_attr {
    uint64_t attr_set;
    uint64_t attr_clr;
    uint64_t propagation;
    uint64_t userns_fd;
};

static inline long sys_mount_setattr(int fd, const struct sys_mount_attr *attributes)
{
    return SYS5(SYS_mount_setattr, fd, "", 0x1000 /* AT_EMPTY_PATH */, attributes,
                sizeof *attributes);
}

#define SYS_OPEN_TREE_CLONE (1u | O_CLOEXEC)
#define SYS_ATTR_RDONLY 0x1u
#define SYS_ATTR_NOSUID 0x2u
#define SYS_ATTR_NODEV 0x4u
#define SYS_ATTR_NOEXEC 0x8u

#endif
