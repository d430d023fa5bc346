/* The library against a supervisor that the test plays itself: what goes over the wire, and what is refused. */
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "packet.h"

static int library, supervisor;

static void connect_pair(void)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    library = pair[0];
    supervisor = pair[1];
    CHECK(fcntl(library, F_SETFL, O_NONBLOCK) == 0);
}

static void nobody_changes(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int writable = open(path, O_RDWR | O_CLOEXEC);
    CHECK(writable >= 0);
    CHECK(pwrite(writable, "no", 2, 0) < 0 && errno == EPERM);
    CHECK(ftruncate(writable, 0) < 0 && errno == EPERM);
    close(writable);
}

static void step_travels_whole(void)
{
    static const char strings[] = "/box\0true\0A=1";
    struct mayfly_step step = {.size = sizeof step,
                               .box = 7,
                               .argv_count = 1,
                               .env_count = 1,
                               .strings_bytes = sizeof strings,
                               .cpu_time_us_max = 5};
    struct {
        struct request head;
        char tail[64];
    } got;
    int fd = -1, count = 1;
    char input[8];

    CHECK(mayfly_step(library, &step, (const uint8_t *)strings, (const uint8_t *)"hi", 2) == 0);
    long length = packet_receive(supervisor, &got, sizeof got, &fd, &count, MSG_DONTWAIT);
    CHECK(length == (long)(sizeof got.head + sizeof strings));
    CHECK(got.head.kind == REQUEST_STEP && got.head.box == 7 && count == 1);
    CHECK(got.head.body.step.cpu_time_us_max == 5);
    CHECK(memcmp(got.tail, strings, sizeof strings) == 0);
    CHECK(read(fd, input, sizeof input) == 2 && memcmp(input, "hi", 2) == 0);
    nobody_changes(fd);
    close(fd);
}

static void memory_travels_sealed_or_not_at_all(void)
{
    struct mayfly_step step = {.size = sizeof step, .box = 7};
    struct request got;
    int fd = -1, count = 1;
    char input[8];
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int32_t memory = mayfly_memory();

    CHECK(mayfly_memory_append(memory, (const uint8_t *)"hi ", 3) == 0);
    CHECK(mayfly_memory_copy(memory, file, 1, 3) == 3);
    CHECK(mayfly_memory_copy(memory, file, 1u << 30, 3) == 0);
    CHECK(mayfly_put_memory(library, 7, memory) == -EINVAL);
    CHECK(mayfly_put_memory(library, 7, file) == -EINVAL);
    CHECK(mayfly_step_memory(library, &step, NULL, memory) == -EINVAL);
    CHECK(mayfly_step_memory(library, &step, NULL, file) == -EINVAL);
    CHECK(mayfly_memory_seal(memory) == 0);
    CHECK(mayfly_put_memory(library, 7, memory) == 0);
    CHECK(packet_receive(supervisor, &got, sizeof got, &fd, &count, MSG_DONTWAIT) == sizeof got);
    CHECK(got.kind == REQUEST_PUT && count == 1);
    CHECK(pread(fd, input, sizeof input, 0) == 6 && memcmp(input, "hi ELF", 6) == 0);
    nobody_changes(fd);
    close(fd);
    close(file);
    close(memory);
}

static void wrong_sizes_are_refused(void)
{
    struct mayfly_step step = {.size = sizeof step - 1};
    struct mayfly_open box = {.size = 1};
    struct mayfly_collect collect = {.size = sizeof collect + 8};
    struct mayfly_config config = {.size = sizeof config, .abi_version = MAYFLY_ABI_VERSION + 1};
    int32_t pid = 0;

    CHECK(mayfly_step(library, &step, NULL, NULL, 0) == -EINVAL);
    step = (struct mayfly_step){.size = sizeof step, .strings_bytes = MAYFLY_STRINGS_BYTES_MAX + 1};
    CHECK(mayfly_step(library, &step, NULL, NULL, 0) == -EINVAL);
    CHECK(mayfly_open(library, &box) == -EINVAL);
    CHECK(mayfly_collect(library, &collect, NULL) == -EINVAL);
    CHECK(mayfly_start("/nonexistent", &config, &pid) == -EINVAL && pid == 0);
    CHECK(mayfly_image(library, 1, 0, 0, "") == -EINVAL);
    CHECK(mayfly_image(library, 1, 0, MAYFLY_LAYERS_MAX + 1, "") == -EINVAL);
    CHECK(mayfly_image(library, 1, 2, 1, "/") == -EINVAL);
    CHECK(mayfly_image(library, 1, 0, 1, "/nonexistent") == -ENOENT);
}

