/*
 * mayflyctl: the same box from a shell, without Redis or Node. For trying things and for tests.
 *
 *   mayflyctl run [--image NAME | --layer DIR ...] [limits] [--json] [--stdin FILE] -- argv...
 *
 * Exit status: the program's; 128 + signal when a signal or a limit ended it; 125 for a fault.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manifest.h"
#include "mayfly.h"

#define EXIT_FAULT 125

struct options {
    char layers[MAYFLY_LAYERS_MAX * 512]; /* NUL-terminated paths one after another */
    size_t layers_bytes;
    uint32_t layers_count;
    struct mayfly_step step;
    const char *supervisor, *state, *cwd, *input;
    const char *env[64];
    uint32_t env_count;
    bool json;
    uint32_t repeat, pool;
};

static const char usage_text[] =
    "usage: mayflyctl run [options] -- program [argument ...]\n"
    "  --image NAME          image of the store (default base)\n"
    "  --layer DIR           a layer instead of an image; repeat, lowest first\n"
    "  --state DIR           the store (default /var/lib/mayfly)\n"
    "  --cpu-ms N            CPU time (default 5000)      --wall-ms N      (default 10000)\n"
    "  --memory-bytes N      (default 256 MiB)            --disk-bytes N   (default 64 MiB)\n"
    "  --processes N         (default 64)                 --files N        (default 4096)\n"
    "  --output-bytes N      of each stream (default 1 MiB)\n"
    "  --file-bytes N        (default 64 MiB)             --stack-bytes N  (default 64 MiB)\n"
    "  --open-files N        (default 256)                --cpus N.N       (default 1)\n"
    "  --truncate            drop output beyond the limit instead of killing\n"
    "  --merge               standard error into standard output\n"
    "  --stdin FILE --cwd DIR --env NAME=VALUE --json --repeat N --pool N --supervisor PATH\n";

static _Noreturn void die(const char *what, const char *which, int error)
{
    fprintf(stderr, "mayflyctl: %s%s%s%s%s\n", what, which ? " " : "", which ? which : "",
            error ? ": " : "", error ? strerror(error) : "");
    exit(EXIT_FAULT);
}

static uint64_t number(const char *text, const char *option)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || *end || end == text || value == 0)
        die("wants a whole number above zero:", option, 0);
    return value;
}

static uint32_t small_number(const char *text, const char *option)
{
    uint64_t value = number(text, option);
    if (value > UINT32_MAX)
        die("too large:", option, 0);
    return (uint32_t)value;
}

static void add_layer(struct options *options, const char *path)
{
    size_t bytes = strlen(path) + 1;
    if (options->layers_count == MAYFLY_LAYERS_MAX ||
        options->layers_bytes + bytes > sizeof options->layers)
        die("too many layers", NULL, 0);
    memcpy(options->layers + options->layers_bytes, path, bytes);
    options->layers_bytes += bytes;
    options->layers_count++;
}

static void add_image(struct options *options, const char *name)
{
    int error = manifest_layers(options->state, name, options->layers, sizeof options->layers,
                                &options->layers_count);
    if (error)
        die("cannot read the image", name, -error);
}

enum option_code {
    OPTION_IMAGE = 256,
    OPTION_LAYER,
    OPTION_STATE,
    OPTION_CPU,
    OPTION_WALL,
    OPTION_MEMORY,
    OPTION_DISK,
    OPTION_PROCESSES,
    OPTION_FILES,
    OPTION_OUTPUT,
    OPTION_FILE,
    OPTION_STACK,
    OPTION_OPEN,
    OPTION_CPUS,
    OPTION_TRUNCATE,
    OPTION_MERGE,
    OPTION_STDIN,
    OPTION_CWD,
    OPTION_ENV,
    OPTION_JSON,
    OPTION_REPEAT,
    OPTION_POOL,
    OPTION_SUPERVISOR,
};

