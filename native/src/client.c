/* The library: see mayfly.h. Thin on purpose; everything that decides is in the supervisor. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "packet.h"
#include "protocol.h"
#include "sys.h"

void mayfly_abi(struct mayfly_abi *abi)
{
    *abi = (struct mayfly_abi){.abi_version = MAYFLY_ABI_VERSION,
                               .config_bytes = sizeof(struct mayfly_config),
                               .layer_bytes = sizeof(struct mayfly_layer),
                               .open_bytes = sizeof(struct mayfly_open),
                               .step_bytes = sizeof(struct mayfly_step),
                               .collect_bytes = sizeof(struct mayfly_collect),
                               .event_bytes = sizeof(struct mayfly_event),
                               .limits_bytes = sizeof(struct mayfly_limits),
                               .join_bytes = sizeof(struct mayfly_join)};
}

const char *mayfly_stage_name(uint32_t stage)
{
    switch (stage) {
#define X(value, name, text)                                                                       \
    case value:                                                                                    \
        return text;
        MAYFLY_STAGES(X)
#undef X
    default:
        return NULL;
    }
}

const char *mayfly_outcome_name(uint32_t outcome)
{
    switch (outcome) {
#define X(value, name, text)                                                                       \
    case value:                                                                                    \
        return text;
        MAYFLY_OUTCOMES(X)
#undef X
    default:
        return NULL;
    }
}

struct start {
    const char *path;
    int socket;
    long error;
};

/* In the clone, which shares this memory: raw system calls only. */
static int start_child(void *argument)
{
    struct start *start = argument;
    char *const argv[] = {(char *)(uintptr_t) "mayfly-supervisor", NULL}, *const env[] = {NULL};
    struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        uint64_t mask;
    } by_default = {0};
    uint64_t none = 0;

    /* Node ignores some signals; ignored ones survive exec. */
    for (int signal = 1; signal < 65; signal++)
        SYS4(SYS_rt_sigaction, signal, &by_default, 0, sizeof none);
    SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof none);
    long error = start->socket == SUPERVISOR_SOCKET ? SYS3(SYS_fcntl, start->socket, F_SETFD, 0)
                                                    : sys_dup3(start->socket, SUPERVISOR_SOCKET, 0);
    if (error >= 0)
        error = sys_close_range(SUPERVISOR_SOCKET + 1, ~0u);
    if (error >= 0)
        error = SYS3(SYS_execve, start->path, argv, env);
    start->error = error;
    return 1;
}

/* vfork-like, so that neither the caller's size nor its secrets matter. No signal handler runs in it. */
static long spawn(struct start *start)
{
    enum { STACK_BYTES = 65536 };
    sigset_t all, before;
    char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -errno;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int pid = clone(start_child, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, start);
    int error = pid < 0 ? -errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(stack, STACK_BYTES);
    if (pid >= 0 && start->error != 0) {
        waitpid(pid, NULL, 0);
        return start->error;
    }
    return error ? error : pid;
}

static int32_t ask(int32_t fd, const struct request *request, const void *tail,
                   const int *descriptors, int count)
{
    return (int32_t)packet_send(fd, request, sizeof *request, tail, request->tail_bytes,
                                descriptors, count, MSG_DONTWAIT);
}

static struct request head(uint32_t kind, uint32_t box)
{
    return (struct request){.abi_version = MAYFLY_ABI_VERSION, .kind = kind, .box = box};
}

int32_t mayfly_start(const char *path, const struct mayfly_config *config, int32_t *pid)
{
    int pair[2];
    struct request request = head(REQUEST_START, 0);

    if (config->size != sizeof *config || config->abi_version != MAYFLY_ABI_VERSION)
        return -EINVAL;
    request.body.config = *config;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return -errno;
    struct start start = {.path = path, .socket = pair[1]};
    long result = fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0 ? spawn(&start) : -errno;
    close(pair[1]);
    if (result > 0) {
        *pid = (int32_t)result;
        result = ask(pair[0], &request, NULL, NULL, 0);
    }
    if (result < 0) {
        close(pair[0]);
        return (int32_t)result;
    }
    return pair[0];
}

int32_t mayfly_reap(int32_t pid, int32_t *status)
{
    pid_t reaped = waitpid(pid, status, WNOHANG);
    if (reaped == 0)
        return -EAGAIN;
    return reaped < 0 ? -errno : 0;
}

