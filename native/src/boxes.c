#include "boxes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "cores.h"
#include "cpus.h"
#include "joints.h"
#include "leaves.h"
#include "link.h"
#include "mounts.h"
#include "packet.h"
#include "output.h"
#include "pool.h"
#include "relay.h"
#include "requests.h"
#include "step.h"
#include "sys.h"
#include "warm.h"
#include "weaken.h"

/* Host ids per box. */
#define ID_RANGE 65536u
/* A box takes 1 to 3 ms; one that is not there after this never will be. */
#define MAKE_TIMEOUT_US 10000000u

static int epoll_fd, maker_fd;
static uint32_t first_id, next_serial = 1, boxes_count;
static struct box *boxes;
static bool reading = true;

uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void box_close_descriptor(int *fd)
{
    if (*fd >= 0)
        close(*fd); /* which also takes it off epoll: nobody else has this description */
    *fd = -1;
}

int box_watch(const struct box *box, int fd, enum box_source source)
{
    const bool output = source == SOURCE_STDOUT || source == SOURCE_STDERR;
    const uint32_t events = source == SOURCE_MEMORY ? cgroup_memory_events() : EPOLLIN;
    struct epoll_event event = {.events = output && !reading ? 0 : events,
                                .data.u64 = (uint64_t)box->serial << 32 |
                                            (uint64_t)box->index << 8 | (uint64_t)source};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

struct box *boxes_find(uint32_t client)
{
    for (uint32_t i = 0; client != 0 && i < boxes_count; i++)
        if (boxes[i].state != BOX_FREE && boxes[i].client == client)
            return &boxes[i];
    return NULL;
}

struct box *boxes_next(struct box *before)
{
    for (struct box *box = before ? before + 1 : boxes; box < boxes + boxes_count; box++)
        if (box->state != BOX_FREE)
            return box;
    return NULL;
}

static void close_step(struct box *box)
{
    step_release(box);
    box_close_descriptor(&box->step.kept);
    output_release(box);
    control_release(box);
    joints_release(box);
    box_close_descriptor(&box->program_pidfd);
    box_close_descriptor(&box->input);
    box_close_descriptor(&box->waiter_socket);
    box_close_descriptor(&box->streams[0]);
    box_close_descriptor(&box->streams[1]);
    cgroup_leaf_close(&box->leaf);
    box->waiter_ready = false;
}

/* All processes of the box are dead. */
static void bury(struct box *box)
{
    close_step(box);
    leaf_remove(box->leaf.name);
    box_close_descriptor(&box->init_socket);
    box_close_descriptor(&box->init_pidfd);
    box_close_descriptor(&box->disk);
    requests_drop(box);
    if (box->client != 0) {
        struct mayfly_event event = {.kind = MAYFLY_EVENT_CLOSED, .box = box->client};
        link_send(&event, NULL, 0, -1);
    }
    cores_give_back(box->core);
    box->core = CGROUP_NO_CORE;
    box->state = BOX_FREE;
    images_release(box->image);
}

void box_kill(struct box *box)
{
    if (box->state == BOX_MAKING && !box->made) {
        box->closing_asked = true; /* the maker's answer has to find it, to bring its end */
        return;
    }
    control_kill(box);
    if (box->state != BOX_RUNNING) /* a running step still reports, when pid 1 is dead */
        box->state = BOX_CLOSING;
    if (box->init_pidfd >= 0)
        SYS4(SYS_pidfd_send_signal, box->init_pidfd, SIGKILL, 0, 0);
}

void box_fault(struct box *box, uint32_t stage, int error, uint32_t index)
{
    if (box->state == BOX_CLOSING || box->closing_asked)
        return; /* on its way out already: nobody is told twice */
    if (box->state == BOX_RUNNING)
        output_tell(box);
    if (box->client != 0)
        link_fault(box->client, stage, error, index);
    if (box->state == BOX_RUNNING)
        cgroup_kill(&box->leaf);
    if (box->state != BOX_MAKING || box->made)
        box->state = BOX_CLOSING;
    box->closing_asked = true;
    box_kill(box);
}

bool boxes_make(struct image *image, uint32_t client, uint32_t files_max, uint64_t disk_bytes_max,
                int core)
{
    uint32_t index = 0;
    while (index < boxes_count && boxes[index].state != BOX_FREE)
        index++;
    if (index == boxes_count)
        return false;
    struct box *box = &boxes[index];
    *box = (struct box){.state = BOX_MAKING,
                        .serial = next_serial++,
                        .index = index,
                        .id_base = first_id + (weak(WEAK_IDS) ? 0 : index) * ID_RANGE,
                        .cpu = core == CGROUP_NO_CORE ? cpus_next() : (uint32_t)core,
                        .core = core,
                        .client = client,
                        .image = image,
                        .files_max = files_max,
                        .disk_bytes_max = disk_bytes_max,
                        .opened_disk_bytes = disk_bytes_max,
                        .opened_files = files_max,
                        .opened_us = now_us(),
                        .made_until_us = now_us() + MAKE_TIMEOUT_US,
                        .input = -1,
                        .init_pidfd = -1,
                        .init_socket = -1,
                        .program_pidfd = -1,
                        .waiter_socket = -1,
                        .streams = {-1, -1},
                        .disk = -1,
                        .step = {.kept = -1},
                        .keyboard = {.pipe = -1, .slave = -1},
                        .leaf = {.memory_watch = -1, .files = {-1, -1, -1, -1}}};
    box->last = &box->first;
    images_use(image);
    struct make_request request = {.box = box->serial,
                                   .id_base = box->id_base,
                                   .layers_count = image->layers_count,
                                   .files_max = files_max,
                                   .disk_bytes_max = disk_bytes_max};
    memcpy(request.layers, image->layers, sizeof request.layers);
    int pair[2];
    long error = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        error = -errno;
    if (!error) {
        box->init_socket = pair[0];
        error = packet_send(maker_fd, &request, sizeof request, NULL, 0, &pair[1], 1, MSG_DONTWAIT);
        close(pair[1]);
    }
    if (error) {
        if (client != 0)
            link_fault(client, MAYFLY_STAGE_MAKER, (int)-error, 0);
        bury(box);
        return true;
    }
    /* The first step's things are made while the maker makes the box. */
    error = box_watch(box, box->init_socket, SOURCE_INIT);
    if (!error)
        error = requests_prepare(box);
    if (error)
        box_fault(box, MAYFLY_STAGE_WAITER, (int)-error, 9);
    return true;
}

static int open_leaf(struct box *box)
{
    int error = cgroup_leaf_open(&box->leaf);
    return error ? error : box_watch(box, box->leaf.memory_watch, SOURCE_MEMORY);
}

int box_watch_step(struct box *box)
{
    for (int stream = 0; stream < 2; stream++)
        if (fcntl(box->streams[stream], F_SETFL, O_NONBLOCK) != 0)
            return -errno;
    int error = open_leaf(box);
    if (!error)
        error = box_watch(box, box->waiter_socket, SOURCE_WAITER);
    if (!error)
        error = box_watch(box, box->streams[0], SOURCE_STDOUT);
    if (!error)
        error = box_watch(box, box->streams[1], SOURCE_STDERR);
    return error;
}

/* The maker is done and the waiter made: the box can be used. */
static void be_ready(struct box *box)
{
    if (box->state != BOX_MAKING || !box->made || !box->prepared)
        return;
    box->waiter_ready = true;
    box->state = BOX_IDLE;
    if (box->image->warm) {
        if (warm_begin(box) != 0)
            box_kill(box);
        return;
    }
    /* Most steps of an image ask for what the one before did: then nothing is left to be written. */
    struct box_limits expected = box->image->usual;
    const bool expecting = expected.files_max != 0 && !box->first;
    int error = 0;
    if (box->client != 0) { /* files may come before a step does */
        expected.disk_bytes_max = box->opened_disk_bytes;
        expected.files_max = box->opened_files;
    }
    if (expecting)
        error = step_set_limits(box, &expected);
    else if (box->client != 0)
        error = step_set_disk(box, expected.disk_bytes_max, expected.files_max);
    if (error)
        box_fault(box, MAYFLY_STAGE_CGROUP, -error, 4);
    else
        requests_next(box);
}

void boxes_made(const struct made *made, const int *descriptors, int count)
{
    struct box *box = NULL;
    for (uint32_t i = 0; i < boxes_count; i++)
        if (boxes[i].state == BOX_MAKING && boxes[i].serial == made->box)
            box = &boxes[i];
    if (!box || (made->stage == 0 && count != MADE_DESCRIPTORS)) {
        for (int i = 0; i < count; i++)
            close(descriptors[i]);
        return;
    }
    if (made->stage != 0) {
        if (box->client != 0 && !box->closing_asked)
            link_fault(box->client, made->stage, made->error, made->index);
        bury(box);
        return;
    }
    box->made = true;
    box->init_pidfd = descriptors[MADE_INIT_PIDFD];
    box->disk = descriptors[MADE_DISK];
    box->inodes_used = made->inodes_used;
    box->blocks_used = made->blocks_used;
    box->files_max = 0; /* the maker left room for more: the first step sets it exactly */
    int error = box_watch(box, box->init_pidfd, SOURCE_INIT_DEAD);
    if (!error && box->first && box->first->request.kind == REQUEST_STEP)
        error = step_foresee(box, &box->first->request.body.step);
    if (error)
        box_fault(box, MAYFLY_STAGE_INIT, -error, 10);
    else if (box->closing_asked)
        box_kill(box);
    else
        be_ready(box);
}

void box_leave_step(struct box *box)
{
    close_step(box);
    leaf_remove(box->leaf.name);
}

void box_step_over(struct box *box)
{
    pool_disturbed();
    box_leave_step(box);
    if (box->state == BOX_RUNNING)
        box->state = BOX_IDLE;
    if (box->closing_asked || box->init_dead)
        box_kill(box);
    else
        requests_next(box);
}

static void init_report(struct box *box)
{
    struct init_report report;
    int descriptors[2] = {-1, -1}, count = 2, pidfd;
    long length = packet_receive(box->init_socket, &report, sizeof report, descriptors, &count,
                                 MSG_DONTWAIT);
    pidfd = descriptors[0];
    if (length == -EAGAIN)
        return;
    if (length != sizeof report) { /* its death is told by the pidfd */
        box_close_descriptor(&box->init_socket);
        return;
    }
    if (report.kind == INIT_ENDED && box->state == BOX_RUNNING) {
        step_ended(box, &report);
    } else if (box->image->warm && box->steps == 1 && report.kind == INIT_ENDED) {
        warm_ended(box);
    } else if (report.kind == INIT_AWAITED && box->image->warm) {
        warm_awaited(box, &report);
    } else if (report.kind == INIT_READ_END && box->state == BOX_READING) {
        warm_read_end(box, &report);
    } else if (report.kind == INIT_PREPARED && box->state == BOX_MAKING && count == 1) {
        box->program_pidfd = pidfd;
        box->prepared = true;
        be_ready(box);
        return;
    } else if (report.kind == INIT_PREPARED && box->state == BOX_PREPARING && count == 1) {
        box->program_pidfd = pidfd;
        box->waiter_ready = true;
        box->state = BOX_IDLE;
        if (box->closing_asked)
            box_kill(box);
        else
            requests_next(box);
        return;
    } else if (report.kind == INIT_TERMINAL_MADE && box->state == BOX_PREPARING && count == 2) {
        box->state = BOX_IDLE;
        control_terminal(box, descriptors[0], descriptors[1]);
        return;
    } else if (report.kind == INIT_PUT_END || report.kind == INIT_COLLECTED) {
        if (box->state != BOX_CLOSING)
            requests_files_done(box, &report);
    } else if (report.kind == INIT_FAULT) {
        box_fault(box, report.stage, report.error, report.index);
    } else if (report.kind == INIT_ENDED && box->state == BOX_IDLE) {
        box_fault(box, MAYFLY_STAGE_WAITER, ECHILD, 6); /* the waiter died before it was needed */
    } else {
        box_fault(box, MAYFLY_STAGE_PROTOCOL, EBADMSG, 7);
    }
    for (int i = 0; i < count; i++)
        close(descriptors[i]);
}

void boxes_event(uint32_t index, uint32_t serial, enum box_source source, uint32_t events)
{
    (void)events;
    if (index >= boxes_count)
        return;
    struct box *box = &boxes[index];
    if (box->state == BOX_FREE || box->serial != serial)
        return; /* it was buried by an earlier event of the same batch */
    switch (source) {
    case SOURCE_INIT:
        init_report(box);
        return;
    case SOURCE_INIT_DEAD:
        if (box->init_socket >= 0 && (box->state == BOX_RUNNING || box->state == BOX_MAKING))
            init_report(box); /* what it said last */
        if (box->state == BOX_RUNNING) {
            box->init_dead = true;
            step_ended(box, NULL);
        } else if (box->state != BOX_CLOSING && box->client != 0)
            link_fault(box->client, MAYFLY_STAGE_INIT, ECHILD, 7);
        bury(box);
        return;
    case SOURCE_WAITER:
        step_waiter(box);
        return;
    case SOURCE_STDOUT:
        output_ready(box, 0);
        return;
    case SOURCE_STDERR:
        output_ready(box, 1);
        return;
    case SOURCE_MEMORY:
        step_out_of_memory(box);
        return;
    case SOURCE_CLIENT:
    case SOURCE_MAKER:
    case SOURCE_RELAY:
        return;
    }
}

int boxes_tick(void)
{
    uint64_t now = now_us(), next = pool_refill();
    for (uint32_t i = 0; i < boxes_count; i++) {
        uint64_t due = UINT64_MAX;
        if (boxes[i].state == BOX_RUNNING)
            due = step_tick(&boxes[i], now);
        else if (((boxes[i].state == BOX_MAKING && boxes[i].made) ||
                  boxes[i].state == BOX_WARMING) &&
                 !boxes[i].closing_asked)
            due = boxes[i].made_until_us;
        if (boxes[i].state == BOX_MAKING && now >= due)
            box_fault(&boxes[i], MAYFLY_STAGE_INIT, ETIMEDOUT, 11);
        else if (boxes[i].state == BOX_WARMING && now >= due)
            warm_late(&boxes[i]);
        if (due < next)
            next = due;
    }
    if (leaves_retry() && next > now + LEAF_RETRY_MS * 1000)
        next = now + LEAF_RETRY_MS * 1000;
    if (next == UINT64_MAX)
        return -1;
    return next <= now ? 0 : (int)((next - now + 999) / 1000);
}

void box_rest_output(const struct box *box, int stream, bool rest)
{
    struct epoll_event event = {.events = rest || !reading ? 0 : EPOLLIN,
                                .data.u64 = (uint64_t)box->serial << 32 |
                                            (uint64_t)box->index << 8 |
                                            (uint64_t)(SOURCE_STDOUT + stream)};
    if (box->streams[stream] >= 0)
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, box->streams[stream], &event);
}

