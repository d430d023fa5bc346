/* Pid 1 of a box. Theory of operation in box.h. */
#include <errno.h>
#include <linux/futex.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "box.h"
#include "foreground.h"
#include "mounts.h"
#include "packet.h"
#include "source.h"
#include "sys.h"
#include "terminal.h"
#include "weaken.h"

/* Pid 1 keeps its descriptors from here up; 0 to 3 are the waiter's to fill. */
#define INIT_DESCRIPTORS 64

#define STACK_BYTES (64 * 1024)
#define FILES_STACK_BYTES (1024 * 1024)

static struct {
    int socket;
    int signals;
    long program; /* pid in this namespace of the waiter or program, 0 when there is none */
    struct waiter_plan waiter;
    long awaiting; /* pid of the process that waits for the interpreter, 0: there is none */
    struct source source;
    struct {
        struct init_request head;
        char patterns[MAYFLY_PATTERNS_BYTES_MAX];
    } request;
} self;

static char waiter_stack[STACK_BYTES] __attribute__((aligned(64)));
static char files_stack[FILES_STACK_BYTES] __attribute__((aligned(64)));

static _Noreturn void leave(void)
{
    for (;;)
        SYS1(SYS_exit_group, 0);
}

static void report(const struct init_report *what, const int *descriptors, int count)
{
    if (packet_send(self.socket, what, sizeof *what, NULL, 0, descriptors, count, 0) < 0)
        leave();
}

static _Noreturn void fail(uint32_t stage, long error, uint32_t index)
{
    struct init_report fault = {
        .kind = INIT_FAULT, .stage = stage, .error = (int32_t)-error, .index = index};
    report(&fault, NULL, 0);
    leave();
}

static int keep(int fd)
{
    long kept = SYS3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, INIT_DESCRIPTORS);
    if (kept < 0)
        leave();
    return (int)kept;
}

/* Keeps both sockets and closes every other descriptor, among them the lock of the control groups. */
static int take_descriptors(const struct box_plan *plan)
{
    self.waiter.filter = plan->filter;
    self.socket = keep(plan->socket);
    int builder = keep(plan->builder);
    if (weak(WEAK_DESCRIPTORS))
        return builder;
    sys_close_range(0, (unsigned)self.socket - 1);
    sys_close_range((unsigned)self.socket + 1, (unsigned)builder - 1);
    sys_close_range((unsigned)builder + 1, ~0u);
    return builder;
}

/*
 * For everything that will be born here; pid 1's own capabilities stay. Early, while the maker is busy with the
 * mounts.
 */
static void empty_bounding_set(void)
{
    for (int capability = 0; capability < 64; capability++) {
        long error = SYS5(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
        if (error == -EINVAL)
            break; /* beyond the last capability of this kernel */
        if (error)
            fail(MAYFLY_STAGE_CREDENTIALS, error, 4);
    }
}

static void become_root_of_box(int builder)
{
    long error = SYS2(SYS_setgroups, 0, 0);
    if (!error)
        error = SYS3(SYS_setresgid, 0, 0, 0);
    if (!error)
        error = SYS3(SYS_setresuid, 0, 0, 0);
    /* After the last change of credentials, which clears it (prctl(2)). */
    if (!error)
        error = SYS5(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    /* The waiter shares this memory and will have the program's user: nobody may read it. */
    if (!error)
        error = SYS5(SYS_prctl, PR_SET_DUMPABLE, weak(WEAK_DUMPABLE), 0, 0, 0);
    if (error)
        fail(MAYFLY_STAGE_CREDENTIALS, error, 1);
    /* Had the maker died before that, no signal comes; but then nobody is there to be told. */
    if (SYS5(SYS_sendto, builder, "", 1, MSG_NOSIGNAL, 0) != 1)
        leave();
    sys_close(builder);
}

static void bring_up_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    long fd = SYS3(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    long error = fd < 0 ? fd : SYS3(SYS_ioctl, fd, SIOCSIFFLAGS, &request);
    if (error)
        fail(MAYFLY_STAGE_NETWORK, error, 0);
    sys_close((int)fd);
}

static void take_signals(void)
{
    uint64_t mask = 1ull << (SIGCHLD - 1);
    struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        uint64_t mask;
    } by_default = {0};
    /* The maker ignores SIGCHLD; ignored signals survive exec, and ignored children are not reported. */
    SYS4(SYS_rt_sigaction, SIGCHLD, &by_default, 0, sizeof mask);
    SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, 0, sizeof mask);
    long fd = SYS4(SYS_signalfd4, -1, &mask, sizeof mask, O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        fail(MAYFLY_STAGE_INIT, fd, 0);
    self.signals = keep((int)fd);
    sys_close((int)fd);
    for (int i = 0; i < 4; i++) /* so that descriptors that arrive later are none of 0 to 3 */
        if (sys_openat(AT_FDCWD, "/dev/null", O_RDONLY, 0) < 0)
            fail(MAYFLY_STAGE_INIT, -EBADF, 1);
}

/* clone(2) with a stack of its own and this memory. `stack` is the top. */
static long clone_here(int (*entry)(void *), void *argument, char *stack, unsigned long flags,
                       int *pidfd)
{
#if defined(__x86_64__)
    long result;
    register int *r10 __asm__("r10") = NULL;
    register long r8 __asm__("r8") = 0;
    void **top = (void **)(void *)(stack - 16);
    top[0] = (void *)(uintptr_t)entry;
    top[1] = argument;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "pop %%rax\n\t"
                     "pop %%rdi\n\t"
                     "call *%%rax\n\t"
                     "mov %%eax, %%edi\n\t"
                     "mov %[exit], %%eax\n\t"
                     "syscall\n\t"
                     "hlt\n\t"
                     "1:"
                     : "=a"(result)
                     : "a"((long)SYS_clone), "D"(flags), "S"(top), "d"(pidfd), "r"(r10),
                       "r"(r8), [exit] "i"(SYS_exit_group)
                     : "rcx", "r11", "memory");
    return result;
#else
    /* clone(3) touches errno only when it fails, which is before a second process exists. */
    long result = clone(entry, stack, (int)flags, argument, pidfd);
    return result < 0 ? -errno : result;
#endif
}