int32_t mayfly_image(int32_t fd, uint32_t image, uint32_t flags, uint32_t count, const char *paths)
{
    int trees[MAYFLY_LAYERS_MAX];
    struct request request = head(REQUEST_IMAGE, image);
    uint32_t opened = 0;
    long error = count < 1 || count > MAYFLY_LAYERS_MAX || flags > MAYFLY_IMAGE_KEEP_READY ? -EINVAL
                                                                                           : 0;

    request.body.image_flags = flags;
    while (!error && opened < count) {
        long tree = sys_open_tree(AT_FDCWD, paths, SYS_OPEN_TREE_CLONE);
        if (tree < 0)
            error = tree;
        else
            trees[opened++] = (int)tree;
        paths += strlen(paths) + 1;
    }
    if (!error)
        error = ask(fd, &request, NULL, trees, (int)count);
    while (opened > 0)
        close(trees[--opened]);
    return (int32_t)error;
}

int32_t mayfly_layer(int32_t fd, const struct mayfly_layer *layer, const char *path)
{
    struct request request = head(REQUEST_LAYER, layer->image);
    if (layer->size != sizeof *layer)
        return -EINVAL;
    request.body.layer = *layer;
    int tree = (int)sys_open_tree(AT_FDCWD, path, SYS_OPEN_TREE_CLONE);
    if (tree < 0)
        return tree;
    int32_t error = ask(fd, &request, NULL, &tree, 1);
    close(tree);
    return error;
}

int32_t mayfly_warm(int32_t fd, uint32_t image, const struct mayfly_step *step,
                    const uint8_t *strings)
{
    struct request request = head(REQUEST_WARM, image);
    if (step->size != sizeof *step || step->strings_bytes > MAYFLY_STRINGS_BYTES_MAX)
        return -EINVAL;
    request.body.step = *step;
    request.tail_bytes = step->strings_bytes;
    return ask(fd, &request, strings, NULL, 0);
}

int32_t mayfly_forget(int32_t fd, uint32_t image)
{
    struct request request = head(REQUEST_FORGET, image);
    return ask(fd, &request, NULL, NULL, 0);
}

int32_t mayfly_open(int32_t fd, const struct mayfly_open *open)
{
    struct request request = head(REQUEST_OPEN, open->box);
    if (open->size != sizeof *open)
        return -EINVAL;
    request.body.open = *open;
    return ask(fd, &request, NULL, NULL, 0);
}

/* Most bytes that mayfly_memory_copy moves in one call: a millisecond. */
#define COPY_BYTES (1u << 20)