static const struct option long_options[] = {
    {"image", 1, 0, OPTION_IMAGE},
    {"layer", 1, 0, OPTION_LAYER},
    {"state", 1, 0, OPTION_STATE},
    {"cpu-ms", 1, 0, OPTION_CPU},
    {"wall-ms", 1, 0, OPTION_WALL},
    {"memory-bytes", 1, 0, OPTION_MEMORY},
    {"disk-bytes", 1, 0, OPTION_DISK},
    {"processes", 1, 0, OPTION_PROCESSES},
    {"files", 1, 0, OPTION_FILES},
    {"output-bytes", 1, 0, OPTION_OUTPUT},
    {"file-bytes", 1, 0, OPTION_FILE},
    {"stack-bytes", 1, 0, OPTION_STACK},
    {"open-files", 1, 0, OPTION_OPEN},
    {"cpus", 1, 0, OPTION_CPUS},
    {"truncate", 0, 0, OPTION_TRUNCATE},
    {"merge", 0, 0, OPTION_MERGE},
    {"stdin", 1, 0, OPTION_STDIN},
    {"cwd", 1, 0, OPTION_CWD},
    {"env", 1, 0, OPTION_ENV},
    {"json", 0, 0, OPTION_JSON},
    {"repeat", 1, 0, OPTION_REPEAT},
    {"pool", 1, 0, OPTION_POOL},
    {"supervisor", 1, 0, OPTION_SUPERVISOR},
    {0},
};

static void apply(struct options *o, int code, const char *name)
{
    switch (code) {
    case OPTION_LAYER:
        add_layer(o, optarg);
        break;
    case OPTION_STATE:
        o->state = optarg;
        break;
    case OPTION_CPU:
        o->step.cpu_time_us_max = number(optarg, name) * 1000;
        break;
    case OPTION_WALL:
        o->step.wall_time_us_max = number(optarg, name) * 1000;
        break;
    case OPTION_MEMORY:
        o->step.memory_bytes_max = number(optarg, name);
        break;
    case OPTION_DISK:
        o->step.disk_bytes_max = number(optarg, name);
        break;
    case OPTION_PROCESSES:
        o->step.processes_max = small_number(optarg, name);
        break;
    case OPTION_FILES:
        o->step.files_max = small_number(optarg, name);
        break;
    case OPTION_OUTPUT:
        o->step.output_bytes_max = number(optarg, name);
        break;
    case OPTION_FILE:
        o->step.file_bytes_max = number(optarg, name);
        break;
    case OPTION_STACK:
        o->step.stack_bytes_max = number(optarg, name);
        break;
    case OPTION_OPEN:
        o->step.open_files_max = small_number(optarg, name);
        break;
    case OPTION_CPUS:
        o->step.cpu_millis = (uint32_t)(strtod(optarg, NULL) * 1000);
        break;
    case OPTION_TRUNCATE:
        o->step.flags |= MAYFLY_STEP_TRUNCATE;
        break;
    case OPTION_MERGE:
        o->step.flags |= MAYFLY_STEP_MERGE_STDERR;
        break;
    case OPTION_STDIN:
        o->input = optarg;
        break;
    case OPTION_CWD:
        o->cwd = optarg;
        break;
    case OPTION_ENV:
        if (o->env_count == 64)
            die("too many:", name, 0);
        o->env[o->env_count++] = optarg;
        break;
    case OPTION_JSON:
        o->json = true;
        break;
    case OPTION_REPEAT:
        o->repeat = small_number(optarg, name);
        break;
    case OPTION_POOL:
        o->pool = small_number(optarg, name);
        break;
    case OPTION_SUPERVISOR:
        o->supervisor = optarg;
        break;
    default:
        fputs(usage_text, stderr);
        exit(EXIT_FAULT);
    }
}

/* The supervisor beside this program, unless said otherwise. */
static const char *default_supervisor(void)
{
    static char path[4096 + 32];
    ssize_t length = readlink("/proc/self/exe", path, 4096);
    if (length <= 0)
        die("cannot find", "/proc/self/exe", errno);
    path[length] = '\0';
    strcpy(strrchr(path, '/') + 1, "mayfly-supervisor");
    return path;
}

