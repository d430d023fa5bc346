/*
 * What a program may not ask of the kernel. A list of denials, not of permissions: numpy, the JVM, Go and
 * whatever comes next must work, and a program has no capability and its own namespaces anyway. Denied
 * is what reaches kernel code that an unprivileged program has no honest use for.
 *
 * Calls newer than KNOWN_SYSCALLS, and those of x32, answer ENOSYS, upon which libraries fall back;
 * another architecture's (int 0x80) kill.
 *
 * Assembled here, since libseccomp cannot express "any of these flags", "none of these values" or
 * "from this number on" (docs/adr/0004). The kernel remembers which calls are always allowed
 * (SECCOMP_ARCH_NATIVE bitmap, Linux 5.11) and does not run the filter for them; to find out, it interprets the
 * filter once for each number whenever it is installed. So numbers are searched for in a tree, which takes 0.03 ms
 * to install; as a list they took 0.10.
 */
#include "filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* First number that this table has not been read for: set_mempolicy_home_node (450) was the last. */
#define KNOWN_SYSCALLS 451

#if defined(__x86_64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

static const int denied[] = {
    /* Mounts: the box's file system is finished. */
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_open_tree,
    SYS_move_mount,
    442 /* mount_setattr */,
    /* Namespaces: a user namespace gives capabilities, and with them most of the kernel's holes. */
    SYS_unshare,
    SYS_setns,
    /* Keyrings outlive processes and are shared by host uid. */
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    /* Large kernel surfaces with a history. */
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_fanotify_init,
    /* Other processes' memory and descriptors. */
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_pidfd_getfd,
    SYS_kcmp,
    440 /* process_madvise */,
    /* Files by handle go around every directory's rights. */
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    /* The machine. */
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_syslog,
    SYS_quotactl,
    443 /* quotactl_fd */,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_vhangup,
    SYS_lookup_dcookie,
#if defined(__x86_64__)
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
#endif
};

/* Answered as if the kernel had none: callers have another way. */
static const int missing[] = {
    SYS_clone3, /* its flags are in memory, where no filter can look */
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register, /* runs calls past this filter */
    447 /* memfd_secret */,
    SYS_nfsservctl,
#if defined(__x86_64__)
    SYS_uselib,
    SYS__sysctl,
    SYS_ustat,
    SYS_sysfs,
#endif
};

#define NAMESPACES                                                                                 \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)
#define ADDR_NO_RANDOMIZE 0x0040000

/* Rules that are compared one after the other at the end of the search. */
#define LEAF_RULES 4
#define RULES_MAX (sizeof denied / sizeof *denied + sizeof missing / sizeof *missing + 4)

/* Where a jump leads: to the instruction after it, or to a place that comes later. */
enum place {
    NEXT,
    ALLOWED,
    KILLED,
    DENIED,
    MISSING,
    NO_FAMILY,
    OF_CLONE,
    OF_SOCKET,
    OF_IOCTL,
    OF_PERSONALITY,
    PLACES
};

struct rule {
    uint32_t number;
    enum place place;
};

static struct sock_filter code[FILTER_INSTRUCTIONS_MAX];
static unsigned length, places[PLACES];
static int overflow;

static unsigned emit(uint16_t operation, uint32_t operand, uint8_t when_true, uint8_t when_false)
{
    if (length == FILTER_INSTRUCTIONS_MAX) {
        overflow = 1;
        return 0;
    }
    code[length] = (struct sock_filter){operation, when_true, when_false, operand};
    return length++;
}

static void load(size_t offset)
{
    emit(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* Low half of an argument: all that these calls look at. Little-endian. */
static void load_argument(int which)
{
    load(offsetof(struct seccomp_data, args) + sizeof(uint64_t) * (size_t)which);
}

/* Holds enum place until settle_jumps. */
static unsigned jump(uint16_t condition, uint32_t operand, enum place when_true,
                     enum place when_false)
{
    return emit((uint16_t)(BPF_JMP | condition | BPF_K), operand, (uint8_t)when_true,
                (uint8_t)when_false);
}

/* `place` is here. */
static void at(enum place place)
{
    places[place] = length;
}

static void answer(enum place place, uint32_t action)
{
    at(place);
    emit(BPF_RET | BPF_K, action, 0, 0);
}

static uint32_t error_of(int error)
{
    return SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA);
}

static int by_number(const void *a, const void *b)
{
    uint32_t left = ((const struct rule *)a)->number, right = ((const struct rule *)b)->number;
    return left < right ? -1 : left > right;
}

static size_t collect(struct rule *rules)
{
    size_t count = 0;
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++)
        rules[count++] = (struct rule){(uint32_t)denied[i], DENIED};
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
        rules[count++] = (struct rule){(uint32_t)missing[i], MISSING};
    rules[count++] = (struct rule){SYS_clone, OF_CLONE};
    rules[count++] = (struct rule){SYS_socket, OF_SOCKET};
    rules[count++] = (struct rule){SYS_ioctl, OF_IOCTL};
    rules[count++] = (struct rule){SYS_personality, OF_PERSONALITY};
    qsort(rules, count, sizeof *rules, by_number);
    return count;
}

