#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "box.h"
#include "cpus.h"
#include "link.h"
#include "packet.h"
#include "requests.h"
#include "step.h"

/* Between two attempts to write what the program has not read: at first, and at most. */
#define TYPE_AGAIN_US 2000u
#define TYPE_AGAIN_US_MAX 20000u
/* What ends the input on a terminal (termios(3), VEOF). */
#define END_OF_FILE '\4'

static int freeze(struct box *box, bool frozen)
{
    struct step *step = &box->step;
    if (frozen == (step->frozen_at_us != 0))
        return 0;
    if (frozen && step->frozen_us >= step->request.frozen_time_us_max)
        return -EPERM;
    int error = cgroup_freeze(&box->leaf, frozen);
    if (error)
        return error;
    uint64_t now = now_us();
    if (!frozen)
        step->frozen_us += now - step->frozen_at_us;
    step->frozen_at_us = frozen ? now : 0;
    return 0;
}

void control_kill(struct box *box)
{
    if (box->step.frozen_at_us == 0)
        return;
    cgroup_kill(&box->leaf);
    box->step.frozen_us += now_us() - box->step.frozen_at_us;
    box->step.frozen_at_us = 0;
}

/* Runtimes size themselves by the CPUs they are bound to; a program that may use more of them has to be unbound. */
static int widen(struct box *box, uint32_t cpu_millis)
{
    struct step *step = &box->step;
    struct init_request request = {.kind = INIT_BIND};
    uint32_t wanted = (cpu_millis + 999) / 1000;
    if (box->core != CGROUP_NO_CORE || wanted <= (uint32_t)CPU_COUNT(&step->affinity) ||
        wanted > cpus_count())
        return 0;
    cpus_give_back(&step->affinity);
    cpus_take(wanted, box->cpu, &step->affinity);
    memcpy(request.affinity, &step->affinity, sizeof request.affinity);
    return (int)packet_send(box->init_socket, &request, sizeof request, NULL, 0, NULL, 0,
                            MSG_DONTWAIT);
}

static int change_limits(struct box *box, const struct mayfly_limits *wanted)
{
    struct step *step = &box->step;
    struct mayfly_step *request = &step->request;
    struct cgroup_limits limits = box->leaf.limits;

    if (wanted->size != sizeof *wanted)
        return -EINVAL;
    if (wanted->memory_bytes_max)
        limits.memory_bytes_max = wanted->memory_bytes_max;
    if (wanted->processes_max)
        limits.processes_max = wanted->processes_max;
    if (wanted->cpu_millis)
        limits.cpu_millis = wanted->cpu_millis;
    int error = cgroup_change(&box->leaf, &limits);
    if (!error && wanted->cpu_millis)
        error = widen(box, wanted->cpu_millis);
    if (error)
        return error;
    request->memory_bytes_max = limits.memory_bytes_max;
    request->processes_max = limits.processes_max;
    request->cpu_millis = limits.cpu_millis;
    if (wanted->cpu_time_us_max)
        request->cpu_time_us_max = wanted->cpu_time_us_max;
    if (wanted->wall_time_us_max)
        request->wall_time_us_max = wanted->wall_time_us_max;
    step->cpu_check_us = now_us(); /* the next look says when the new limit can be reached */
    return 0;
}

bool control_size_is_sound(uint32_t rows, uint32_t columns)
{
    return rows >= 1 && rows <= UINT16_MAX && columns >= 1 && columns <= UINT16_MAX;
}

static int resize(const struct box *box, uint32_t rows, uint32_t columns)
{
    const struct winsize size = {.ws_row = (uint16_t)rows, .ws_col = (uint16_t)columns};
    if (box->keyboard.slave < 0 || box->streams[0] < 0)
        return -ENOTTY;
    if (!control_size_is_sound(rows, columns))
        return -EINVAL;
    return ioctl(box->streams[0], TIOCSWINSZ, &size) == 0 ? 0 : -errno;
}

int control_ask_terminal(struct box *box)
{
    const struct init_request request = {.kind = INIT_TERMINAL};
    return (int)packet_send(box->init_socket, &request, sizeof request, NULL, 0, NULL, 0,
                            MSG_DONTWAIT);
}

void control_terminal(struct box *box, int master, int slave)
{
    int error = fcntl(master, F_SETFL, O_NONBLOCK) == 0 ? 0 : -errno;
    box_close_descriptor(&box->streams[0]);
    box->streams[0] = master;
    box->keyboard.slave = slave;
    if (!error)
        error = box_watch(box, master, SOURCE_STDOUT);
    if (error)
        box_fault(box, MAYFLY_STAGE_TERMINAL, -error, 3);
    else if (box->closing_asked)
        box_kill(box);
    else
        requests_next(box);
}

