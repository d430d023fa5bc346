/* The waiter: everything between "a process in the box" and "the program". See box.h. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "box.h"
#include "packet.h"
#include "sys.h"
#include "weaken.h"

/* The waiter's own socket to the supervisor, after descriptors were put in their places. */
#define WAITER_SOCKET 3
/* Above what a program may be given: where descriptors wait that are in the way. */
#define ASIDE 64

/* One message and the vectors made of it; only one waiter lives at a time. */
static struct {
    struct go go;
    char strings[MAYFLY_STRINGS_BYTES_MAX];
} message;
static const char *vectors[MAYFLY_STRINGS_COUNT_MAX + 2];
/* Where the waiter's socket is now. */
static int own_socket;

static _Noreturn void waiter_fail(int socket, uint32_t stage, long error, uint32_t index)
{
    struct waiter_report report = {stage, (int32_t)-error, index};
    packet_send(socket, &report, sizeof report, NULL, 0, NULL, 0, 0);
    for (;;)
        SYS1(SYS_exit_group, 127);
}

long drop_to_box_user(void)
{
    if (weak(WEAK_CAPABILITIES))
        return 0;
    long error = SYS2(SYS_setgroups, 0, 0);
    if (!error)
        error = SYS3(SYS_setresgid, BOX_USER, BOX_USER, BOX_USER);
    if (!error)
        error = SYS3(SYS_setresuid, BOX_USER, BOX_USER, BOX_USER);
    if (!error && !weak(WEAK_SETUID))
        error = SYS5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return error;
}

/*
 * Descriptors 0, 1, 2 and the socket at 3, nothing else. Pid 1 keeps its own descriptors above 63, so
 * the sources can be none of the targets.
 */
static long place_descriptors(const struct waiter_plan *plan)
{
    long null = sys_openat(AT_FDCWD, "/dev/null", O_RDONLY, 0);
    if (null < 0)
        return null;
    long error = null == 0 ? 0 : sys_dup3((int)null, 0, 0);
    if (error >= 0)
        error = sys_dup3(plan->out, 1, 0);
    if (error >= 0)
        error = sys_dup3(plan->err, 2, 0);
    if (error >= 0)
        error = sys_dup3(plan->socket, WAITER_SOCKET, O_CLOEXEC);
    own_socket = WAITER_SOCKET;
    for (int fd = WAITER_SOCKET + 1; weak(WEAK_DESCRIPTORS) && fd < 256; fd++)
        SYS3(SYS_fcntl, fd, F_SETFD, 0);
    if (error >= 0 && !weak(WEAK_DESCRIPTORS))
        error = sys_close_range(WAITER_SOCKET + 1, ~0u);
    return error < 0 ? error : 0;
}

static long enter_cgroups(const struct waiter_plan *plan)
{
    for (int i = 0; i < plan->hierarchies; i++) {
        long written = sys_write(plan->procs[i], "0", 1);
        if (written < 0)
            return written;
    }
    if (weak(WEAK_CGROUPS))
        return 0;
    /* Only now, so that every line of the program's /proc/self/cgroup ends in ":/". */
    return SYS1(SYS_unshare, CLONE_NEWCGROUP);
}

static void prepare(const struct waiter_plan *plan)
{
    long error = enter_cgroups(plan);
    if (error)
        waiter_fail(plan->socket, MAYFLY_STAGE_CGROUP, error, 0);
    if (plan->bound) {
        uint64_t mask[16] = {0};
        mask[plan->cpu / 64 % 16] = 1ull << plan->cpu % 64;
        error = SYS3(SYS_sched_setaffinity, 0, sizeof mask, mask);
        if (error && error != -EINVAL) /* advice: another box may have that CPU alone by now */
            waiter_fail(plan->socket, MAYFLY_STAGE_WAITER, error, 8);
    }
    SYS0(SYS_setsid);
    error = drop_to_box_user();
    if (error)
        waiter_fail(plan->socket, MAYFLY_STAGE_CREDENTIALS, error, 0);
    error = place_descriptors(plan);
    if (error)
        waiter_fail(plan->socket, MAYFLY_STAGE_WAITER, error, 1);
    if (plan->filter && !weak(WEAK_FILTER)) {
        error = SYS3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, plan->filter);
        if (error)
            waiter_fail(WAITER_SOCKET, MAYFLY_STAGE_SECCOMP, error, 0);
    }
}

