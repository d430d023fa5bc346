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
#include "cpus.h"
#include "joints.h"
#include "leaves.h"
#include "link.h"
#include "mounts.h"
#include "packet.h"
#include "output.h"
#include "relay.h"
#include "requests.h"
#include "step.h"
#include "sys.h"
#include "warm.h"
#include "weaken.h"

/* Host ids per box. */
#define ID_RANGE 65536u
/* What a pooled box gets until a request says otherwise. */
#define POOLED_DISK_BYTES (64u << 20)
#define POOLED_FILES 4096u
/* A box takes 1 to 3 ms; one that is not there after this never will be. */
#define MAKE_TIMEOUT_US 10000000u
/* An image that nobody has asked for in this time has no boxes in the pool. */
#define POOL_KEEP_US 30000000u
/* Of how many images in use at the same time the pool is full. */
#define POOL_IMAGES 4u
/* See refill. */
#define REFILL_IDLE_US 1000u
#define REFILL_BUSY_US 20000u

static struct mayfly_config config;
static int epoll_fd, maker_fd;
static uint32_t first_id, next_serial = 1, boxes_count;
static bool has_cores; /* that a box may have alone */
static struct box *boxes;
static bool reading = true;
/* When a box was last claimed, or a step last ended. */
static uint64_t active_us;

uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void box_leaf(const struct box *box, char leaf[CGROUP_NAME_BYTES])
{
    snprintf(leaf, CGROUP_NAME_BYTES, "b%u.%u", box->serial, box->steps);
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

int box_confine(const struct box *box)
{
    cpu_set_t core;
    if (box->core == CGROUP_NO_CORE)
        return CPU_COUNT(cpus_shared()) < (int)cpus_count()
                   ? cgroup_set_cpus(box->leaf.name, cpus_shared())
                   : 0;
    CPU_ZERO(&core);
    CPU_SET((uint32_t)box->core, &core);
    return cgroup_set_cpus(box->leaf.name, &core);
}

/* Has all boxes without a core of their own run on the CPUs that are shared now. */
static int share_cpus(void)
{
    int error = cgroup_set_cpus("init", cpus_shared());
    for (uint32_t i = 0; !error && i < boxes_count; i++)
        if (boxes[i].state != BOX_FREE && boxes[i].core == CGROUP_NO_CORE && !boxes[i].leaf_gone &&
            boxes[i].leaf.name[0] != '\0')
            error = cgroup_set_cpus(boxes[i].leaf.name, cpus_shared());
    return error;
}

/* Returns a core that no other box runs on from here on, or -errno. */
static int take_core(void)
{
    if (!has_cores)
        return -ENOTSUP;
    int core = cpus_reserve();
    if (core < 0)
        return core;
    int error = share_cpus();
    if (error) {
        cpus_share((uint32_t)core);
        share_cpus();
    }
    return error ? error : core;
}

static void give_core_back(struct box *box)
{
    if (box->core == CGROUP_NO_CORE)
        return;
    cpus_share((uint32_t)box->core);
    box->core = CGROUP_NO_CORE;
    share_cpus();
}

/* All processes of the box are dead. */
static void bury(struct box *box)
{
    char leaf[CGROUP_NAME_BYTES];
    close_step(box);
    box_leaf(box, leaf);
    if (!box->leaf_gone)
        leaf_remove(leaf);
    box_close_descriptor(&box->init_socket);
    box_close_descriptor(&box->init_pidfd);
    box_close_descriptor(&box->disk);
    requests_drop(box);
    if (box->client != 0) {
        struct mayfly_event event = {.kind = MAYFLY_EVENT_CLOSED, .box = box->client};
        link_send(&event, NULL, 0, -1);
    }
    give_core_back(box);
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

/*
 * Sends the maker off to make a box for `image`; client 0 for the pool. `core` is the box's from here on. False: there
 * is no place for it.
 */
static bool make_box(struct image *image, uint32_t client, uint32_t files_max,
                     uint64_t disk_bytes_max, int core)
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
        box->leaf_gone = true;
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
    char name[CGROUP_NAME_BYTES];
    box_leaf(box, name);
    int error = cgroup_leaf_open(&box->leaf, name);
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
    char leaf[CGROUP_NAME_BYTES];
    box_leaf(box, leaf);
    close_step(box);
    leaf_remove(leaf);
    box->leaf_gone = true;
}

void box_step_over(struct box *box)
{
    active_us = now_us();
    box_leave_step(box);
    if (box->state == BOX_RUNNING)
        box->state = BOX_IDLE;
    if (box->closing_asked)
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
            box->closing_asked = true;
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

static void refuse(uint32_t client, uint32_t stage, int error)
{
    struct mayfly_event event = {.kind = MAYFLY_EVENT_CLOSED, .box = client};
    link_fault(client, stage, error, 0);
    link_send(&event, NULL, 0, -1);
}

/*
 * A box that is ready, on the CPU with the least to do, else one that is being made: nearer than one that is not.
 */
static struct box *find_pooled(const struct image *image)
{
    struct box *best = NULL;
    for (uint32_t i = 0; i < boxes_count; i++) {
        struct box *box = &boxes[i];
        if (box->client != 0 || box->image != image ||
            (box->state != BOX_IDLE && (box->state != BOX_MAKING || image->warm)))
            continue;
        if (!best || (box->state == BOX_IDLE && best->state == BOX_MAKING) ||
            (box->state == best->state && cpus_load(box->cpu) < cpus_load(best->cpu)))
            best = box;
    }
    return best;
}

uint32_t boxes_ready(const struct image *image)
{
    uint32_t ready = 0;
    for (uint32_t i = 0; i < boxes_count; i++)
        ready += boxes[i].client == 0 && boxes[i].image == image && boxes[i].state == BOX_IDLE;
    return ready;
}

void boxes_claim(const struct mayfly_open *request)
{
    struct image *image = images_find(request->image);
    uint32_t alive = 0;
    if (request->box == 0 || boxes_find(request->box) || request->disk_bytes_max == 0 ||
        request->files_max == 0) {
        refuse(request->box, MAYFLY_STAGE_PROTOCOL, EINVAL);
        return;
    }
    if (!image) {
        refuse(request->box, MAYFLY_STAGE_IMAGE, ENOENT);
        return;
    }
    for (uint32_t i = 0; i < boxes_count; i++)
        alive += boxes[i].state != BOX_FREE && boxes[i].client != 0;
    if (alive >= config.boxes_max) {
        refuse(request->box, MAYFLY_STAGE_CAPACITY, EBUSY);
        return;
    }
    const bool alone = request->flags & MAYFLY_OPEN_ALONE;
    struct box *pooled = alone ? NULL : find_pooled(image);
    image->used_us = now_us();
    if (!pooled && image->warm) { /* a cold one is nearer, and cannot wait for it */
        image = images_find(image->warm->step.box);
        if (!image) {
            refuse(request->box, MAYFLY_STAGE_IMAGE, ENOENT);
            return;
        }
        pooled = alone ? NULL : find_pooled(image);
        image->used_us = now_us();
    }
    if (pooled) {
        pooled->client = request->box;
        pooled->opened_us = active_us = now_us();
        pooled->opened_disk_bytes = request->disk_bytes_max;
        pooled->opened_files = request->files_max;
        int error = pooled->state == BOX_IDLE
                        ? step_set_disk(pooled, request->disk_bytes_max, request->files_max)
                        : 0; /* be_ready sees to it */
        if (error)
            box_fault(pooled, MAYFLY_STAGE_OVERLAY, -error, 7);
        return;
    }
    int core = alone ? take_core() : CGROUP_NO_CORE;
    if (alone && core < 0) {
        refuse(request->box, core == -ENOTSUP ? MAYFLY_STAGE_HOST : MAYFLY_STAGE_CAPACITY, -core);
        return;
    }
    if (make_box(image, request->box, request->files_max, request->disk_bytes_max, core))
        return;
    struct box none = {.core = core};
    give_core_back(&none);
    refuse(request->box, MAYFLY_STAGE_CAPACITY, ENOSPC);
}

bool boxes_forget(uint32_t id)
{
    struct image *image = images_find(id);
    if (!image)
        return false;
    for (uint32_t i = 0; i < boxes_count; i++)
        if (boxes[i].state != BOX_FREE && boxes[i].client == 0 && boxes[i].image == image)
            box_kill(&boxes[i]);
    images_forget(image);
    return true;
}

static bool pooled(const struct image *image, uint64_t now)
{
    return image->keep_ready || (image->used_us != 0 && now - image->used_us < POOL_KEEP_US);
}

/*
 * Boxes are made when that disturbs nobody: a moment after the last step ended or began, or, while steps go on, after
 * a longer one; at once when none is left. Returns when to look again, in microseconds of now_us.
 */
static uint64_t refill(void)
{
    uint64_t now = now_us(), next = UINT64_MAX;
    bool busy = false;
    for (uint32_t i = 0; i < boxes_count; i++)
        busy = busy || (boxes[i].client != 0 && boxes[i].state != BOX_FREE &&
                        boxes[i].state != BOX_CLOSING);
    uint64_t due = active_us + (busy ? REFILL_BUSY_US : REFILL_IDLE_US);
    uint32_t all = 0;
    uint64_t warm_bytes = 0;
    for (uint32_t i = 0; i < boxes_count; i++) {
        if (boxes[i].client != 0 || boxes[i].state == BOX_FREE || boxes[i].state == BOX_CLOSING)
            continue;
        all += !boxes[i].image->warm;
        warm_bytes += boxes[i].image->warm ? boxes[i].image->warm_bytes : 0;
    }
    for (struct image *image = images_next(NULL); image; image = images_next(image)) {
        uint32_t ready = 0, making = 0;
        const bool wanted = pooled(image, now);
        if (image->never_ready)
            continue;
        for (uint32_t i = 0; i < boxes_count; i++) {
            if (boxes[i].client != 0 || boxes[i].image != image)
                continue;
            if (boxes[i].state == BOX_IDLE && !wanted)
                box_kill(&boxes[i]);
            ready += boxes[i].state == BOX_IDLE;
            making += boxes[i].state == BOX_MAKING || boxes[i].state == BOX_WARMING;
        }
        if (ready > 0 && wanted && !image->keep_ready && image->used_us + POOL_KEEP_US < next)
            next = image->used_us + POOL_KEEP_US;
        if (!wanted || making > 0 || ready >= config.pool_boxes ||
            (image->warm ? !warm_affordable(image, warm_bytes)
                         : all >= POOL_IMAGES * config.pool_boxes))
            continue;
        if (image->warm_after_us > now) {
            if (image->warm_after_us < next)
                next = image->warm_after_us;
            continue;
        }
        if ((ready == 0 && !image->warm) || now >= due)
            make_box(image, 0, POOLED_FILES, POOLED_DISK_BYTES, CGROUP_NO_CORE);
        else if (due < next)
            next = due;
    }
    return next;
}

int boxes_tick(void)
{
    uint64_t now = now_us(), next = refill();
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

int boxes_open(const struct mayfly_config *wanted, int epoll, int maker, uint32_t id_base,
               bool cores)
{
    has_cores = cores;
    config = *wanted;
    epoll_fd = epoll;
    maker_fd = maker;
    first_id = id_base;
    /* Boxes that are dying, and pooled ones, are alive beside those of the library. */
    boxes_count = 2 * config.boxes_max + 2 * POOL_IMAGES * config.pool_boxes + 16;
    warm_configure(config.warm_bytes_max);
    boxes = calloc(boxes_count, sizeof *boxes);
    relay_open(epoll);
    return boxes ? 0 : -ENOMEM;
}