static int start_waiter(void)
{
    int pidfd = -1;
    long pid = clone_here(waiter_main, &self.waiter, waiter_stack + STACK_BYTES,
                          CLONE_VM | CLONE_PIDFD | SIGCHLD, &pidfd);
    if (pid < 0)
        fail(MAYFLY_STAGE_WAITER, pid, 0);
    self.program = pid;
    sys_close(self.waiter.socket);
    sys_close(self.waiter.out);
    sys_close(self.waiter.err);
    for (int i = 0; i < self.waiter.hierarchies; i++)
        sys_close(self.waiter.procs[i]);
    return pidfd;
}

static void build(int builder)
{
    int mounts[BOX_MOUNTS], count = BOX_MOUNTS;
    if (!weak(WEAK_CAPABILITIES) && !weak(WEAK_SETUID))
        empty_bounding_set();
    long length = packet_receive(builder, &self.request, sizeof self.request.head, mounts, &count,
                                 0);
    if (length == 0)
        leave();
    if (length != sizeof self.request.head || self.request.head.kind != INIT_BUILD ||
        count != BOX_MOUNTS)
        fail(MAYFLY_STAGE_PROTOCOL, -EINVAL, 1);

    become_root_of_box(builder);
    long error = SYS2(SYS_sethostname, "box", 3);
    if (error)
        fail(MAYFLY_STAGE_MOUNT, error, 0);
    struct mount_failure failure = {0};
    error = mounts_enter(mounts, &failure);
    if (error)
        fail(failure.stage, error, failure.index);
    take_signals();
}

/*
 * What is slow and what a waiter, unlike a program, can do without; so it is done while the first waiter gets
 * ready, which starts no program before it is told that this is done.
 */
static void finish_building(void)
{
    long error = mounts_leave_jail();
    if (error)
        fail(MAYFLY_STAGE_PIVOT, error, 1);
    if (!weak(WEAK_NETWORK))
        bring_up_loopback();
    __atomic_store_n(&self.waiter.built, 1, __ATOMIC_RELEASE);
    SYS3(SYS_futex, &self.waiter.built, FUTEX_WAKE_PRIVATE, 1);
}

/*
 * System V ipc objects outlive their makers: each step of a job could leave behind as much shared memory as it
 * may use, counted by nobody any more. The *_INFO commands return the highest index in use.
 */
static void remove_ipc(void)
{
    union {
        struct shmid_ds shm;
        struct msqid_ds msg;
        struct semid_ds sem;
        unsigned char info[256];
    } about;

    long last = SYS3(SYS_shmctl, 0, SHM_INFO, &about);
    for (long i = 0, id; i <= last; i++)
        if ((id = SYS3(SYS_shmctl, i, SHM_STAT, &about)) >= 0)
            SYS3(SYS_shmctl, id, IPC_RMID, 0);
    last = SYS3(SYS_msgctl, 0, MSG_INFO, &about);
    for (long i = 0, id; i <= last; i++)
        if ((id = SYS3(SYS_msgctl, i, MSG_STAT, &about)) >= 0)
            SYS3(SYS_msgctl, id, IPC_RMID, 0);
    last = SYS4(SYS_semctl, 0, 0, SEM_INFO, &about);
    for (long i = 0, id; i <= last; i++)
        if ((id = SYS4(SYS_semctl, i, 0, SEM_STAT, &about)) >= 0)
            SYS4(SYS_semctl, id, 0, IPC_RMID, 0);
}

