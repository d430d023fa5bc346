#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
                                    "/bin",
                                    NULL};

static int null_device(void)
{
    static int fd = -1;
    if (fd < 0)
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        die("/dev/null", errno);
    return fd;
}

static pid_t start_plain(const char *const *argv)
{
    static posix_spawn_file_actions_t actions;
    static bool ready;
    pid_t pid;
    if (!ready) {
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, null_device(), 1);
        ready = true;
    }
    int error = posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)(size_t)argv,
                            environment);
    if (error)
        die(argv[0], error);
    return pid;
}

/* Shares our memory until the exec: only system calls in the child. */
static pid_t start_elsewhere(const char *const *argv, const struct surroundings *where)
{
    int null = null_device();
    pid_t pid = vfork();
    if (pid < 0)
        die("vfork", errno);
    if (pid == 0) {
        if (where->mounts >= 0 && setns(where->mounts, CLONE_NEWNS) != 0)
            _exit(125);
        if (where->root >= 0 && (fchdir(where->root) != 0 || chroot(".") != 0))
            _exit(126);
        dup2(null, 1);
        execve(argv[0], (char *const *)(size_t)argv, environment);
        _exit(127);
    }
    return pid;
}

double command_run(const char *const *argv, const struct surroundings *where)
{
    int status;
    double before = now_ms();
    bool plain = where->root < 0 && where->mounts < 0;
    pid_t pid = plain ? start_plain(argv) : start_elsewhere(argv, where);
    if (waitpid(pid, &status, 0) != pid)
        die("waitpid", errno);
    double after = now_ms();
    if (status != 0) {
        char what[256];
        snprintf(what, sizeof what, "%s ended with %s %d", argv[0],
                 WIFEXITED(status) ? "status" : "signal",
                 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        die(what, 0);
    }
    return after - before;
}

static bool same_content(const char *a, const char *b)
{
    char left[8192], right[sizeof left];
    bool same = true;
    FILE *one = fopen(a, "re"), *two = fopen(b, "re");
    while (one && two && same) {
        size_t got = fread(left, 1, sizeof left, one);
        same = fread(right, 1, sizeof right, two) == got && memcmp(left, right, got) == 0;
        if (got == 0)
            break;
    }
    same = same && one && two;
    if (one)
        fclose(one);
    if (two)
        fclose(two);
    return same;
}

/* What spawn_run does for each program, decided once. */
static struct spawn_plan {
    bool decided, plain;
    char path[640];
    const char *argv[PROGRAM_ARGUMENTS_MAX];
    struct surroundings where;
} plans[PROGRAMS];

static const struct spawn_plan *spawn_plan(int program)
{
    struct spawn_plan *plan = &plans[program];
    const char *const *argv = programs[program].argv;
    if (plan->decided)
        return plan;
    memcpy(plan->argv, argv, sizeof plan->argv);
    plan->where = (struct surroundings){.root = -1, .mounts = -1};
    if (strcmp(argv[0], HELLO_PATH) == 0) {
        snprintf(plan->path, sizeof plan->path, "%s%s", places.hello_layer, argv[0]);
        plan->argv[0] = plan->path;
        plan->plain = true;
    } else {
        snprintf(plan->path, sizeof plan->path, "%s%s", places.root_layer, argv[0]);
        plan->plain = same_content(argv[0], plan->path);
    }
    if (!plan->plain) {
        plan->where.root = open(places.root_layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (plan->where.root < 0)
            die(places.root_layer, errno);
    }
    plan->decided = true;
    return plan;
}

double spawn_run(int program)
{
    const struct spawn_plan *plan = spawn_plan(program);
    return command_run(plan->argv, &plan->where);
}

const char *spawn_means(int program)
{
    return spawn_plan(program)->plain ? "posix_spawn" : "vfork+chroot+exec";
}