int control_connect(struct box *box)
{
    struct keyboard *keyboard = &box->keyboard;
    const struct mayfly_step *request = &box->step.request;
    int pipes[2];

    if (request->flags & MAYFLY_STEP_TERMINAL) {
        int error = resize(box, request->terminal_rows, request->terminal_columns);
        int slave = error ? error : fcntl(keyboard->slave, F_DUPFD_CLOEXEC, 0);
        return slave < 0 && !error ? -errno : slave;
    }
    if (pipe2(pipes, O_CLOEXEC) != 0)
        return -errno;
    keyboard->pipe = pipes[1];
    const uint32_t user = box->id_base + BOX_USER; /* programs open /dev/stdin anew */
    if (fcntl(pipes[1], F_SETFL, O_NONBLOCK) == 0 && fchown(pipes[0], user, user) == 0)
        return pipes[0];
    int error = -errno;
    close(pipes[0]);
    return error;
}

static int keys_of(const struct box *box)
{
    return box->keyboard.slave >= 0 ? box->streams[0] : box->keyboard.pipe;
}

/* Writes what is held. Returns 0, -EAGAIN when some of it is still, or -errno when it can never be. */
static int type(struct box *box)
{
    struct keyboard *keyboard = &box->keyboard;
    while (keyboard->held > 0) {
        ssize_t written = write(keys_of(box), keyboard->bytes + keyboard->at, keyboard->held);
        if (written < 0) {
            int error = -errno;
            if (error != -EAGAIN)
                keyboard->held = 0;
            return error;
        }
        keyboard->at += (uint32_t)written;
        keyboard->held -= (uint32_t)written;
    }
    if (keyboard->last && keyboard->slave < 0)
        box_close_descriptor(&keyboard->pipe);
    return 0;
}

static int input(struct box *box, const char *bytes, uint32_t count, bool last)
{
    struct keyboard *keyboard = &box->keyboard;
    static const char end = END_OF_FILE;

    if (!(box->step.request.flags & MAYFLY_STEP_INTERACTIVE))
        return -ENOTTY;
    if (count > MAYFLY_INPUT_BYTES_MAX)
        return -EINVAL;
    if (keyboard->last || keys_of(box) < 0)
        return -EPIPE;
    if (keyboard->held > 0)
        return -EAGAIN;
    if (!keyboard->bytes)
        keyboard->bytes = malloc(MAYFLY_INPUT_BYTES_MAX + 1);
    if (!keyboard->bytes)
        return -ENOMEM;
    if (count > 0)
        memcpy(keyboard->bytes, bytes, count);
    if (last && keyboard->slave >= 0)
        keyboard->bytes[count++] = end;
    keyboard->at = 0;
    keyboard->held = count;
    keyboard->last = last && keyboard->slave < 0;
    int error = type(box);
    if (error == -EAGAIN)
        keyboard->again_us = now_us() + TYPE_AGAIN_US;
    return error == -EAGAIN ? 0 : error;
}

uint64_t control_type(struct box *box, uint64_t now)
{
    struct keyboard *keyboard = &box->keyboard;
    if (keyboard->held == 0)
        return UINT64_MAX;
    if (now >= keyboard->again_us) {
        uint32_t before = keyboard->held;
        if (type(box) != -EAGAIN)
            return UINT64_MAX;
        keyboard->again_us = now + (keyboard->held < before ? TYPE_AGAIN_US : TYPE_AGAIN_US_MAX);
    }
    return keyboard->again_us;
}

static int send_signal(struct box *box, uint32_t number)
{
    const struct init_request request = {.kind = INIT_SIGNAL, .number = number};
    if (number < 1 || number >= (uint32_t)SIGRTMIN)
        return -EINVAL;
    return (int)packet_send(box->init_socket, &request, sizeof request, NULL, 0, NULL, 0,
                            MSG_DONTWAIT);
}

static int carry_out(struct box *box, const struct request *request, const char *tail)
{
    const struct control *control = &request->body.control;

    /* Before exec there is no program yet, and after its kill it is as good as gone. */
    if (box->state != BOX_RUNNING || box->step.executed_us == 0 || box->step.reason != 0 ||
        box->init_socket < 0)
        return -ESRCH;
    switch (request->kind) {
    case REQUEST_FREEZE:
        return freeze(box, true);
    case REQUEST_THAW:
        return freeze(box, false);
    case REQUEST_LIMITS:
        return change_limits(box, &request->body.limits);
    case REQUEST_INPUT:
        return input(box, tail, request->tail_bytes, control->first != 0);
    case REQUEST_SIGNAL:
        return send_signal(box, control->first);
    case REQUEST_RESIZE:
        return resize(box, control->first, control->second);
    default:
        return -EINVAL;
    }
}

void control_take(struct box *box, const struct request *request, const char *tail)
{
    struct mayfly_event event = {.kind = MAYFLY_EVENT_CONTROL_END, .box = box->client};
    event.put_errno = -carry_out(box, request, tail);
    link_send(&event, NULL, 0, -1);
}

void control_release(struct box *box)
{
    struct keyboard *keyboard = &box->keyboard;
    box_close_descriptor(&keyboard->pipe);
    box_close_descriptor(&keyboard->slave);
    free(keyboard->bytes);
    *keyboard = (struct keyboard){.pipe = -1, .slave = -1};
    box->step.frozen_at_us = 0;
}