/* Kills and reaps whatever is left in this pid namespace. */
static void clear_box(void)
{
    if (weak(WEAK_PID) || weak(WEAK_LEFTOVERS))
        return;
    SYS2(SYS_kill, -1, SIGKILL);
    long reaped;
    do
        reaped = SYS4(SYS_wait4, -1, 0, 0, 0);
    while (reaped > 0 || reaped == -EINTR);
}

static uint64_t microseconds(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * 1000000u + (uint64_t)time->tv_usec;
}

/* Whether there was one: a program that has been fed has none. */
static bool drop_pipe(void)
{
    const bool had = self.source.pipe > 0;
    if (had)
        sys_close(self.source.pipe);
    self.source.pipe = 0;
    return had;
}

/* Shares descriptors as well as memory, so that the end it gets is ours. */
static void await_interpreter(void)
{
    self.source.path = self.request.patterns;
    self.source.pipe = 0;
    self.awaiting = clone_here(source_await, &self.source, files_stack + FILES_STACK_BYTES,
                               CLONE_VM | CLONE_FILES | SIGCHLD, NULL);
    if (self.awaiting < 0)
        fail(MAYFLY_STAGE_WAITER, self.awaiting, 10);
}

static void awaited(int status)
{
    long error = status == 0 ? self.source.error : -ECHILD;
    struct init_report report_of_it = {.kind = INIT_AWAITED, .error = (int32_t)-error};
    self.awaiting = 0;
    report(&report_of_it, NULL, 0);
}

