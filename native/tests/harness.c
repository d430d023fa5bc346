#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "manifest.h"

static const char *supervisor_path;
static uint8_t *prey_archive;
static uint64_t prey_bytes;
static char layers[MAYFLY_LAYERS_MAX * 512];
static uint32_t layers_count;

int library;
int32_t supervisor;
uint32_t next_box = 1;
char captured[3][1 << 16];
static size_t captured_bytes[3];
uint32_t captured_events;

uint64_t slowness(void)
{
    const char *text = getenv("MAYFLY_TEST_SLOWNESS");
    uint64_t factor = text ? strtoull(text, NULL, 10) : 1;
    CHECK(factor >= 1 && factor <= 100);
    return factor;
}

uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void put_record(uint8_t **at, const char *path, uint32_t mode, const void *content, uint64_t bytes)
{
    uint32_t path_bytes = (uint32_t)strlen(path);
    memcpy(*at, &path_bytes, 4);
    memcpy(*at + 4, &mode, 4);
    memcpy(*at + 8, &bytes, 8);
    memcpy(*at + 16, path, path_bytes);
    memcpy(*at + 16 + path_bytes, content, bytes);
    *at += 16 + path_bytes + bytes;
}

static void load_prey(const char *path)
{
    struct stat about;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0 && fstat(file, &about) == 0);
    uint8_t *content = malloc((size_t)about.st_size);
    CHECK(content && read(file, content, (size_t)about.st_size) == about.st_size);
    close(file);
    prey_archive = malloc((size_t)about.st_size + 64);
    CHECK(prey_archive);
    uint8_t *end = prey_archive;
    put_record(&end, "/box/prey", 0755, content, (uint64_t)about.st_size);
    prey_bytes = (uint64_t)(end - prey_archive);
    free(content);
}

struct mayfly_event next_event(void)
{
    static uint8_t data[MAYFLY_EVENT_DATA_MAX];
    struct mayfly_event event;
    int32_t got;
    while ((got = mayfly_receive(library, &event, data, sizeof data)) == 0) {
        struct pollfd ready = {library, POLLIN, 0};
        CHECK(poll(&ready, 1, 20000 * (int)slowness()) == 1);
    }
    CHECK(got == 1);
    if (event.kind == MAYFLY_EVENT_OUTPUT) {
        captured_events++;
        uint32_t stream = event.stream - MAYFLY_STDOUT;
        CHECK(stream < 3);
        size_t room = sizeof captured[0] - 1 - captured_bytes[stream];
        size_t taken = event.data_bytes < room ? event.data_bytes : room;
        memcpy(captured[stream] + captured_bytes[stream], data, taken);
        captured_bytes[stream] += taken;
        captured[stream][captured_bytes[stream]] = '\0';
    }
    return event;
}

struct mayfly_event await(uint32_t kind)
{
    for (;;) {
        struct mayfly_event event = next_event();
        if (event.kind == kind)
            return event;
        if (event.kind == MAYFLY_EVENT_FAULT)
            fprintf(stderr, "fault: %s %d %s (box %u)\n", mayfly_stage_name(event.stage),
                    event.index, strerror(event.fault_errno), event.box);
        if (event.kind != MAYFLY_EVENT_OUTPUT && event.kind != MAYFLY_EVENT_PUT_END)
            fprintf(stderr, "event %u instead of %u; output: %s%s\n", event.kind, kind, captured[0],
                    captured[1]);
        CHECK(event.kind == MAYFLY_EVENT_OUTPUT || event.kind == MAYFLY_EVENT_PUT_END);
    }
}

static void start_supervisor(uint32_t pool)
{
    struct mayfly_config config = {.size = sizeof config,
                                   .abi_version = MAYFLY_ABI_VERSION,
                                   .boxes_max = 64,
                                   .pool_boxes = pool};
    library = mayfly_start(supervisor_path, &config, &supervisor);
    CHECK(library >= 0);
    await(MAYFLY_EVENT_READY);
    CHECK(mayfly_image(library, 1, MAYFLY_IMAGE_KEEP_READY, layers_count, layers) == 0);
    await(MAYFLY_EVENT_IMAGE);
}

void stop(void)
{
    int32_t status;
    close(library);
    while (mayfly_reap(supervisor, &status) == -EAGAIN)
        usleep(1000);
}

struct mayfly_step defaults(void)
{
    return (struct mayfly_step){.size = sizeof(struct mayfly_step),
                                .cpu_time_us_max = 5000000,
                                .wall_time_us_max = 10000000,
                                .memory_bytes_max = 256 * MIB,
                                .output_bytes_max = MIB,
                                .disk_bytes_max = 64 * MIB,
                                .file_bytes_max = 256 * MIB,
                                .stack_bytes_max = 8 * MIB,
                                .files_max = 4096,
                                .processes_max = 64,
                                .open_files_max = 256,
                                .cpu_millis = 1000};
}

uint32_t open_box(void)
{
    struct mayfly_open request = {.size = sizeof request,
                                  .box = next_box++,
                                  .image = 1,
                                  .files_max = 4096,
                                  .disk_bytes_max = 64 * MIB};
    CHECK(mayfly_open(library, &request) == 0);
    return request.box;
}

