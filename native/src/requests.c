#include "requests.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "cores.h"
#include "joints.h"
#include "leaves.h"
#include "link.h"
#include "output.h"
#include "packet.h"
#include "pool.h"
#include "pipes.h"
#include "step.h"
#include "warm.h"

/* Requests that may wait for one box; the library has no reason to send more ahead. */
#define WAITING_MAX 64u

void requests_drop(struct box *box)
{
    while (box->first) {
        struct waiting *waiting = box->first;
        box->first = waiting->next;
        box_close_descriptor(&waiting->fd);
        free(waiting);
    }
    box->last = &box->first;
}

/* What the next waiter gets: its socket, its streams' write ends, the entrances of its groups. */
struct handed {
    int descriptors[3 + CGROUP_HIERARCHIES_MAX];
    int count, entrances;
};

static int connect_waiter(struct box *box, struct handed *handed)
{
    int pair[2], pipes[2][2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return -errno;
    box->waiter_socket = pair[0];
    handed->descriptors[handed->count++] = pair[1];
    for (int stream = 0; stream < 2; stream++) {
        if (pipe2(pipes[stream], O_CLOEXEC) != 0)
            return -errno;
        box->streams[stream] = pipes[stream][0];
        handed->descriptors[handed->count++] = pipes[stream][1];
    }
    int error = pipes_give(pipes[0][1], pipes[1][1], box->id_base);
    if (!error)
        handed->entrances = cgroup_open_entrances(box->leaf.name, box->core,
                                                  handed->descriptors + handed->count);
    if (!error && handed->entrances < 0)
        error = handed->entrances;
    if (!error)
        handed->count += handed->entrances;
    return error;
}

int requests_prepare(struct box *box)
{
    struct handed handed = {.count = 0};
    struct init_request request = {.kind = INIT_PREPARE, .bound = box->steps == 0, .cpu = box->cpu};
    box->steps++;
    int error = leaf_name(box->leaf.name);
    if (!error)
        error = cgroup_create(box->leaf.name);
    if (!error)
        error = cores_confine(box);
    if (!error)
        error = connect_waiter(box, &handed);
    request.hierarchies = (uint32_t)handed.entrances;
    if (!error)
        error = (int)packet_send(box->init_socket, &request, sizeof request, NULL, 0,
                                 handed.descriptors, handed.count, MSG_DONTWAIT);
    for (int i = 0; i < handed.count; i++)
        close(handed.descriptors[i]);
    return error ? error : box_watch_step(box);
}

static void files(struct box *box, struct waiting *waiting)
{
    struct init_request request = {.kind = INIT_PUT};
    uint32_t bytes = 0;
    if (waiting->request.kind == REQUEST_COLLECT) {
        request.kind = INIT_COLLECT;
        request.collect = waiting->request.body.collect;
        bytes = request.collect.patterns_bytes;
        waiting->fd = memfd_create("mayfly-collect", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    long error = waiting->fd < 0 ? -errno
                                 : packet_send(box->init_socket, &request, sizeof request,
                                               waiting->tail, bytes, &waiting->fd, 1, MSG_DONTWAIT);
    if (error) {
        box_fault(box, MAYFLY_STAGE_FILES, (int)-error, 2);
        return;
    }
    box->state = BOX_FILES;
}

/* Starts the first waiting request, if the box is free for it. Puts and collects stay until answered. */
void requests_next(struct box *box)
{
    struct waiting *waiting = box->first;
    if (box->state != BOX_IDLE || !waiting)
        return;
    if (waiting->request.kind != REQUEST_STEP) {
        files(box, waiting);
        return;
    }
    if (!box->waiter_ready) {
        box->state = BOX_PREPARING;
        int error = requests_prepare(box);
        if (error)
            box_fault(box, MAYFLY_STAGE_WAITER, -error, 5);
        return;
    }
    if (waiting->request.body.step.flags & MAYFLY_STEP_TERMINAL && box->keyboard.slave < 0) {
        box->state = BOX_PREPARING;
        int error = control_ask_terminal(box);
        if (error)
            box_fault(box, MAYFLY_STAGE_TERMINAL, -error, 0);
        return;
    }
    if (box->warm)
        warm_turn(box);
    else
        requests_start_step(box);
}

void requests_start_step(struct box *box)
{
    struct waiting *waiting = box->first;
    box->first = waiting->next;
    if (!box->first)
        box->last = &box->first;
    uint64_t asked_us = box->steps == 1 ? box->opened_us : waiting->arrived_us;
    step_start(box, &waiting->request.body.step, waiting->tail, waiting->fd, asked_us);
    free(waiting);
}

void requests_files_done(struct box *box, const struct init_report *report)
{
    struct waiting *waiting = box->first;
    bool put = report->kind == INIT_PUT_END;
    if (box->state != BOX_FILES || !waiting || put != (waiting->request.kind == REQUEST_PUT)) {
        box_fault(box, MAYFLY_STAGE_PROTOCOL, EBADMSG, 6);
        return;
    }
    box->first = waiting->next;
    if (!box->first)
        box->last = &box->first;
    struct mayfly_event event = {.kind = put ? MAYFLY_EVENT_PUT_END : MAYFLY_EVENT_COLLECT_END,
                                 .box = box->client,
                                 .put_errno = report->error,
                                 .index = report->index,
                                 .data_bytes = report->bytes};
    box->state = BOX_IDLE;
    int error = report->error;
    if (!put && !error && fcntl(waiting->fd, F_ADD_SEALS, MEMORY_SEALS) != 0)
        error = errno;
    if (!put && error != 0) {
        box_close_descriptor(&waiting->fd);
        box_fault(box, MAYFLY_STAGE_FILES, error, report->index);
    } else {
        if (put)
            box_close_descriptor(&waiting->fd);
        link_send(&event, NULL, 0, waiting->fd);
        requests_next(box);
    }
    free(waiting);
}

static void enqueue(struct box *box, const struct request *request, const char *tail, int fd)
{
    uint32_t count = 0;
    for (struct waiting *at = box->first; at; at = at->next)
        count++;
    struct waiting *waiting = count < WAITING_MAX ? malloc(sizeof *waiting + request->tail_bytes)
                                                  : NULL;
    if (!waiting) {
        box_close_descriptor(&fd);
        box_fault(box, MAYFLY_STAGE_CAPACITY, ENOMEM, 1);
        return;
    }
    waiting->next = NULL;
    waiting->arrived_us = now_us();
    waiting->request = *request;
    waiting->fd = fd;
    memcpy(waiting->tail, tail, request->tail_bytes);
    *box->last = waiting;
    box->last = &waiting->next;
    requests_next(box);
}

static bool terminal_is_sound(const struct mayfly_step *step)
{
    return !(step->flags & MAYFLY_STEP_TERMINAL) ||
           (step->flags & MAYFLY_STEP_INTERACTIVE &&
            control_size_is_sound(step->terminal_rows, step->terminal_columns));
}

static bool step_is_sound(const struct mayfly_step *step, const char *tail, uint32_t bytes)
{
    uint32_t strings = 0;
    for (uint32_t i = 0; i < bytes; i++)
        strings += tail[i] == '\0';
    return step->cpu_time_us_max && step->wall_time_us_max && step->memory_bytes_max &&
           step->output_bytes_max && step->disk_bytes_max && step->file_bytes_max &&
           step->stack_bytes_max && step->files_max && step->processes_max &&
           step->open_files_max >= 4 && step->cpu_millis && step->argv_count &&
           step->argv_count < MAYFLY_STRINGS_COUNT_MAX &&
           step->env_count < MAYFLY_STRINGS_COUNT_MAX && step->strings_bytes == bytes &&
           terminal_is_sound(step) && bytes > 0 && bytes <= MAYFLY_STRINGS_BYTES_MAX &&
           tail[bytes - 1] == '\0' && strings == step->argv_count + step->env_count + 1;
}

static bool collect_is_sound(const struct mayfly_collect *collect, const char *tail, uint32_t bytes)
{
    return collect->patterns_bytes == bytes && bytes > 0 && bytes <= MAYFLY_PATTERNS_BYTES_MAX &&
           tail[bytes - 1] == '\0' && collect->flags <= MAYFLY_COLLECT_TREE &&
           collect->patterns_count && collect->files_max && collect->file_bytes_max &&
           collect->total_bytes_max;
}

void requests_take(const struct request *request, const char *tail, int fd)
{
    struct box *box = boxes_find(request->box);
    bool sound = true;
    switch (request->kind) {
    case REQUEST_OPEN:
        box_close_descriptor(&fd);
        pool_claim(&request->body.open);
        return;
    case REQUEST_LAYER: /* where it fails, no box of it can be opened: whoever asks for one is told */
        images_lay(&request->body.layer, fd);
        box_close_descriptor(&fd);
        return;
    case REQUEST_WARM: /* likewise */
        box_close_descriptor(&fd);
        if (step_is_sound(&request->body.step, tail, request->tail_bytes))
            images_warm(request->box, &request->body.step, tail);
        return;
    case REQUEST_FORGET:
        box_close_descriptor(&fd);
        pool_forget(request->box);
        return;
    case REQUEST_JOIN:
        box_close_descriptor(&fd);
        joints_join(&request->body.join);
        return;
    case REQUEST_CANCEL:
    case REQUEST_CLOSE:
        box_close_descriptor(&fd);
        if (box && request->kind == REQUEST_CANCEL) {
            step_kill(box, MAYFLY_OUTCOME_CANCELLED);
        } else if (box && box->state != BOX_CLOSING) {
            requests_drop(box);
            box->closing_asked = true;
            if (box->state == BOX_RUNNING)
                box->state = BOX_CLOSING; /* nobody waits for its outcome */
            box_kill(box);
        }
        return;
    case REQUEST_FOLLOW:
        box_close_descriptor(&fd);
        if (box)
            output_follow(box);
        return;
    case REQUEST_FREEZE:
    case REQUEST_THAW:
    case REQUEST_LIMITS:
    case REQUEST_INPUT:
    case REQUEST_SIGNAL:
    case REQUEST_RESIZE:
        box_close_descriptor(&fd);
        if (box)
            control_take(box, request, tail);
        return;
    case REQUEST_STEP:
        sound = step_is_sound(&request->body.step, tail, request->tail_bytes);
        break;
    case REQUEST_COLLECT:
        sound = fd < 0 && collect_is_sound(&request->body.collect, tail, request->tail_bytes);
        break;
    case REQUEST_PUT:
        sound = fd >= 0;
        break;
    default:
        sound = false;
    }
    if (box && box->state != BOX_CLOSING && !box->closing_asked && sound) {
        enqueue(box, request, tail, fd);
        return;
    }
    box_close_descriptor(&fd);
    if (box && !sound && box->state != BOX_CLOSING && !box->closing_asked)
        box_fault(box, MAYFLY_STAGE_PROTOCOL, EINVAL, 8);
}