static void read_program(void)
{
    int status = 0;
    self.source.path = self.request.patterns;
    long pid = clone_here(source_read, &self.source, files_stack + FILES_STACK_BYTES,
                          CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    if (pid < 0)
        fail(MAYFLY_STAGE_FILES, pid, 4);
    long reaped;
    do
        reaped = SYS4(SYS_wait4, pid, &status, 0, 0);
    while (reaped == -EINTR);
    long error = reaped == pid && status == 0 ? self.source.error : -ECHILD;
    struct init_report done = {.kind = INIT_READ_END, .error = (int32_t)-error};
    report(&done, NULL, 0);
}

/* Where this does not reach the interpreter it is dead, or dies here: it ends as one that was never fed. */
static void feed(void)
{
    if (self.program == 0 || self.source.pipe <= 0)
        return;
    if (sys_write(self.source.pipe, self.source.text, self.source.bytes) == (long)self.source.bytes)
        drop_pipe();
    else
        SYS2(SYS_kill, self.program, SIGKILL);
}

static void reap(void)
{
    uint64_t drained[16]; /* one signalfd_siginfo: 128 bytes */
    struct rusage usage;
    int status;
    long pid;

    (void)sys_read(self.signals, drained, sizeof drained);
    while ((pid = SYS4(SYS_wait4, -1, &status, WNOHANG, &usage)) > 0) {
        if (pid == self.awaiting)
            awaited(status);
        if (pid != self.program)
            continue;
        self.program = 0;
        self.awaiting = 0;
        clear_box();
        const bool hungry = drop_pipe();
        struct init_report ended = {
            .kind = INIT_ENDED,
            .index = hungry,
            .status = status,
            .cpu_user_us = microseconds(&usage.ru_utime),
            .cpu_system_us = microseconds(&usage.ru_stime),
            .context_switches = (uint64_t)(usage.ru_nvcsw + usage.ru_nivcsw),
            .major_page_faults = (uint64_t)usage.ru_majflt,
        };
        report(&ended, NULL, 0);
        return;
    }
}

struct files_task {
    uint32_t kind;
    int archive;
    const struct mayfly_collect *collect;
    const char *patterns;
    struct files_result result;
};

static int files_main(void *argument)
{
    struct files_task *task = argument;
    task->result.error = drop_to_box_user();
    if (task->result.error)
        return 1;
    if (task->kind == INIT_PUT)
        files_put(task->archive, &task->result);
    else if (task->collect->flags & MAYFLY_COLLECT_TREE)
        files_pack(task->archive, task->collect, task->patterns, &task->result);
    else
        files_collect(task->archive, task->collect, task->patterns, &task->result);
    return 0;
}

/* Files are touched by a process with the user's rights, while no process of the program lives. */
static void run_files(uint32_t kind, int archive)
{
    struct files_task task = {.kind = kind,
                              .archive = archive,
                              .collect = &self.request.head.collect,
                              .patterns = self.request.patterns};
    int status = 0;
    long pid = clone_here(files_main, &task, files_stack + FILES_STACK_BYTES,
                          CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    if (pid < 0)
        fail(MAYFLY_STAGE_FILES, pid, 0);
    long reaped;
    do
        reaped = SYS4(SYS_wait4, pid, &status, 0, 0);
    while (reaped == -EINTR);
    sys_close(archive);
    if (reaped != pid || status != 0)
        fail(MAYFLY_STAGE_FILES, task.result.error ? task.result.error : -ECHILD, 1);
    struct init_report done = {.kind = kind == INIT_PUT ? INIT_PUT_END : INIT_COLLECTED,
                               .error = (int32_t)-task.result.error,
                               .index = task.result.index,
                               .bytes = task.result.bytes};
    report(&done, NULL, 0);
}

static void prepare_waiter(const int *descriptors, int count)
{
    int hierarchies = (int)self.request.head.hierarchies;
    if (self.program != 0 || hierarchies > CGROUP_HIERARCHIES_MAX || count != 3 + hierarchies)
        fail(MAYFLY_STAGE_PROTOCOL, -EINVAL, 2);
    const bool first = self.waiter.built == 0;
    if (!first && !weak(WEAK_LEFTOVERS))
        remove_ipc();
    self.waiter.bound = self.request.head.bound != 0;
    self.waiter.cpu = self.request.head.cpu;
    self.waiter.socket = descriptors[0];
    self.waiter.out = descriptors[1];
    self.waiter.err = descriptors[2];
    self.waiter.hierarchies = hierarchies;
    for (int i = 0; i < hierarchies; i++)
        self.waiter.procs[i] = descriptors[3 + i];
    int pidfd = start_waiter();
    struct init_report prepared = {.kind = INIT_PREPARED};
    report(&prepared, &pidfd, 1);
    sys_close(pidfd);
    if (first)
        finish_building();
}

static void make_terminal(void)
{
    int ends[2];
    uint32_t index = 0;
    long error = self.program == 0 || self.waiter.built == 0 ? -EINVAL
                                                             : terminal_make(ends, &index);
    if (error)
        fail(MAYFLY_STAGE_TERMINAL, error, index);
    struct init_report made = {.kind = INIT_TERMINAL_MADE};
    report(&made, ends, 2);
    sys_close(ends[0]);
    sys_close(ends[1]);
}

static void serve(void)
{
    int descriptors[PACKET_DESCRIPTORS_MAX], count = PACKET_DESCRIPTORS_MAX;
    long length = packet_receive(self.socket, &self.request, sizeof self.request, descriptors,
                                 &count, 0);
    if (length == 0)
        leave(); /* the supervisor is gone */
    if (length < (long)sizeof self.request.head)
        fail(MAYFLY_STAGE_PROTOCOL, length < 0 ? length : -EINVAL, 3);
    switch (self.request.head.kind) {
    case INIT_PREPARE:
        prepare_waiter(descriptors, count);
        return;
    case INIT_PUT:
    case INIT_COLLECT:
        if (count != 1)
            fail(MAYFLY_STAGE_PROTOCOL, -EINVAL, 4);
        run_files(self.request.head.kind, descriptors[0]);
        return;
    case INIT_TERMINAL:
        make_terminal();
        return;
    case INIT_AWAIT:
        await_interpreter();
        return;
    case INIT_READ:
        read_program();
        return;
    case INIT_FEED:
        feed();
        return;
    case INIT_SIGNAL:
        foreground_signal(self.program, self.request.head.number);
        return;
    case INIT_BIND:
        foreground_bind(self.request.head.affinity);
        return;
    default:
        fail(MAYFLY_STAGE_PROTOCOL, -EINVAL, 5);
    }
}

_Noreturn void init_main(const struct box_plan *plan)
{
    build(take_descriptors(plan));
    for (;;) {
        struct pollfd watched[2] = {{self.signals, POLLIN, 0}, {self.socket, POLLIN, 0}};
        long ready = SYS5(SYS_ppoll, watched, 2, 0, 0, 8);
        if (ready < 0 && ready != -EINTR)
            fail(MAYFLY_STAGE_INIT, ready, 2);
        if (watched[0].revents)
            reap();
        if (watched[1].revents)
            serve();
    }
}