/* A binary search that ends in one of `rules`, or in ALLOWED. Its forks are settled at once. */
static void search(const struct rule *rules, size_t count)
{
    if (count <= LEAF_RULES) {
        for (size_t i = 0; i < count; i++)
            jump(BPF_JEQ, rules[i].number, rules[i].place, i + 1 < count ? NEXT : ALLOWED);
        return;
    }
    size_t half = count / 2;
    unsigned fork = jump(BPF_JGE, rules[half].number, NEXT, NEXT);
    search(rules, half);
    code[fork].jt = (uint8_t)(length - fork - 1);
    search(rules + half, count - half);
}

static void settle_jumps(void)
{
    for (unsigned i = 0; i < length; i++) {
        if (BPF_CLASS(code[i].code) != BPF_JMP || BPF_OP(code[i].code) == BPF_JGE)
            continue; /* a fork of the search */
        code[i].jt = code[i].jt == NEXT ? 0 : (uint8_t)(places[code[i].jt] - i - 1);
        code[i].jf = code[i].jf == NEXT ? 0 : (uint8_t)(places[code[i].jf] - i - 1);
    }
}

/*
 * unix, inet, inet6, and of netlink the routes that getifaddrs(3) reads. Merely asking for another family
 * can load its module into the host's kernel.
 */
static void socket_families(void)
{
    at(OF_SOCKET);
    load_argument(0);
    jump(BPF_JEQ, AF_UNIX, ALLOWED, NEXT);
    jump(BPF_JEQ, AF_INET, ALLOWED, NEXT);
    jump(BPF_JEQ, AF_INET6, ALLOWED, NEXT);
    jump(BPF_JEQ, AF_NETLINK, NEXT, NO_FAMILY);
    load_argument(2);
    jump(BPF_JEQ, 0 /* NETLINK_ROUTE */, ALLOWED, NO_FAMILY);
}

static void arguments(void)
{
    at(OF_CLONE);
    load_argument(0);
    jump(BPF_JSET, NAMESPACES, DENIED, ALLOWED);
    socket_families();
    /* Typing into a terminal as if somebody had typed it. */
    at(OF_IOCTL);
    load_argument(1);
    jump(BPF_JEQ, TIOCSTI, DENIED, NEXT);
    jump(BPF_JEQ, TIOCLINUX, DENIED, ALLOWED);
    /* Asking, the default, and `setarch -R`; other personalities turn hardening off. */
    at(OF_PERSONALITY);
    load_argument(0);
    jump(BPF_JEQ, 0xffffffff, ALLOWED, NEXT);
    jump(BPF_JEQ, ADDR_NO_RANDOMIZE, ALLOWED, NEXT);
    jump(BPF_JEQ, 0, ALLOWED, DENIED);
}

int filter_build(struct sock_fprog *program)
{
    struct rule rules[RULES_MAX];
    length = 0;
    overflow = 0;
    load(offsetof(struct seccomp_data, arch));
    jump(BPF_JEQ, OWN_ARCHITECTURE, NEXT, KILLED);
    load(offsetof(struct seccomp_data, nr));
    /* Those of x32 begin at 0x40000000. */
    jump(BPF_JGT, KNOWN_SYSCALLS - 1, MISSING, NEXT);
    search(rules, collect(rules));
    arguments();
    answer(KILLED, SECCOMP_RET_KILL_PROCESS);
    answer(DENIED, error_of(EPERM));
    answer(MISSING, error_of(ENOSYS));
    answer(NO_FAMILY, error_of(EAFNOSUPPORT));
    answer(ALLOWED, SECCOMP_RET_ALLOW);
    settle_jumps();
    program->len = (unsigned short)length;
    program->filter = code;
    return overflow ? -E2BIG : 0;
}
