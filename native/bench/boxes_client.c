#include "boxes_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mayfly.h"

#define MIB (1024u * 1024u)
/* Far beyond what any of this takes, so that a hang is a failure and not a hang. */
#define EVENT_WAIT_MS 30000

static struct mayfly_event next_event(const struct client *client)
{
    static uint8_t data[MAYFLY_EVENT_DATA_MAX];
    struct mayfly_event event;
    int32_t got;
    while ((got = mayfly_receive(client->fd, &event, data, sizeof data)) == 0) {
        struct pollfd ready = {client->fd, POLLIN, 0};
        if (poll(&ready, 1, EVENT_WAIT_MS) == 0)
            die("the supervisor says nothing", ETIMEDOUT);
    }
    if (got < 0)
        die("the supervisor is gone", -got);
    if (event.kind == MAYFLY_EVENT_FAULT)
        die(mayfly_stage_name(event.stage), event.fault_errno);
    return event;
}

static struct mayfly_event await(const struct client *client, uint32_t kind)
{
    struct mayfly_event event;
    do
        event = next_event(client);
    while (event.kind != kind);
    return event;
}

struct client client_start(uint32_t boxes_max, uint32_t pool)
{
    struct mayfly_config config = {.size = sizeof config,
                                   .abi_version = MAYFLY_ABI_VERSION,
                                   .boxes_max = boxes_max,
                                   .pool_boxes = pool};
    struct client client = {.next_box = 1};
    client.fd = mayfly_start(places.supervisor, &config, &client.pid);
    if (client.fd < 0)
        die(places.supervisor, -client.fd);
    await(&client, MAYFLY_EVENT_READY);
    return client;
}

void client_load_image(struct client *client)
{
    static char paths[sizeof places.base_layers + sizeof places.hello_layer];
    size_t bytes = 0;
    for (unsigned i = 0; i < places.base_layers_count; i++)
        bytes += strlen(places.base_layers + bytes) + 1;
    memcpy(paths, places.base_layers, bytes);
    snprintf(paths + bytes, sizeof paths - bytes, "%s", places.hello_layer);
    int32_t error = mayfly_image(client->fd, 1, MAYFLY_IMAGE_KEEP_READY,
                                 places.base_layers_count + 1, paths);
    if (error)
        die("image", -error);
    await(client, MAYFLY_EVENT_IMAGE);
}

void client_stop(const struct client *client)
{
    int32_t status;
    close(client->fd);
    while (mayfly_reap(client->pid, &status) == -EAGAIN)
        sleep_ms(1);
}

/* The limits are those that a job has by default. */
static uint32_t ask(struct client *client, const struct program *program)
{
    char strings[512];
    size_t bytes = 0;
    uint32_t count = 0;
    struct mayfly_open box = {.size = sizeof box,
                              .box = client->next_box++,
                              .image = 1,
                              .files_max = 4096,
                              .disk_bytes_max = 64 * MIB};
    bytes += (size_t)sprintf(strings, "/box") + 1;
    for (; program->argv[count]; count++)
        bytes += (size_t)sprintf(strings + bytes, "%s", program->argv[count]) + 1;
    bytes += (size_t)sprintf(strings + bytes, "PATH=/usr/local/bin:/usr/bin:/bin") + 1;
    struct mayfly_step step = {.size = sizeof step,
                               .box = box.box,
                               .cpu_time_us_max = 5000000,
                               .wall_time_us_max = 10000000,
                               .memory_bytes_max = 256 * MIB,
                               .output_bytes_max = MIB,
                               .disk_bytes_max = 64 * MIB,
                               .file_bytes_max = 64 * MIB,
                               .stack_bytes_max = 64 * MIB,
                               .files_max = 4096,
                               .processes_max = 64,
                               .open_files_max = 256,
                               .cpu_millis = 1000,
                               .argv_count = count,
                               .env_count = 1,
                               .strings_bytes = (uint32_t)bytes};
    int32_t error = mayfly_open(client->fd, &box);
    if (!error)
        error = mayfly_step(client->fd, &step, (const uint8_t *)strings, NULL, 0);
    if (error)
        die("request", -error);
    return box.box;
}

static void check_end(const struct mayfly_event *event, const struct program *program)
{
    char what[256];
    if (event->outcome == MAYFLY_OUTCOME_EXITED && event->exit_code == 0)
        return;
    snprintf(what, sizeof what, "%s in a box: %s, exit code %d", program->name,
             mayfly_outcome_name(event->outcome), event->exit_code);
    die(what, 0);
}

struct box_times client_run(struct client *client, const struct program *program)
{
    double before = now_ms();
    uint32_t box = ask(client, program);
    struct mayfly_event event = await(client, MAYFLY_EVENT_STEP_END);
    struct box_times times = {.ended_ms = now_ms() - before,
                              .box_ms = (double)event.box_us / 1e3,
                              .wall_ms = (double)event.wall_time_us / 1e3};
    check_end(&event, program);
    mayfly_close(client->fd, box);
    await(client, MAYFLY_EVENT_CLOSED);
    times.destroyed_ms = now_ms() - before;
    return times;
}

long client_flood(struct client *client, const struct flood *flood)
{
    double begun[2];
    uint32_t box[2] = {0, 0};
    long asked = 0, count = 0;
    int running = 0;
    for (; running < flood->at_once && asked < flood->boxes; running++, asked++) {
        begun[running] = now_ms();
        box[running] = ask(client, flood->program);
    }
    while (running > 0) {
        struct mayfly_event event = next_event(client);
        int i = event.box == box[0] ? 0 : 1;
        if (event.kind == MAYFLY_EVENT_STEP_END) {
            check_end(&event, flood->program);
            if (flood->latency)
                series_add(flood->latency, now_ms() - begun[i]);
            mayfly_close(client->fd, box[i]);
        } else if (event.kind == MAYFLY_EVENT_CLOSED) {
            count++;
            if (flood->ended)
                flood->ended(count);
            begun[i] = now_ms();
            if (asked == flood->boxes || begun[i] >= flood->until_ms) {
                running--;
                continue;
            }
            asked++;
            box[i] = ask(client, flood->program);
        }
    }
    return count;
}
