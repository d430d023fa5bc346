/* Runs the filter in a small interpreter of classic BPF, call by call. */
#include "filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "check.h"

#if defined(__x86_64__)
#define OWN AUDIT_ARCH_X86_64
#else
#define OWN AUDIT_ARCH_AARCH64
#endif
#define ALLOW SECCOMP_RET_ALLOW
#define FAIL(e) (SECCOMP_RET_ERRNO | (e))

static struct sock_fprog program;

static uint32_t run(const struct seccomp_data *data)
{
    uint32_t a = 0;
    for (unsigned pc = 0; pc < program.len; pc++) {
        const struct sock_filter *i = &program.filter[pc];
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            CHECK(i->k + 4 <= sizeof *data && i->k % 4 == 0);
            memcpy(&a, (const char *)data + i->k, 4);
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += a == i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            pc += a >= i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            pc += a > i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            pc += a & i->k ? i->jt : i->jf;
            break;
        case BPF_RET | BPF_K:
            return i->k;
        default:
            CHECK(!"an instruction that the filter should not have");
        }
    }
    CHECK(!"the filter fell off its end");
    return 0;
}

static uint32_t call(int number, uint64_t a0, uint64_t a1, uint64_t a2)
{
    struct seccomp_data data = {.nr = number, .arch = OWN, .args = {a0, a1, a2}};
    return run(&data);
}

static void check_plain(void)
{
    static const int eperm[] = {SYS_mount,
                                SYS_umount2,
                                SYS_pivot_root,
                                SYS_chroot,
                                SYS_move_mount,
                                SYS_unshare,
                                SYS_setns,
                                SYS_keyctl,
                                SYS_add_key,
                                SYS_bpf,
                                SYS_perf_event_open,
                                SYS_userfaultfd,
                                SYS_ptrace,
                                SYS_process_vm_readv,
                                SYS_process_vm_writev,
                                SYS_pidfd_getfd,
                                SYS_open_by_handle_at,
                                SYS_name_to_handle_at,
                                SYS_init_module,
                                SYS_finit_module,
                                SYS_delete_module,
                                SYS_kexec_load,
                                SYS_reboot,
                                SYS_swapon,
                                SYS_acct,
                                SYS_syslog,
                                SYS_quotactl,
                                SYS_clock_settime,
                                SYS_settimeofday,
                                SYS_fanotify_init,
                                SYS_lookup_dcookie};
    static const int enosys[] = {SYS_clone3,
                                 SYS_io_uring_setup,
                                 SYS_io_uring_enter,
                                 SYS_io_uring_register,
                                 447,
                                 451,
                                 462,
                                 0x40000000,
                                 -1};
    static const int allowed[] = {
        SYS_read,    SYS_write,      SYS_openat,       SYS_execve,        SYS_execveat,
        SYS_mmap,    SYS_futex,      SYS_memfd_create, SYS_prlimit64,     SYS_sched_setaffinity,
        SYS_seccomp, SYS_pidfd_open, SYS_openat2,      SYS_inotify_init1, SYS_membarrier,
        SYS_rseq,    SYS_statx,      SYS_mbind,        SYS_getcpu,        SYS_close_range,
        449 /* futex_waitv */};
    for (size_t i = 0; i < sizeof eperm / sizeof *eperm; i++)
        CHECK(call(eperm[i], 0, 0, 0) == FAIL(EPERM));
    for (size_t i = 0; i < sizeof enosys / sizeof *enosys; i++)
        CHECK(call(enosys[i], 0, 0, 0) == FAIL(ENOSYS));
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        CHECK(call(allowed[i], 0, 0, 0) == ALLOW);
}

static void check_arguments(void)
{
    static const unsigned long namespaces[] = {CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
                                               CLONE_NEWIPC, CLONE_NEWUSER,   CLONE_NEWPID,
                                               CLONE_NEWNET};
    for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++)
        CHECK(call(SYS_clone, namespaces[i] | SIGCHLD, 0, 0) == FAIL(EPERM));
    CHECK(call(SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, 0, 0) ==
          ALLOW);

    for (unsigned family = 0; family < 64; family++) {
        bool open = family == AF_UNIX || family == AF_INET || family == AF_INET6 ||
                    family == AF_NETLINK;
        CHECK(call(SYS_socket, family, SOCK_DGRAM, 0) == (open ? ALLOW : FAIL(EAFNOSUPPORT)));
    }
    for (unsigned protocol = 1; protocol < 32; protocol++)
        CHECK(call(SYS_socket, AF_NETLINK, SOCK_RAW, protocol) == FAIL(EAFNOSUPPORT));

    CHECK(call(SYS_ioctl, 0, TIOCSTI, 0) == FAIL(EPERM));
    CHECK(call(SYS_ioctl, 0, TIOCLINUX, 0) == FAIL(EPERM));
    CHECK(call(SYS_ioctl, 0, TIOCSTI | 0xabcd00000000ull, 0) == FAIL(EPERM)); /* 32 bits count */
    CHECK(call(SYS_ioctl, 0, TIOCGWINSZ, 0) == ALLOW);

    CHECK(call(SYS_personality, 0, 0, 0) == ALLOW);
    CHECK(call(SYS_personality, 0xffffffff, 0, 0) == ALLOW);
    CHECK(call(SYS_personality, 0x0040000, 0, 0) == ALLOW);
    CHECK(call(SYS_personality, 0x0040001, 0, 0) == FAIL(EPERM));
    CHECK(call(SYS_personality, 0x0400000, 0, 0) == FAIL(EPERM)); /* READ_IMPLIES_EXEC */
}

int main(void)
{
    CHECK(filter_build(&program) == 0);
    CHECK(program.len <= FILTER_INSTRUCTIONS_MAX);
    check_plain();
    check_arguments();
    struct seccomp_data foreign = {.nr = SYS_read, .arch = AUDIT_ARCH_I386};
    CHECK(run(&foreign) == SECCOMP_RET_KILL_PROCESS);
    printf("filter: %u instructions\n", program.len);
    return 0;
}