static int parse(int argc, char **argv, struct options *options)
{
    const char *image = "base";
    int code, index;

    *options = (struct options){.state = "/var/lib/mayfly",
                                .cwd = "/box",
                                .repeat = 1,
                                .step = {.size = sizeof options->step,
                                         .cpu_time_us_max = 5000000,
                                         .wall_time_us_max = 10000000,
                                         .memory_bytes_max = 256u << 20,
                                         .output_bytes_max = 1u << 20,
                                         .disk_bytes_max = 64u << 20,
                                         .file_bytes_max = 64u << 20,
                                         .stack_bytes_max = 64u << 20,
                                         .files_max = 4096,
                                         .processes_max = 64,
                                         .open_files_max = 256,
                                         .cpu_millis = 1000}};
    if (argc < 2 || strcmp(argv[1], "run") != 0) {
        fputs(usage_text, stderr);
        exit(EXIT_FAULT);
    }
    argc--;
    argv++;
    while ((code = getopt_long(argc, argv, "+", long_options, &index)) != -1) {
        if (code == OPTION_IMAGE)
            image = optarg;
        else
            apply(options, code, code == '?' ? "" : long_options[index].name);
    }
    if (optind >= argc)
        die("what program?", NULL, 0);
    if (options->step.cpu_millis == 0)
        die("wants a number above zero:", "cpus", 0);
    if (options->layers_count == 0)
        add_image(options, image);
    if (!options->supervisor)
        options->supervisor = default_supervisor();
    return optind + 1;
}

static size_t append(char *strings, size_t at, const char *text)
{
    size_t bytes = strlen(text) + 1;
    if (at + bytes > MAYFLY_STRINGS_BYTES_MAX)
        die("arguments too long", NULL, 0);
    memcpy(strings + at, text, bytes);
    return at + bytes;
}

static void wait_readable(int fd)
{
    struct pollfd ready = {fd, POLLIN, 0};
    while (poll(&ready, 1, -1) < 0 && errno == EINTR)
        ;
}

static void next(int fd, struct mayfly_event *event, uint8_t *data)
{
    int32_t got;
    while ((got = mayfly_receive(fd, event, data, MAYFLY_EVENT_DATA_MAX)) == 0)
        wait_readable(fd);
    if (got < 0)
        die("the supervisor is gone", NULL, -got);
    if (event->kind != MAYFLY_EVENT_FAULT)
        return;
    const char *stage = mayfly_stage_name(event->stage);
    fprintf(stderr, "mayflyctl: fault: %s (%u): %s\n", stage ? stage : "unknown stage",
            event->index, strerror(event->fault_errno));
    exit(EXIT_FAULT);
}

static void await(int fd, uint32_t kind)
{
    struct mayfly_event event;
    static uint8_t data[MAYFLY_EVENT_DATA_MAX];
    do
        next(fd, &event, data);
    while (event.kind != kind);
}

static void print_end(const struct mayfly_event *e, bool json)
{
    const char *outcome = mayfly_outcome_name(e->outcome);
    if (!outcome)
        die("unknown outcome", NULL, 0);
    const char *format =
        json ? "{\"outcome\":\"%s\",\"exitCode\":%d,\"signal\":%d,\"cpuTimeUs\":%" PRIu64
               ",\"cpuUserUs\":%" PRIu64 ",\"cpuSystemUs\":%" PRIu64 ",\"wallTimeUs\":%" PRIu64
               ",\"memoryBytesPeak\":%" PRIu64 ",\"processesPeak\":%u,\"oomKills\":%u"
               ",\"diskBytes\":%" PRIu64 ",\"contextSwitches\":%" PRIu64
               ",\"majorPageFaults\":%" PRIu64 ",\"counterReads\":%u,\"boxUs\":%" PRIu64 "}\n"
             : "%s, exit %d, signal %d · cpu %" PRIu64 " us (user %" PRIu64 ", system %" PRIu64
               ") · wall %" PRIu64 " us · memory %" PRIu64
               " · processes %u · oom kills %u · disk %" PRIu64 " · switches %" PRIu64
               " · major faults %" PRIu64 " · counter reads %u · box %" PRIu64 " us\n";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    fprintf(stderr, format, outcome, e->exit_code, e->signal, e->cpu_time_us, e->cpu_user_us,
            e->cpu_system_us, e->wall_time_us, e->memory_bytes_peak, e->processes_peak,
            e->oom_kills, e->disk_bytes, e->context_switches, e->major_page_faults,
            e->counter_reads, e->box_us);
#pragma GCC diagnostic pop
}