static void events_are_checked(void)
{
    struct mayfly_event event = {.size = sizeof event,
                                 .kind = MAYFLY_EVENT_OUTPUT,
                                 .box = 3,
                                 .stream = MAYFLY_STDERR,
                                 .data_bytes = 5};
    static uint8_t data[MAYFLY_EVENT_DATA_MAX];
    struct mayfly_event got;

    CHECK(mayfly_receive(library, &got, data, sizeof data) == 0);
    CHECK(packet_send(supervisor, &event, sizeof event, "hello", 5, NULL, 0, 0) == 0);
    CHECK(mayfly_receive(library, &got, data, sizeof data) == 1);
    CHECK(got.box == 3 && got.fd == -1 && memcmp(data, "hello", 5) == 0);
    /* a length that is not the event's */
    event.data_bytes = 6;
    CHECK(packet_send(supervisor, &event, sizeof event, "hello", 5, NULL, 0, 0) == 0);
    CHECK(mayfly_receive(library, &got, data, sizeof data) == -EBADMSG);
    event.size--;
    CHECK(packet_send(supervisor, &event, sizeof event, NULL, 0, NULL, 0, 0) == 0);
    CHECK(mayfly_receive(library, &got, data, sizeof data) == -EBADMSG);
    CHECK(packet_send(supervisor, &event, sizeof event / 2, NULL, 0, NULL, 0, 0) == 0);
    CHECK(mayfly_receive(library, &got, data, sizeof data) == -EBADMSG);
}

static void a_full_socket_says_so_and_loses_nothing(void)
{
    int sent = 0, received = 0;
    struct request request;
    while (mayfly_cancel(library, (uint32_t)sent + 1) == 0)
        CHECK(++sent < 1000000);
    CHECK(mayfly_cancel(library, 1) == -EAGAIN);
    while (packet_receive(supervisor, &request, sizeof request, NULL, NULL, MSG_DONTWAIT) ==
           sizeof request)
        CHECK(request.box == (uint32_t)++received);
    CHECK(received == sent && sent > 0);
}

static void a_missing_supervisor_is_an_error(void)
{
    struct mayfly_config config = {
        .size = sizeof config, .abi_version = MAYFLY_ABI_VERSION, .boxes_max = 1};
    int32_t pid = 0;
    struct mayfly_event event;
    static uint8_t data[MAYFLY_EVENT_DATA_MAX];
    CHECK(mayfly_start("/nonexistent/supervisor", &config, &pid) == -ENOENT);
    close(supervisor);
    CHECK(mayfly_receive(library, &event, data, sizeof data) == -EPIPE);
}

static void names_are_complete(void)
{
    for (uint32_t stage = 1; stage <= MAYFLY_STAGE_TERMINAL; stage++)
        CHECK(mayfly_stage_name(stage) != NULL);
    CHECK(mayfly_stage_name(0) == NULL && mayfly_stage_name(MAYFLY_STAGE_TERMINAL + 1) == NULL);
    CHECK(strcmp(mayfly_outcome_name(MAYFLY_OUTCOME_MEMORY_LIMIT), "memory_limit") == 0);
    CHECK(mayfly_outcome_name(0) == NULL && mayfly_outcome_name(9) == NULL);
}

int main(void)
{
    connect_pair();
    step_travels_whole();
    memory_travels_sealed_or_not_at_all();
    wrong_sizes_are_refused();
    events_are_checked();
    a_full_socket_says_so_and_loses_nothing();
    names_are_complete();
    a_missing_supervisor_is_an_error();
    return 0;
}
