#include "warm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link.h"
#include "packet.h"
#include "requests.h"
#include "step.h"
#include "sys.h"

/* An interpreter takes a tenth of a second to start; one that is not there after this never will be. */
#define WARM_TIMEOUT_US 10000000u
/* After a failure. */
#define WARM_AGAIN_US 30000000u
/* What the first box of an image is taken for. */
#define WARM_BYTES_GUESS (32u << 20)

static uint64_t bytes_max;

void warm_configure(uint64_t wanted)
{
    bytes_max = wanted;
}

bool warm_affordable(const struct image *image, uint64_t taken)
{
    uint64_t bytes = image->warm_bytes ? image->warm_bytes : WARM_BYTES_GUESS;
    return taken + bytes <= bytes_max;
}

static const struct mayfly_step *step_of(const struct box *box)
{
    return &box->image->warm->step;
}

/* Thrown away if nobody has it; else what was claimed turns into a box like any other. */
static void give_up(struct box *box)
{
    box->image->warm_after_us = now_us() + WARM_AGAIN_US;
    if (box->client == 0)
        box_kill(box);
    else
        box->warm_unfit = true;
}

int warm_begin(struct box *box)
{
    const struct mayfly_step *step = step_of(box);
    struct go go = step_go(step);
    int error = step_foresee(box, step);
    int input = error ? -1 : step_make_input(&box->input);
    if (!error && input < 0)
        error = input;
    if (error)
        return error;
    go.pipe = 1;
    go.given_count = 1;    /* as descriptor 0 */
    go.affinity_holds = 1; /* one CPU: the waiter's */
    box->state = BOX_WARMING;
    box->made_until_us = now_us() + WARM_TIMEOUT_US;
    error = (int)packet_send(box->waiter_socket, &go, sizeof go, box->image->warm->strings,
                             step->strings_bytes, &input, 1, MSG_DONTWAIT);
    close(input);
    return error;
}

/* Where the interpreter looks for its program: the last of argv, in its directory. */
static uint32_t program_path(const struct box *box, char path[4096])
{
    const char *strings = box->image->warm->strings, *at = strings;
    for (uint32_t i = 0; i < step_of(box)->argv_count; i++)
        at += strlen(at) + 1;
    int length = at[0] == '/' ? snprintf(path, 4096, "%s", at)
                              : snprintf(path, 4096, "%s/%s", strings, at);
    return length < 4096 ? (uint32_t)length + 1 : 0;
}

static int ask_init(struct box *box, uint32_t kind)
{
    struct init_request request = {.kind = kind};
    char path[4096];
    uint32_t bytes = program_path(box, path);
    if (bytes == 0)
        return -ENAMETOOLONG;
    return (int)packet_send(box->init_socket, &request, sizeof request, path, bytes, NULL, 0,
                            MSG_DONTWAIT);
}

void warm_executed(struct box *box)
{
    if (ask_init(box, INIT_AWAIT) != 0)
        give_up(box);
}

void warm_awaited(struct box *box, const struct init_report *report)
{
    int error = report->error ? -report->error : cgroup_usage(&box->leaf, 0, 0, &box->start_up);
    if (error || box->state != BOX_WARMING) {
        give_up(box);
        return;
    }
    box->warm = true;
    box->state = BOX_IDLE;
    box->image->warm_bytes = box->start_up.memory_bytes_peak;
}

void warm_spoke(struct box *box, int stream)
{
    box_rest_output(box, stream, true);
    if (box->state != BOX_CLOSING && box->state != BOX_COOLING)
        give_up(box);
}

void warm_late(struct box *box)
{
    give_up(box);
}

void warm_ended(struct box *box)
{
    bool cooled = box->state == BOX_COOLING;
    if (!cooled)
        give_up(box);
    if (box->state == BOX_CLOSING)
        return;
    box->warm = false;
    if (cooled)
        box->state = BOX_IDLE;
    box_leave_step(box);
    requests_next(box);
}

/* A limit of less than twice what it holds already, or of fewer processes, might not let it live. */
static bool has_room(const struct box *box, const struct mayfly_step *step)
{
    uint32_t processes = box->start_up.processes_peak; /* 0: an older kernel does not say */
    return step->memory_bytes_max / 2 >= box->start_up.memory_bytes_peak &&
           step->processes_max >= (processes ? processes : step_of(box)->processes_max);
}

/* Everything that is decided when a program is executed, and the size of its input. */
static bool suits(const struct box *box, const struct waiting *waiting)
{
    const uint32_t streams = MAYFLY_STEP_MERGE_STDERR | MAYFLY_STEP_INTERACTIVE |
                             MAYFLY_STEP_TERMINAL;
    const struct mayfly_step *step = &waiting->request.body.step, *own = step_of(box);
    struct stat input;
    return !box->warm_unfit && step->strings_bytes == own->strings_bytes &&
           step->argv_count == own->argv_count && step->env_count == own->env_count &&
           memcmp(waiting->tail, box->image->warm->strings, own->strings_bytes) == 0 &&
           (step->flags & streams) == 0 && step->stack_bytes_max == own->stack_bytes_max &&
           step->open_files_max == own->open_files_max &&
           step->file_bytes_max == own->file_bytes_max && step->cpu_millis <= 1000 &&
           has_room(box, step) && box->joined_count == 0 &&
           (waiting->fd < 0 || (fstat(waiting->fd, &input) == 0 &&
                                input.st_size <= (off_t)MAYFLY_WARM_INPUT_BYTES_MAX));
}

static void cool(struct box *box)
{
    box->state = BOX_COOLING;
    SYS4(SYS_pidfd_send_signal, box->program_pidfd, SIGKILL, 0, 0);
}

void warm_turn(struct box *box)
{
    int error = suits(box, box->first) ? ask_init(box, INIT_READ) : -EINVAL;
    if (error)
        cool(box);
    else
        box->state = BOX_READING;
}

void warm_read_end(struct box *box, const struct init_report *report)
{
    box->state = BOX_IDLE;
    if (!box->warm) /* it died meanwhile */
        requests_next(box);
    else if (report->error || box->warm_unfit)
        cool(box); /* the program is not there, or not a file, or too long */
    else
        requests_start_step(box);
}

static int give_input(struct box *box, int input)
{
    struct stat about = {.st_size = 0};
    if (input >= 0 && fstat(input, &about) != 0)
        return -errno;
    for (off_t at = 0; at < about.st_size;) {
        ssize_t copied = sendfile(box->input, input, &at, (size_t)(about.st_size - at));
        if (copied <= 0)
            return copied < 0 ? -errno : -EIO;
    }
    return fcntl(box->input, F_ADD_SEALS, MEMORY_SEALS) == 0 ? 0 : -errno;
}

int warm_feed(struct box *box, int input)
{
    struct init_request request = {.kind = INIT_FEED};
    int error = give_input(box, input);
    box_close_descriptor(&box->input);
    if (!error)
        error = (int)packet_send(box->init_socket, &request, sizeof request, NULL, 0, NULL, 0,
                                 MSG_DONTWAIT);
    return error;
}
