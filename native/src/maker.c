#include "maker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "box.h"
#include "cgroup.h"
#include "jail.h"
#include "mounts.h"
#include "packet.h"
#include "sys.h"
#include "weaken.h"

/* Pid 1 takes less than a millisecond to get there, unless the machine has no time for it. */
#define BOND_TIMEOUT_MS 10000

#define BOX_NAMESPACES                                                                             \
    (CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)

/* Everything that a box is made of, in the making. -1: none. */
struct parts {
    int init_socket; /* pid 1's end; the supervisor has the other */
    int builder[2];  /* ours, pid 1's */
    int init_pidfd;
    int user_namespace;
    int disk;
    int mounts[BOX_MOUNTS];
    int pid;
};

static bool time_namespaces;

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_all(struct parts *parts)
{
    close_one(&parts->init_socket);
    close_one(&parts->builder[0]);
    close_one(&parts->builder[1]);
    close_one(&parts->init_pidfd);
    close_one(&parts->user_namespace);
    close_one(&parts->disk);
    for (int i = 0; i < BOX_MOUNTS; i++)
        close_one(&parts->mounts[i]);
}

static void clear(struct parts *parts, int init_socket)
{
    int *all = (int *)parts;
    for (size_t i = 0; i < sizeof *parts / sizeof(int); i++)
        all[i] = -1;
    parts->init_socket = init_socket;
}

static int fault(struct made *made, uint32_t stage, long error, uint32_t index)
{
    made->stage = stage;
    made->error = (int32_t)-error;
    made->index = index;
    return -1;
}

static unsigned long namespaces(void)
{
    unsigned long wanted = BOX_NAMESPACES;
    if (weak(WEAK_NETWORK))
        wanted &= ~(unsigned long)CLONE_NEWNET;
    if (weak(WEAK_PID))
        wanted &= ~(unsigned long)CLONE_NEWPID;
    if (weak(WEAK_IPC))
        wanted &= ~(unsigned long)CLONE_NEWIPC;
    return wanted;
}

/*
 * The kernel starts a child where its parent runs, and there it waits until we have nothing to do; moved away, it
 * gets ready while we make its mounts. Without another CPU it stays.
 */
static void leave_cpu(pid_t pid)
{
    cpu_set_t others;
    if (sched_getaffinity(0, sizeof others, &others) != 0)
        return;
    CPU_CLR((size_t)sched_getcpu(), &others);
    if (CPU_COUNT(&others) > 0)
        sched_setaffinity(pid, sizeof others, &others);
}

static int clone_init(struct parts *parts, const struct sock_fprog *filter, struct made *made)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, parts->builder) != 0)
        return fault(made, MAYFLY_STAGE_INIT, -errno, 8);
    const struct box_plan plan = {
        .socket = parts->init_socket, .builder = parts->builder[1], .filter = filter};
    /* For children only; each box gets a fresh one. */
    if (time_namespaces && unshare(CLONE_NEWTIME) != 0)
        return fault(made, MAYFLY_STAGE_CLONE, -errno, 1);
    long pid = SYS5(SYS_clone, namespaces() | CLONE_PIDFD | SIGCHLD, 0, &parts->init_pidfd, 0, 0);
    if (pid < 0)
        return fault(made, MAYFLY_STAGE_CLONE, pid, 0);
    if (pid == 0)
        init_main(&plan);
    parts->pid = (int)pid;
    leave_cpu((pid_t)pid);
    return 0;
}

/*
 * Whoever makes a user namespace is charged in the parent's for what is used in it: inotify instances,
 * queued signals, locked memory. Were it root for every box, one box could use up what all of them, and root's
 * own daemons, may have. So each is made by the box's own root, and nobody but CAP_KILL may kill what is in it.
 * The securebit keeps the capabilities through the change.
 */