/* Splits the strings into cwd, argv and env; false when they are not what the head says. */
static bool split(const char **cwd, const char ***argv, const char ***env)
{
    const struct go *go = &message.go;
    uint32_t wanted = go->argv_count + go->env_count + 1, found = 0;
    const char **to = vectors;

    if (go->argv_count == 0 || go->argv_count > MAYFLY_STRINGS_COUNT_MAX ||
        go->env_count > MAYFLY_STRINGS_COUNT_MAX || wanted > MAYFLY_STRINGS_COUNT_MAX)
        return false; /* each by itself: their sum may wrap */
    *argv = vectors;
    *env = vectors + go->argv_count + 1;
    for (uint32_t at = 0, start = 0; at < go->strings_bytes; at++) {
        if (message.strings[at] != '\0')
            continue;
        if (found == wanted)
            return false;
        if (found == 0)
            *cwd = message.strings + start;
        else
            *to++ = message.strings + start;
        if (found == go->argv_count || found == wanted - 1)
            *to++ = NULL;
        found++;
        start = at + 1;
    }
    if (go->env_count == 0)
        *to = NULL;
    return found == wanted && message.strings[go->strings_bytes - 1] == '\0';
}

static long set_limit(int resource, uint64_t value)
{
    if (weak(WEAK_LIMITS))
        return 0;
    struct rlimit64 limit = {value, value};
    return SYS4(SYS_prlimit64, 0, resource, &limit, 0);
}

static void restrict_self(const struct go *go)
{
    long error = set_limit(RLIMIT_NOFILE, go->open_files_max);
    uint32_t index = 0;
    if (!error)
        error = set_limit(RLIMIT_FSIZE, go->file_bytes_max), index = 1;
    if (!error)
        error = set_limit(RLIMIT_STACK, go->stack_bytes_max), index = 2;
    /* 1, not 0: zero does not stop a core_pattern that is a pipe (core(5)). */
    if (!error)
        error = set_limit(RLIMIT_CORE, 1), index = 3;
    if (!error && !go->affinity_holds)
        error = SYS3(SYS_sched_setaffinity, 0, sizeof go->affinity, go->affinity), index = 4;
    if (error == -EINVAL && index == 4)
        error = 0; /* as above */
    if (!error && go->merge_stderr)
        error = sys_dup3(1, 2, 0), index = 5;
    if (error < 0)
        waiter_fail(own_socket, MAYFLY_STAGE_RLIMIT, error, index);
}

static long put_aside(int *fd)
{
    long aside = SYS3(SYS_fcntl, *fd, F_DUPFD_CLOEXEC, ASIDE);
    if (aside < 0)
        return aside;
    sys_close(*fd);
    *fd = (int)aside;
    return 0;
}

/*
 * Each descriptor where the program is to find it. They came as the lowest that were free, above the socket: where
 * one has to go there, all of them are first put out of each other's way.
 */
static long place_given(const struct go *go, int *given)
{
    bool crowded = false;
    long error = 0;
    for (uint32_t i = 0; i < go->given_count; i++)
        crowded = crowded || go->given[i] >= WAITER_SOCKET;
    if (crowded)
        error = put_aside(&own_socket);
    for (uint32_t i = 0; crowded && error == 0 && i < go->given_count; i++)
        error = put_aside(&given[i]);
    for (uint32_t i = 0; error >= 0 && i < go->given_count; i++) {
        error = sys_dup3(given[i], (int)go->given[i], 0);
        if (error >= 0)
            sys_close(given[i]);
    }
    return error < 0 ? error : 0;
}