int32_t mayfly_memory(void)
{
    int fd = memfd_create("mayfly", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd < 0 ? -errno : fd;
}

int32_t mayfly_memory_append(int32_t memory, const uint8_t *bytes, uint64_t count)
{
    while (count > 0) {
        ssize_t written = write(memory, bytes, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        bytes += written;
        count -= (uint64_t)written;
    }
    return 0;
}

int64_t mayfly_memory_copy(int32_t memory, int32_t source, uint64_t offset, uint64_t count)
{
    off_t at = (off_t)offset;
    ssize_t copied = sendfile(memory, source, &at, count < COPY_BYTES ? count : COPY_BYTES);
    return copied < 0 ? -errno : copied;
}

/* From here on neither side can change it (memfd_create(2), F_ADD_SEALS). */
int32_t mayfly_memory_seal(int32_t memory)
{
    return fcntl(memory, F_ADD_SEALS, MEMORY_SEALS) == 0 ? 0 : -errno;
}

static bool is_sealed(int32_t memory)
{
    return fcntl(memory, F_GET_SEALS) == MEMORY_SEALS;
}

static int sealed(const uint8_t *bytes, uint64_t count)
{
    int32_t memory = mayfly_memory();
    int32_t error = memory < 0 ? memory : mayfly_memory_append(memory, bytes, count);
    if (!error)
        error = mayfly_memory_seal(memory);
    if (error && memory >= 0)
        close(memory);
    return error ? error : memory;
}

int32_t mayfly_put_memory(int32_t fd, uint32_t box, int32_t archive)
{
    struct request request = head(REQUEST_PUT, box);
    if (!is_sealed(archive))
        return -EINVAL;
    return ask(fd, &request, NULL, &archive, 1);
}

int32_t mayfly_put(int32_t fd, uint32_t box, const uint8_t *archive, uint64_t bytes)
{
    int memory = sealed(archive, bytes);
    if (memory < 0)
        return memory;
    int32_t error = mayfly_put_memory(fd, box, memory);
    close(memory);
    return error;
}

int32_t mayfly_join(int32_t fd, const struct mayfly_join *join)
{
    struct request request = head(REQUEST_JOIN, join->from);
    if (join->size != sizeof *join)
        return -EINVAL;
    request.body.join = *join;
    return ask(fd, &request, NULL, NULL, 0);
}

static int32_t ask_step(int32_t fd, const struct mayfly_step *step, const uint8_t *strings,
                        int input)
{
    struct request request = head(REQUEST_STEP, step->box);
    if (step->size != sizeof *step || step->strings_bytes > MAYFLY_STRINGS_BYTES_MAX)
        return -EINVAL;
    request.body.step = *step;
    request.tail_bytes = step->strings_bytes;
    return ask(fd, &request, strings, &input, input >= 0);
}

/* The same memory under a position of its own, at its beginning, to be read only. */
static int reopen(int32_t memory)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int32_t mayfly_step_memory(int32_t fd, const struct mayfly_step *step, const uint8_t *strings,
                           int32_t input)
{
    if (!is_sealed(input))
        return -EINVAL;
    int own = reopen(input);
    if (own < 0)
        return own;
    int32_t error = ask_step(fd, step, strings, own);
    close(own);
    return error;
}

int32_t mayfly_step(int32_t fd, const struct mayfly_step *step, const uint8_t *strings,
                    const uint8_t *input, uint64_t input_bytes)
{
    if (input_bytes == 0)
        return ask_step(fd, step, strings, -1);
    int memory = sealed(input, input_bytes);
    if (memory < 0)
        return memory;
    int32_t error = mayfly_step_memory(fd, step, strings, memory);
    close(memory);
    return error;
}

int32_t mayfly_collect(int32_t fd, const struct mayfly_collect *collect, const uint8_t *patterns)
{
    struct request request = head(REQUEST_COLLECT, collect->box);
    if (collect->size != sizeof *collect || collect->patterns_bytes > MAYFLY_PATTERNS_BYTES_MAX)
        return -EINVAL;
    request.body.collect = *collect;
    request.tail_bytes = collect->patterns_bytes;
    return ask(fd, &request, patterns, NULL, 0);
}

int32_t mayfly_follow(int32_t fd, uint32_t box)
{
    struct request request = head(REQUEST_FOLLOW, box);
    return ask(fd, &request, NULL, NULL, 0);
}

int32_t mayfly_cancel(int32_t fd, uint32_t box)
{
    struct request request = head(REQUEST_CANCEL, box);
    return ask(fd, &request, NULL, NULL, 0);
}

int32_t mayfly_freeze(int32_t fd, uint32_t box)
{
    struct request request = head(REQUEST_FREEZE, box);
    return ask(fd, &request, NULL, NULL, 0);
}

int32_t mayfly_thaw(int32_t fd, uint32_t box)
{
    struct request request = head(REQUEST_THAW, box);
    return ask(fd, &request, NULL, NULL, 0);
}

int32_t mayfly_limits(int32_t fd, const struct mayfly_limits *limits)
{
    struct request request = head(REQUEST_LIMITS, limits->box);
    if (limits->size != sizeof *limits)
        return -EINVAL;
    request.body.limits = *limits;
    return ask(fd, &request, NULL, NULL, 0);
}

int32_t mayfly_input(int32_t fd, uint32_t box, const uint8_t *bytes, uint32_t count, uint32_t last)
{
    struct request request = head(REQUEST_INPUT, box);
    if (count > MAYFLY_INPUT_BYTES_MAX)
        return -EINVAL;
    request.tail_bytes = count;
    request.body.control.first = last != 0;
    return ask(fd, &request, bytes, NULL, 0);
}

int32_t mayfly_signal(int32_t fd, uint32_t box, uint32_t signal)
{
    struct request request = head(REQUEST_SIGNAL, box);
    request.body.control.first = signal;
    return ask(fd, &request, NULL, NULL, 0);
}

int32_t mayfly_resize(int32_t fd, uint32_t box, uint32_t rows, uint32_t columns)
{
    struct request request = head(REQUEST_RESIZE, box);
    request.body.control = (struct control){rows, columns};
    return ask(fd, &request, NULL, NULL, 0);
}

int32_t mayfly_close(int32_t fd, uint32_t box)
{
    struct request request = head(REQUEST_CLOSE, box);
    return ask(fd, &request, NULL, NULL, 0);
}

int32_t mayfly_receive(int32_t fd, struct mayfly_event *event, uint8_t *data, uint64_t capacity)
{
    int descriptor = -1, count = 1;
    struct iovec pieces[2] = {{event, sizeof *event}, {data, capacity}};
    long length = packet_receive_pieces(fd, pieces, &descriptor, &count);

    if (length == -EAGAIN)
        return 0;
    if (length <= 0)
        return length == 0 || length == -ECONNRESET ? -EPIPE : (int32_t)length;
    if ((size_t)length < sizeof *event || event->size != sizeof *event ||
        (event->kind == MAYFLY_EVENT_OUTPUT &&
         (size_t)length != sizeof *event + event->data_bytes)) {
        if (count == 1)
            close(descriptor);
        return -EBADMSG;
    }
    event->fd = count == 1 ? descriptor : -1;
    return 1;
}