static int act_as(uint32_t user)
{
    if (weak(WEAK_OWNER))
        return 0;
    long error = SYS3(SYS_setresuid, -1, user, -1);
    /* A change of credentials clears both: pid 1 is found through /proc, and we die with the supervisor. */
    if (!error)
        error = SYS5(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (!error)
        error = SYS5(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    return (int)error;
}

static int write_proc(int pid, const char *file, const char *text)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t written = write(fd, text, strlen(text));
    int error = written < 0 ? -errno : 0;
    close(fd);
    return error;
}

static int map_ids(const struct make_request *request, struct parts *parts, struct made *made)
{
    char text[48], path[48];
    snprintf(text, sizeof text, "0 %u 65536", request->id_base);
    int error = write_proc(parts->pid, "uid_map", text);
    if (error)
        return fault(made, MAYFLY_STAGE_ID_MAP, error, 0);
    error = write_proc(parts->pid, "gid_map", text);
    if (error)
        return fault(made, MAYFLY_STAGE_ID_MAP, error, 1);
    /* Before pid 1 changes its credentials, after which this would need CAP_SYS_PTRACE. */
    snprintf(path, sizeof path, "/proc/%d/ns/user", parts->pid);
    parts->user_namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (parts->user_namespace < 0)
        return fault(made, MAYFLY_STAGE_ID_MAP, -errno, 2);
    return 0;
}

/* Pid 1 goes on by itself from here. */
static int build(struct parts *parts, struct made *made)
{
    const struct init_request go = {.kind = INIT_BUILD};
    long error = packet_send(parts->builder[0], &go, sizeof go, NULL, 0, parts->mounts, BOX_MOUNTS,
                             0);
    return error ? fault(made, MAYFLY_STAGE_INIT, error, 3) : 0;
}

/*
 * Until pid 1 says that it would die with us; were we to close our end before, it could not tell our death from
 * our being done. It dies when the supervisor does, or by the supervisor's hand when it takes too long.
 */
static void await_bond(struct parts *parts)
{
    struct pollfd bond = {parts->builder[0], POLLIN, 0};
    close_one(&parts->builder[1]);
    poll(&bond, 1, BOND_TIMEOUT_MS);
}

static int make(const struct make_request *request, const struct sock_fprog *filter,
                struct parts *parts, struct made *made)
{
    struct mount_failure failure = {0};
    struct statfs disk;

    long error = act_as(request->id_base);
    if (error)
        return fault(made, MAYFLY_STAGE_CREDENTIALS, error, 2);
    int failed = clone_init(parts, filter, made) || map_ids(request, parts, made);
    error = act_as(0);
    if (error)
        return fault(made, MAYFLY_STAGE_CREDENTIALS, error, 3);
    if (failed)
        return -1;
    error = mounts_make(request, parts->user_namespace, parts->mounts, &parts->disk, &failure);
    if (error)
        return fault(made, failure.stage, error, failure.index);
    if (fstatfs(parts->disk, &disk) != 0)
        return fault(made, MAYFLY_STAGE_OVERLAY, -errno, 6);
    made->inodes_used = (uint64_t)(disk.f_files - disk.f_ffree);
    made->blocks_used = (uint64_t)(disk.f_blocks - disk.f_bfree);
    return build(parts, made);
}

static void serve(int socket, const struct make_request *request, int init_socket,
                  const struct sock_fprog *filter)
{
    struct parts parts;
    struct made made = {.box = request->box};

    clear(&parts, init_socket);
    int failed = make(request, filter, &parts, &made);
    if (failed && parts.init_pidfd >= 0) {
        struct pollfd dead = {parts.init_pidfd, POLLIN, 0};
        SYS4(SYS_pidfd_send_signal, parts.init_pidfd, SIGKILL, 0, 0);
        poll(&dead, 1, BOND_TIMEOUT_MS);
    }
    const int sent[MADE_DESCRIPTORS] = {
        [MADE_INIT_PIDFD] = parts.init_pidfd, [MADE_DISK] = parts.disk};
    packet_send(socket, &made, sizeof made, NULL, 0, sent, failed ? 0 : MADE_DESCRIPTORS, 0);
    mounts_detach();
    if (!failed)
        await_bond(&parts);
    close_all(&parts);
}

static _Noreturn void maker_main(int socket, const struct sock_fprog *filter)
{
    struct make_request request;
    int procs[CGROUP_HIERARCHIES_MAX];

    prctl(PR_SET_NAME, "mayfly-maker", 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    signal(SIGCHLD, SIG_IGN);
    close(SUPERVISOR_SOCKET);
    cgroup_release_lock();
    const int entrances = cgroup_open_entrances("init", CGROUP_NO_CORE, procs);
    if (chdir(JAIL_SCRATCH) != 0 || entrances < 0)
        _exit(1);
    for (int i = 0; i < entrances; i++) {
        if (write(procs[i], "0", 1) != 1)
            _exit(1);
        close(procs[i]);
    }
    /* Inherited by every box: when the host runs out of memory, boxes go first. */
    if (write_proc(getpid(), "oom_score_adj", "500") != 0)
        _exit(1);
    time_namespaces = unshare(CLONE_NEWTIME) == 0;
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED) != 0 ||
        jail_drop_capabilities(1) != 0)
        _exit(1);
    for (;;) {
        int init_socket = -1, count = 1;
        long length = packet_receive(socket, &request, sizeof request, &init_socket, &count, 0);
        if (length != sizeof request || count != 1)
            _exit(0);
        serve(socket, &request, init_socket, filter);
    }
}

int maker_start(const struct sock_fprog *filter)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return -errno;
    pid_t pid = fork();
    if (pid < 0) {
        int error = -errno;
        close(pair[0]);
        close(pair[1]);
        return error;
    }
    if (pid == 0) {
        close(pair[0]);
        maker_main(pair[1], filter);
    }
    close(pair[1]);
    return pair[0];
}
