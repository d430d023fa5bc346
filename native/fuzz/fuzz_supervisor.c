/*
 * What the supervisor is told, by whoever: packets of the library, answers of the maker, reports of pid 1 and of
 * waiters, in any order and of any content. The sources are the real ones; only control groups are stubs, and
 * no descriptor is a real process's, so that nothing can be killed.
 *
 * An input is a sequence of: operation, length, bytes.
 */
#include <stdlib.h>
#include <sys/eventfd.h>

int supervisor_main(void);
#define main supervisor_main
#include "../src/supervisor.c"
#undef main
#undef ID_REGIONS
#include "../src/boxes.c"
#undef IMAGES_MAX
#include "../src/images.c"

static struct supervisor self;
static int library_end, maker_end;

static int memory(void)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0)
        abort();
    return fd;
}

static void start(void)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0 ||
        dup2(pair[0], SUPERVISOR_SOCKET) < 0)
        abort();
    if (pair[0] != SUPERVISOR_SOCKET)
        close(pair[0]);
    library_end = fcntl(pair[1], F_DUPFD_CLOEXEC, 20);
    close(pair[1]);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        abort();
    self.maker = pair[0];
    maker_end = pair[1];
    self.epoll = epoll_create1(EPOLL_CLOEXEC);
    self.config = (struct mayfly_config){sizeof self.config, MAYFLY_ABI_VERSION, 3, 1,
                                         UINT64_C(1) << 26};
    memset(images, 0, sizeof images);
    images_end = 0;
    if (cpus_open() != 0 ||
        boxes_open(&self.config, self.epoll, self.maker, 0x70000000u, false) != 0)
        abort();
    images_add(1, true, (const int[]){-1}, 1);
}

static void stop(void)
{
    for (uint32_t i = 0; i < boxes_count; i++)
        if (boxes[i].state != BOX_FREE)
            bury(&boxes[i]);
    for (uint32_t i = 0; i < images_end; i++)
        free(images[i].warm);
    free(boxes);
    close(library_end);
    close(maker_end);
    close(self.maker);
    close(self.epoll);
    link_flush(); /* nobody listens: what is kept goes */
    close(SUPERVISOR_SOCKET);
}

static void drain(int fd)
{
    static char packet[sizeof(struct mayfly_event) + MAYFLY_EVENT_DATA_MAX];
    int descriptors[8], count = 8;
    while (packet_receive(fd, packet, sizeof packet, descriptors, &count, MSG_DONTWAIT) > 0) {
        close_descriptors(descriptors, count);
        count = 8;
    }
}

/* The other ends of a box, by place in the table. */
static int init_ends[64], waiter_ends[64];

/* As pid 1: takes what the first waiter would get, and lets it write. */
static void take_waiter(uint32_t index, const uint8_t *bytes, size_t length)
{
    static struct init_request request;
    int handed[PACKET_DESCRIPTORS_MAX], count = PACKET_DESCRIPTORS_MAX;
    if (packet_receive(init_ends[index], &request, sizeof request, handed, &count, MSG_DONTWAIT) !=
            sizeof request ||
        count < 3)
        return;
    close(waiter_ends[index]);
    waiter_ends[index] = handed[0];
    if (write(handed[1], bytes, length) != (ssize_t)length)
        abort();
    close_descriptors(handed + 1, count - 1);
}

static void send_prepared(uint32_t index)
{
    const struct init_report prepared = {.kind = INIT_PREPARED};
    int pidfd = eventfd(0, EFD_CLOEXEC);
    packet_send(init_ends[index], &prepared, sizeof prepared, NULL, 0, &pidfd, 1, MSG_DONTWAIT);
    close(pidfd);
    boxes_event(index, boxes[index].serial, SOURCE_INIT, EPOLLIN);
}

static void answer_as_maker(const uint8_t *bytes, size_t length)
{
    struct make_request request;
    int init_end = -1, count = 1;
    if (packet_receive(maker_end, &request, sizeof request, &init_end, &count, MSG_DONTWAIT) !=
            sizeof request ||
        count != 1)
        return;
    struct made made = {.box = request.box, .stage = length > 0 && bytes[0] > 200 ? bytes[0] : 0};
    const int sent[MADE_DESCRIPTORS] = {
        [MADE_INIT_PIDFD] = eventfd(0, EFD_CLOEXEC), [MADE_DISK] = memory()};
    packet_send(maker_end, &made, sizeof made, NULL, 0, sent,
                made.stage ? 0 : MADE_DESCRIPTORS - (length > 1 && bytes[1] > 250), MSG_DONTWAIT);
    close_descriptors(sent, MADE_DESCRIPTORS);
    uint32_t index = 0;
    while (index < boxes_count && index < 64 &&
           (boxes[index].state != BOX_MAKING || boxes[index].serial != made.box))
        index++;
    if (index == boxes_count || index == 64) {
        close(init_end);
        maker(&self);
        return;
    }
    close(init_ends[index]);
    init_ends[index] = init_end;
    take_waiter(index, bytes, length);
    maker(&self);
    if (length > 2 && bytes[2] & 1)
        send_prepared(index);
}