/* The contents of a file as the program's input. */
static uint8_t *read_input(const char *path, uint64_t *bytes)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        die("cannot read", path, errno);
    uint8_t *content = malloc((size_t)about.st_size + 1);
    if (!content || read(fd, content, (size_t)about.st_size) != about.st_size)
        die("cannot read", path, errno);
    close(fd);
    *bytes = (uint64_t)about.st_size;
    return content;
}

static int run_once(int fd, uint32_t box, const struct options *options, const char *strings,
                    const uint8_t *input, uint64_t input_bytes)
{
    static uint8_t data[MAYFLY_EVENT_DATA_MAX];
    struct mayfly_event event;
    struct mayfly_step step = options->step;
    struct mayfly_open box_request = {.size = sizeof box_request,
                                      .box = box,
                                      .image = 1,
                                      .files_max = step.files_max,
                                      .disk_bytes_max = step.disk_bytes_max};
    step.box = box;
    int32_t error = mayfly_open(fd, &box_request);
    if (!error)
        error = mayfly_follow(fd, box);
    if (!error)
        error = mayfly_step(fd, &step, (const uint8_t *)strings, input, input_bytes);
    if (error)
        die("cannot ask the supervisor", NULL, -error);
    for (;;) {
        next(fd, &event, data);
        if (event.kind == MAYFLY_EVENT_STEP_END)
            break;
        if (event.kind == MAYFLY_EVENT_OUTPUT &&
            write(event.stream == MAYFLY_STDOUT ? 1 : 2, data, event.data_bytes) < 0)
            die("cannot write output", NULL, errno);
    }
    struct mayfly_event end = event;
    mayfly_close(fd, box);
    await(fd, MAYFLY_EVENT_CLOSED);
    print_end(&end, options->json);
    return end.exit_code >= 0 ? end.exit_code : 128 + end.signal;
}

int main(int argc, char **argv)
{
    static struct options options;
    static char strings[MAYFLY_STRINGS_BYTES_MAX];
    int first = parse(argc, argv, &options), status = 0;
    uint64_t input_bytes = 0;
    uint8_t *input = options.input ? read_input(options.input, &input_bytes) : NULL;

    size_t bytes = append(strings, 0, options.cwd);
    for (int i = first; i < argc; i++)
        bytes = append(strings, bytes, argv[i]);
    bytes = append(strings, bytes, "PATH=/usr/local/bin:/usr/bin:/bin");
    bytes = append(strings, bytes, "HOME=/box");
    for (uint32_t i = 0; i < options.env_count; i++)
        bytes = append(strings, bytes, options.env[i]);
    options.step.strings_bytes = (uint32_t)bytes;
    options.step.argv_count = (uint32_t)(argc - first);
    options.step.env_count = 2 + options.env_count;

    struct mayfly_config config = {.size = sizeof config,
                                   .abi_version = MAYFLY_ABI_VERSION,
                                   .boxes_max = options.pool > 8 ? options.pool : 8,
                                   .pool_boxes = options.pool};
    int32_t pid;
    int32_t fd = mayfly_start(options.supervisor, &config, &pid);
    if (fd < 0)
        die("cannot start", options.supervisor, -fd);
    await(fd, MAYFLY_EVENT_READY);
    int32_t error = mayfly_image(fd, 1, MAYFLY_IMAGE_KEEP_READY, options.layers_count,
                                 options.layers);
    if (error)
        die("cannot take the image", NULL, -error);
    await(fd, MAYFLY_EVENT_IMAGE);
    for (uint32_t i = 0; i < options.repeat; i++)
        status = run_once(fd, i + 1, &options, strings, input, input_bytes);
    close(fd);
    while (mayfly_reap(pid, &(int32_t){0}) == -EAGAIN)
        usleep(1000);
    free(input);
    return status;
}