void boxes_read_output(bool wanted)
{
    if (wanted == reading)
        return;
    reading = wanted;
    for (uint32_t i = 0; i < boxes_count; i++)
        for (int stream = 0; boxes[i].state != BOX_FREE && stream < 2; stream++)
            box_rest_output(&boxes[i], stream, false);
}

void boxes_close_all(int ms)
{
    uint64_t until = now_us() + (uint64_t)ms * 1000;
    for (uint32_t i = 0; i < boxes_count; i++)
        if (boxes[i].state != BOX_FREE)
            control_kill(&boxes[i]);
    for (uint32_t i = 0; i < boxes_count; i++)
        if (boxes[i].state != BOX_FREE && boxes[i].init_pidfd >= 0)
            SYS4(SYS_pidfd_send_signal, boxes[i].init_pidfd, SIGKILL, 0, 0);
    for (uint32_t i = 0; i < boxes_count; i++) {
        struct pollfd dead = {boxes[i].init_pidfd, POLLIN, 0};
        uint64_t now = now_us();
        if (boxes[i].state != BOX_FREE && boxes[i].init_pidfd >= 0 && now < until)
            poll(&dead, 1, (int)((until - now) / 1000));
    }
}

int boxes_open(const struct mayfly_config *config, int epoll, int maker, uint32_t id_base,
               bool cores)
{
    cores_open(cores);
    epoll_fd = epoll;
    maker_fd = maker;
    first_id = id_base;
    /* Boxes that are dying are alive beside those of the library and the pool. */
    boxes_count = 2 * (config->boxes_max + pool_open(config)) + 16;
    warm_configure(config->warm_bytes_max);
    boxes = calloc(boxes_count, sizeof *boxes);
    relay_open(epoll);
    return boxes ? 0 : -ENOMEM;
}