void put_prey(uint32_t box)
{
    CHECK(mayfly_put(library, box, prey_archive, prey_bytes) == 0);
}

void ask_step(uint32_t box, struct mayfly_step step, const char *command, const char *input)
{
    char strings[4096];
    int bytes = snprintf(strings, sizeof strings, "/box %s PATH=/usr/bin:/bin", command);
    step.box = box;
    step.argv_count = 0;
    step.env_count = 1;
    for (int i = 0; i < bytes; i++)
        if (strings[i] == ' ') {
            strings[i] = '\0';
            step.argv_count++;
        }
    step.argv_count--;
    step.strings_bytes = (uint32_t)bytes + 1;
    memset(captured_bytes, 0, sizeof captured_bytes);
    captured_events = 0;
    captured[0][0] = captured[1][0] = captured[2][0] = '\0';
    CHECK(mayfly_step(library, &step, (const uint8_t *)strings, (const uint8_t *)input,
                      input ? strlen(input) : 0) == 0);
}

double close_box(uint32_t box)
{
    uint64_t before = now_us();
    CHECK(mayfly_close(library, box) == 0);
    CHECK(await(MAYFLY_EVENT_CLOSED).box == box);
    return (double)(now_us() - before) / 1000;
}

struct mayfly_event run(struct mayfly_step step, const char *command)
{
    uint32_t box = open_box();
    put_prey(box);
    ask_step(box, step, command, NULL);
    struct mayfly_event end = await(MAYFLY_EVENT_STEP_END);
    close_box(box);
    return end;
}

/*
 * Control groups of the supervisors that this test started, as their children's tell: paths in each
 * hierarchy, where there are several.
 */
static char groups[64][256];
static int groups_count;

static ssize_t read_proc(const char *entry, const char *file, char *text, size_t bytes)
{
    char path[300];
    snprintf(path, sizeof path, "/proc/%s/%s", entry, file);
    int proc = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = proc < 0 ? -1 : read(proc, text, bytes - 1);
    if (proc >= 0)
        close(proc);
    text[got < 0 ? 0 : got] = '\0';
    return got;
}

/* Remembers the group of the supervisor that was just started, once its box maker is in it. */
static bool remember_group(void)
{
    DIR *entries = opendir("/proc");
    int before = groups_count;
    CHECK(entries && groups_count < 64);
    for (struct dirent *e; groups_count == before && (e = readdir(entries));) {
        char text[4096], parent[32];
        snprintf(parent, sizeof parent, "PPid:\t%d\n", supervisor);
        if (e->d_name[0] < '0' || e->d_name[0] > '9' ||
            read_proc(e->d_name, "status", text, sizeof text) <= 0 || !strstr(text, parent))
            continue;
        read_proc(e->d_name, "cgroup", text, sizeof text);
        const char *name = strstr(text, "/mayfly-"), *path = name;
        while (path && path[-1] != ':')
            path--;
        if (name)
            snprintf(groups[groups_count++], sizeof groups[0], "%.*s",
                     (int)(name - path + 1) + (int)strcspn(name + 1, "/\n"), path);
    }
    closedir(entries);
    return groups_count > before;
}

int count_groups(void)
{
    static const char *const hierarchies[] = {"pids",    "memory", "cpu", "cpuacct",
                                              "freezer", "blkio",  "."};
    int left = 0;
    for (int g = 0; g < groups_count; g++)
        for (size_t i = 0; i < sizeof hierarchies / sizeof *hierarchies; i++) {
            char path[300];
            snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s", hierarchies[i], groups[g]);
            left += access(path, F_OK) == 0;
        }
    return left;
}

int count_processes(void)
{
    int processes = 0;
    DIR *entries = opendir("/proc");
    CHECK(entries);
    for (struct dirent *e; (e = readdir(entries));) {
        char text[4096], status[512];
        if (e->d_name[0] < '0' || e->d_name[0] > '9' ||
            read_proc(e->d_name, "cgroup", text, sizeof text) <= 0)
            continue;
        for (int g = 0; g < groups_count; g++)
            if (strstr(text, groups[g]))
                processes += read_proc(e->d_name, "status", status, sizeof status) > 0 &&
                             !strstr(status, "State:\tZ");
    }
    closedir(entries);
    return processes;
}

void start(uint32_t pool)
{
    start_supervisor(pool);
    for (int i = 0; !remember_group(); i++) {
        CHECK(i < 1000);
        usleep(1000);
    }
}

void open_harness(const char *supervisor_program, const char *prey)
{
    const char *state = getenv("MAYFLY_STATE_DIR");
    supervisor_path = supervisor_program;
    load_prey(prey);
    int error = manifest_layers(state ? state : "/var/lib/mayfly", "base", layers, sizeof layers,
                                &layers_count);
    if (error)
        fprintf(stderr, "image base: %s; run infra/bootstrap\n", strerror(-error));
    CHECK(error == 0);
}

const char *top_layer(void)
{
    const char *layer = layers;
    for (uint32_t i = 1; i < layers_count; i++)
        layer += strlen(layer) + 1;
    return layer;
}
