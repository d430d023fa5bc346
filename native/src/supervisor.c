/*
 * mayfly-supervisor: makes, feeds, watches, measures and destroys boxes for one library (descriptor 3).
 *
 * Single-threaded: one epoll loop over the library's socket, the maker's, and the descriptors of each box.
 * It opens no host path once it is in its jail, logs nothing, and takes no signal. When the library's end
 * of the socket closes it kills all boxes, removes its control groups and exits.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "boxes.h"
#include "cgroup.h"
#include "cpus.h"
#include "filter.h"
#include "jail.h"
#include "link.h"
#include "maker.h"
#include "packet.h"
#include "protocol.h"
#include "relay.h"
#include "requests.h"

/* How long the boxes may take to die at the end. */
#define CLOSE_MS 10000
/* How long the library may take to say what it wants. */
#define CONFIG_MS 10000

/*
 * Host ids of boxes: eight regions of 4,096 ranges, one region for each supervisor of the host, above what
 * systemd and container engines hand out (systemd.io/UIDS-GIDS) and below the sign bit's last values.
 */
#define ID_REGIONS 8u
#define ID_FIRST 0x70000000u
#define ID_REGION 0x10000000u

struct supervisor {
    int epoll, maker;
    struct mayfly_config config;
    struct sock_fprog filter;
    uint32_t id_base;
    bool cores; /* a box may have one alone */
};

static _Noreturn void fail(uint32_t stage, int error, uint32_t index)
{
    link_fault(0, stage, error, index);
    cgroup_close();
    _exit(1);
}

static void leave_parent(void)
{
    setsid(); /* a Ctrl-C at the executor's terminal is the executor's to handle */
    umask(0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
        fail(MAYFLY_STAGE_START, errno, 0);
    if (null > 2)
        close(null);
    fcntl(SUPERVISOR_SOCKET, F_SETFD, FD_CLOEXEC);
    /* Nine descriptors a box, and those of its pipes: as many as the host lets us have. */
    struct rlimit descriptors;
    if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
        descriptors.rlim_cur = descriptors.rlim_max;
        setrlimit(RLIMIT_NOFILE, &descriptors);
    }
}

static void take_config(struct supervisor *self)
{
    struct request request;
    struct pollfd ready = {SUPERVISOR_SOCKET, POLLIN, 0};
    if (poll(&ready, 1, CONFIG_MS) != 1)
        fail(MAYFLY_STAGE_HANDSHAKE, ETIMEDOUT, 0);
    long length = packet_receive(SUPERVISOR_SOCKET, &request, sizeof request, NULL, NULL, 0);
    if (length != sizeof request || request.abi_version != MAYFLY_ABI_VERSION ||
        request.kind != REQUEST_START || request.body.config.size != sizeof self->config)
        fail(MAYFLY_STAGE_HANDSHAKE, EPROTO, 1);
    self->config = request.body.config;
    if (self->config.boxes_max < 1 || self->config.boxes_max > 1280 ||
        self->config.pool_boxes > self->config.boxes_max)
        fail(MAYFLY_STAGE_HANDSHAKE, EINVAL, 2);
}

/* A region is ours while an abstract socket of its name is: the kernel lets go of it when we die. */
static uint32_t claim_ids(void)
{
    for (uint32_t region = 0; region < ID_REGIONS; region++) {
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "mayfly-ids-%u", region);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            fail(MAYFLY_STAGE_HOST, errno, 1);
        socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
        if (bind(fd, (const struct sockaddr *)&name, bytes) == 0)
            return ID_FIRST + region * ID_REGION;
        close(fd);
    }
    fail(MAYFLY_STAGE_CAPACITY, EUSERS, 2);
}

static void watch(const struct supervisor *self, int fd, enum box_source source, uint32_t events,
                  int operation)
{
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)source};
    if (epoll_ctl(self->epoll, operation, fd, &event) != 0)
        fail(MAYFLY_STAGE_START, errno, 1);
}

static void set_up(struct supervisor *self)
{
    struct cgroup_failure failure = {0};
    leave_parent();
    take_config(self);
    if (cgroup_open(&failure) != 0) {
        dprintf(2, "mayfly-supervisor: control groups: %s: %s\n", failure.missing,
                strerror(failure.error));
        fail(MAYFLY_STAGE_HOST, failure.error, 0);
    }
    int error = filter_build(&self->filter);
    if (error)
        fail(MAYFLY_STAGE_SECCOMP, -error, 1);
    self->id_base = claim_ids();
    error = cpus_open();
    if (error)
        fail(MAYFLY_STAGE_HOST, -error, 2);
    /* Before there is a maker: all that it makes is where it is. Without, no box has a core alone. */
    self->cores = cpus_count() > 1 && cgroup_cores_open(cpus_shared()) == 0;
    error = jail_enter();
    if (error)
        fail(MAYFLY_STAGE_JAIL, -error, 0);
    self->maker = maker_start(&self->filter);
    if (self->maker < 0)
        fail(MAYFLY_STAGE_MAKER, -self->maker, 1);
    /* After the maker was copied: it must be able to open its children's /proc/<pid>/ns/user. */
    error = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? jail_drop_capabilities(0) : -errno;
    if (error)
        fail(MAYFLY_STAGE_JAIL, -error, 1);
    /*
     * A program may stop reading what it is given. Blocked, not ignored, and only now: what is ignored would stay
     * so in every program.
     */
    sigset_t broken_pipe;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    sigprocmask(SIG_BLOCK, &broken_pipe, NULL);
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll < 0)
        fail(MAYFLY_STAGE_START, errno, 2);
    error = boxes_open(&self->config, self->epoll, self->maker, self->id_base, self->cores);
    if (error)
        fail(MAYFLY_STAGE_START, -error, 3);
    watch(self, SUPERVISOR_SOCKET, SOURCE_CLIENT, EPOLLIN, EPOLL_CTL_ADD);
    watch(self, self->maker, SOURCE_MAKER, EPOLLIN, EPOLL_CTL_ADD);
    struct mayfly_event ready = {.kind = MAYFLY_EVENT_READY};
    link_send(&ready, NULL, 0, -1);
}