/* A request whose head is sound, so that what comes behind the first checks is reached. */
static bool ask(const uint8_t *bytes, size_t length, bool raw)
{
    static struct {
        struct request head;
        char tail[MAYFLY_STRINGS_BYTES_MAX];
    } packet;
    if (raw) {
        packet_send(library_end, bytes, length, NULL, 0, NULL, 0, MSG_DONTWAIT);
        return client();
    }
    size_t head = length < sizeof packet.head ? length : sizeof packet.head;
    memset(&packet, 0, sizeof packet.head);
    memcpy(&packet.head, bytes, head);
    packet.head.abi_version = MAYFLY_ABI_VERSION;
    packet.head.kind = packet.head.kind % 19;
    if (packet.head.kind == REQUEST_IMAGE)
        packet.head.kind = REQUEST_OPEN; /* would attach a mount */
    packet.head.box = packet.head.box % 5;
    packet.head.tail_bytes = (uint32_t)(length - head);
    memcpy(packet.tail, bytes + head, length - head);
    if (packet.head.kind == REQUEST_OPEN) {
        packet.head.body.open.box = packet.head.box;
        packet.head.body.open.image = 1 + packet.head.body.open.image % 3;
    }
    if (packet.head.kind == REQUEST_LAYER) {
        packet.head.body.layer.size = sizeof packet.head.body.layer;
        packet.head.body.layer.base = 1 + packet.head.body.layer.base % 3;
        packet.head.body.layer.image = 2 + packet.head.body.layer.image % 2;
        packet.head.body.layer.pooled %= 2;
    }
    if (packet.head.kind == REQUEST_WARM) {
        packet.head.box = 2 + packet.head.box % 2;
        packet.head.body.step.box = 1 + packet.head.body.step.box % 3;
    }
    if ((packet.head.kind == REQUEST_STEP || packet.head.kind == REQUEST_WARM) &&
        packet.head.body.step.flags & 0x100)
        packet.head.body.step.strings_bytes = packet.head.tail_bytes;
    if (packet.head.kind == REQUEST_COLLECT)
        packet.head.body.collect.patterns_bytes = packet.head.tail_bytes;
    int fd = head > 20 && bytes[20] & 1 ? memory() : -1;
    packet_send(library_end, &packet, sizeof packet.head + packet.head.tail_bytes, NULL, 0, &fd,
                fd >= 0, MSG_DONTWAIT);
    box_close_descriptor(&fd);
    return client();
}

static void report(const uint8_t *bytes, size_t length, bool init)
{
    uint32_t index = length > 0 ? bytes[0] % boxes_count : 0;
    struct init_report as_init = {0};
    struct waiter_report as_waiter = {0};
    int fd = length > 1 && bytes[1] & 1 ? eventfd(0, EFD_CLOEXEC) : -1;
    size_t bytes_of = init ? sizeof as_init : sizeof as_waiter;
    void *to = init ? (void *)&as_init : (void *)&as_waiter;
    if (length > 2)
        memcpy(to, bytes + 2, length - 2 < bytes_of ? length - 2 : bytes_of);
    if (length > 1 && bytes[1] & 2)
        bytes_of--; /* cut short */
    packet_send(init ? init_ends[index] : waiter_ends[index], to, bytes_of, NULL, 0, &fd,
                init && fd >= 0, MSG_DONTWAIT);
    box_close_descriptor(&fd);
    boxes_event(index, boxes[index].serial, init ? SOURCE_INIT : SOURCE_WAITER, EPOLLIN);
}

static bool one(uint8_t operation, const uint8_t *bytes, size_t length)
{
    switch (operation % 8) {
    case 0:
        return ask(bytes, length, true);
    case 1:
    case 2:
        return ask(bytes, length, false);
    case 3:
        answer_as_maker(bytes, length);
        return true;
    case 4:
        report(bytes, length, true);
        return true;
    case 5:
        report(bytes, length, false);
        return true;
    case 6:
        if (length >= 2)
            boxes_event(bytes[0] % boxes_count, boxes[bytes[0] % boxes_count].serial,
                        (enum box_source)(bytes[1] % 8), EPOLLIN);
        return true;
    default:
        (void)boxes_tick();
        return true;
    }
}

/* The fuzzer keeps files of its own open: none of them may get the number that is the library's. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return dup2(2, SUPERVISOR_SOCKET) < 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int i = 0; i < 64; i++)
        init_ends[i] = waiter_ends[i] = -1;
    start();
    bool going = true;
    for (size_t at = 0; going && at + 3 <= size;) {
        size_t length = (size_t)data[at + 1] | (size_t)data[at + 2] << 8;
        if (length > size - at - 3)
            length = size - at - 3;
        going = one(data[at], data + at + 3, length);
        at += 3 + length;
        drain(library_end);
        link_flush();
    }
    for (int i = 0; i < 64; i++) {
        box_close_descriptor(&init_ends[i]);
        box_close_descriptor(&waiter_ends[i]);
    }
    stop();
    return 0;
}