/* The input is a terminal that nobody's session has yet: it becomes this one's, and all that is written goes there. */
static void take_terminal(void)
{
    long error = SYS3(SYS_ioctl, 0, TIOCSCTTY, 0);
    if (error >= 0)
        error = sys_dup3(0, 1, 0);
    if (error >= 0)
        error = sys_dup3(0, 2, 0);
    if (error < 0)
        waiter_fail(own_socket, MAYFLY_STAGE_TERMINAL, error, 2);
}

/* Tries argv[0] as execvp(3) does. Returns the error that says most. */
static long execute(const char **argv, const char **env)
{
    static char path[4096];
    const char *search = "/usr/local/bin:/usr/bin:/bin";
    long error = -ENOENT;

    for (const char *c = argv[0]; *c; c++)
        if (*c == '/')
            return SYS3(SYS_execve, argv[0], argv, env);
    for (const char **variable = env; *variable; variable++) {
        const char *v = *variable;
        if (v[0] == 'P' && v[1] == 'A' && v[2] == 'T' && v[3] == 'H' && v[4] == '=')
            search = v + 5;
    }
    while (argv[0][0] != '\0') {
        size_t length = 0;
        while (*search && *search != ':' && length < sizeof path - 2)
            path[length++] = *search++;
        if (length > 0)
            path[length++] = '/';
        for (const char *c = argv[0]; *c && length < sizeof path - 1; c++)
            path[length++] = *c;
        path[length] = '\0';
        long tried = SYS3(SYS_execve, path, argv, env);
        if (tried != -ENOENT && tried != -ENOTDIR)
            error = tried;
        if (tried != -ENOENT && tried != -ENOTDIR && tried != -EACCES)
            break;
        if (*search != ':')
            break;
        search++;
    }
    return error;
}

int waiter_main(void *argument)
{
    struct waiter_plan *plan = argument;
    struct waiter_report ready = {0, 0, 0};
    const char *cwd = NULL, **argv = NULL, **env = NULL;
    int given[GIVEN_MAX], given_count = GIVEN_MAX;
    uint64_t none = 0;

    prepare(plan);
    packet_send(WAITER_SOCKET, &ready, sizeof ready, NULL, 0, NULL, 0, 0);

    long length = packet_receive(WAITER_SOCKET, &message, sizeof message, given, &given_count, 0);
    if (length <= 0)
        SYS1(SYS_exit_group, 127); /* the supervisor is gone, or has no use for this box */
    if ((size_t)length < sizeof message.go ||
        (size_t)length != sizeof message.go + message.go.strings_bytes ||
        message.go.given_count != (uint32_t)given_count || !split(&cwd, &argv, &env))
        waiter_fail(WAITER_SOCKET, MAYFLY_STAGE_PROTOCOL, -EINVAL, 0);

    long error = place_given(&message.go, given);
    if (error)
        waiter_fail(own_socket, MAYFLY_STAGE_RLIMIT, error, 6);
    restrict_self(&message.go);
    while (__atomic_load_n(&plan->built, __ATOMIC_ACQUIRE) == 0)
        SYS4(SYS_futex, &plan->built, FUTEX_WAIT_PRIVATE, 0, 0);
    if (message.go.terminal)
        take_terminal();
    error = SYS1(SYS_chdir, cwd);
    if (error)
        waiter_fail(own_socket, MAYFLY_STAGE_EXEC, error, 1);
    SYS1(SYS_umask, 022);
    if (message.go.pipe) {
        error = SYS4(SYS_mknodat, AT_FDCWD, argv[message.go.argv_count - 1], S_IFIFO | 0600, 0);
        if (error)
            waiter_fail(own_socket, MAYFLY_STAGE_WAITER, error, 12);
    }
    SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof none);
    error = execute(argv, env);
    waiter_fail(own_socket, MAYFLY_STAGE_EXEC, error, 0);
}