static void close_descriptors(const int *descriptors, int count)
{
    for (int i = 0; i < count; i++)
        close(descriptors[i]);
}

static void add_image(const struct request *request, const int *trees, int count)
{
    const uint32_t id = request->box;
    const bool keep_ready = request->body.image_flags & MAYFLY_IMAGE_KEEP_READY;
    struct mayfly_event event = {.kind = MAYFLY_EVENT_IMAGE, .box = id};
    int error = images_add(id, keep_ready, trees, count);
    close_descriptors(trees, count);
    if (error)
        link_fault(0, MAYFLY_STAGE_IMAGE, -error, id);
    else
        link_send(&event, NULL, 0, -1);
}

/* One request. False when the library is gone. */
static bool client(void)
{
    static struct {
        struct request head;
        char tail[MAYFLY_STRINGS_BYTES_MAX];
    } packet;
    int descriptors[MAYFLY_LAYERS_MAX], count = MAYFLY_LAYERS_MAX;

    long length = packet_receive(SUPERVISOR_SOCKET, &packet, sizeof packet, descriptors, &count,
                                 MSG_DONTWAIT);
    if (length == -EAGAIN)
        return true;
    if (length <= 0)
        return false;
    if ((size_t)length < sizeof packet.head ||
        (size_t)length != sizeof packet.head + packet.head.tail_bytes ||
        packet.head.abi_version != MAYFLY_ABI_VERSION) {
        close_descriptors(descriptors, count);
        link_fault(0, MAYFLY_STAGE_PROTOCOL, EBADMSG, 9);
        return false;
    }
    if (packet.head.kind == REQUEST_IMAGE) {
        add_image(&packet.head, descriptors, count);
        return true;
    }
    close_descriptors(descriptors + 1, count - 1);
    requests_take(&packet.head, packet.tail, count > 0 ? descriptors[0] : -1);
    return true;
}

static void maker(const struct supervisor *self)
{
    struct made made;
    int descriptors[MADE_DESCRIPTORS], count = MADE_DESCRIPTORS;
    long length = packet_receive(self->maker, &made, sizeof made, descriptors, &count,
                                 MSG_DONTWAIT);
    if (length == -EAGAIN)
        return;
    if (length != sizeof made) { /* without it no box can be made: the executor starts anew */
        boxes_close_all(CLOSE_MS);
        fail(MAYFLY_STAGE_MAKER, EPIPE, 2);
    }
    boxes_made(&made, descriptors, count);
}

static bool dispatch(const struct supervisor *self, const struct epoll_event *event)
{
    enum box_source source = (enum box_source)(event->data.u64 & 0xff);
    if (source == SOURCE_MAKER) {
        maker(self);
        return true;
    }
    if (source == SOURCE_RELAY) {
        relay_event((uint32_t)(event->data.u64 >> 8), event->events);
        return true;
    }
    if (source != SOURCE_CLIENT) {
        boxes_event((uint32_t)(event->data.u64 >> 8 & 0xffffff), (uint32_t)(event->data.u64 >> 32),
                    source, event->events);
        return true;
    }
    if (event->events & EPOLLOUT)
        link_flush();
    return !(event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || client();
}

static void run(const struct supervisor *self)
{
    struct epoll_event events[64];
    bool blocked = false;

    for (;;) {
        int count = epoll_wait(self->epoll, events, sizeof events / sizeof *events, boxes_tick());
        if (count < 0 && errno != EINTR)
            return;
        for (int i = 0; i < count; i++)
            if (!dispatch(self, &events[i]))
                return;
        if (link_blocked() != blocked) {
            blocked = !blocked;
            boxes_read_output(!blocked);
            watch(self, SUPERVISOR_SOCKET, SOURCE_CLIENT, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN,
                  EPOLL_CTL_MOD);
        }
    }
}

int main(void)
{
    static struct supervisor self;
    set_up(&self);
    run(&self);
    boxes_close_all(CLOSE_MS);
    close(self.maker);
    cgroup_close();
    return 0;
}
