/*
 * Real boxes through the library: one row for each limit, files in and out, faults, accuracy, and what must
 * not be left behind. Usage: test_box <supervisor> <prey>; image "base" of $MAYFLY_STATE_DIR.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "harness.h"

/* One row for each limit. Zero in a column of the middle: the default limit. */
static const struct row {
    const char *title, *command;
    uint64_t cpu_ms, wall_ms, memory_bytes, output_bytes, disk_bytes;
    uint32_t processes, files, flags;
    uint32_t outcome;
    int32_t exit_code, signal;
    uint64_t cpu_ms_least, cpu_ms_most, memory_least, memory_most;
    uint32_t processes_most;
} rows[] = {
#define O(x) .outcome = MAYFLY_OUTCOME_##x
    {"returns 0", "/box/prey exit 0", O(EXITED), .cpu_ms_most = 200},
    {"returns 7", "/box/prey exit 7", O(EXITED), .exit_code = 7},
    {"137 is an exit code, not an OOM kill", "/box/prey exit 137", O(EXITED), .exit_code = 137},
    {"dies of SIGSEGV", "/box/prey signal 11", O(SIGNALED), .exit_code = -1, .signal = 11},
    {"dies of SIGKILL by its own hand", "/box/prey signal 9", O(SIGNALED), .exit_code = -1,
     .signal = 9},
    {"no such program", "/box/nothing", O(EXITED), .exit_code = 127},
    {"not a program", "/etc/passwd", O(EXITED), .exit_code = 126},
    {"CPU", "/box/prey burn 0", .cpu_ms = 1000, O(CPU_LIMIT), .exit_code = -1, .signal = 9,
     .cpu_ms_least = 1000, .cpu_ms_most = 1100},
    {"CPU of four threads", "/box/prey burn-threads 0", .cpu_ms = 1000, O(CPU_LIMIT),
     .exit_code = -1, .signal = 9, .cpu_ms_least = 1000, .cpu_ms_most = 1100},
    {"CPU of a child", "/box/prey burn-child 0", .cpu_ms = 1000, O(CPU_LIMIT), .exit_code = -1,
     .signal = 9, .cpu_ms_least = 1000, .cpu_ms_most = 1100},
    {"CPU of a grandchild", "/box/prey burn-grandchild 0", .cpu_ms = 1000, O(CPU_LIMIT),
     .exit_code = -1, .signal = 9, .cpu_ms_least = 1000, .cpu_ms_most = 1100},
    {"wall time of a sleeper", "/box/prey sleep 60000", .wall_ms = 500, O(WALL_LIMIT),
     .exit_code = -1, .signal = 9, .cpu_ms_most = 100},
    {"wall time of a program that stops itself", "/box/prey stop", .wall_ms = 500, O(WALL_LIMIT),
     .exit_code = -1, .signal = 9},
    {"memory", "/box/prey touch 268435456", .memory_bytes = 64 * MIB, O(MEMORY_LIMIT),
     .exit_code = -1, .signal = 9, .memory_least = 60 * MIB, .memory_most = 64 * MIB},
    {"memory of a child whose parent lives on", "/box/prey touch-child 268435456",
     .memory_bytes = 64 * MIB, O(MEMORY_LIMIT), .exit_code = -1, .signal = 9,
     .memory_least = 60 * MIB, .memory_most = 64 * MIB},
    {"memory below the limit", "/box/prey touch 33554432", .memory_bytes = 64 * MIB, O(EXITED),
     .memory_least = 32 * MIB, .memory_most = 35 * MIB},
    {"processes", "/box/prey bomb", .processes = 16, .cpu_ms = 5000, .wall_ms = 500, O(WALL_LIMIT),
     .exit_code = -1, .signal = 9, .processes_most = 16},
    {"processes that hide from their session", "/box/prey daemons", .processes = 16, .wall_ms = 500,
     O(WALL_LIMIT), .exit_code = -1, .signal = 9, .processes_most = 16},
    {"standard output", "/box/prey flood 1", O(OUTPUT_LIMIT), .exit_code = -1, .signal = 9},
    {"standard error", "/box/prey flood 2", O(OUTPUT_LIMIT), .exit_code = -1, .signal = 9},
    {"output, truncated", "/usr/bin/head -c 8388608 /dev/zero", .flags = MAYFLY_STEP_TRUNCATE,
     O(EXITED)},
    {"disk", "/box/prey fill", .disk_bytes = 16 * MIB, O(DISK_LIMIT), .exit_code = 3},
    {"disk through /tmp", "/box/prey fill-tmp", .disk_bytes = 16 * MIB, O(DISK_LIMIT),
     .exit_code = 3},
    {"disk through /dev/shm", "/box/prey fill-shm", .disk_bytes = 16 * MIB, O(DISK_LIMIT),
     .exit_code = 3},
    {"disk larger than memory", "/box/prey fill", .memory_bytes = 32 * MIB, .disk_bytes = 64 * MIB,
     O(MEMORY_LIMIT), .exit_code = -1, .signal = 9, .memory_most = 32 * MIB},
    {"inodes", "/box/prey many-files", .files = 1000, O(DISK_LIMIT), .exit_code = 3},
#undef O
};

static struct mayfly_step limits_of(const struct row *row)
{
    struct mayfly_step step = defaults();
    if (row->cpu_ms)
        step.cpu_time_us_max = row->cpu_ms * 1000;
    if (row->wall_ms)
        step.wall_time_us_max = row->wall_ms * 1000;
    if (row->memory_bytes)
        step.memory_bytes_max = row->memory_bytes;
    if (row->output_bytes)
        step.output_bytes_max = row->output_bytes;
    if (row->disk_bytes)
        step.disk_bytes_max = row->disk_bytes;
    if (row->processes)
        step.processes_max = row->processes;
    if (row->files)
        step.files_max = row->files;
    step.flags = row->flags;
    return step;
}

static void print_end(const char *title, const struct mayfly_event *e)
{
    const char *outcome = mayfly_outcome_name(e->outcome);
    printf("%-42s %-13s exit %4d signal %2d  cpu %7.1f ms  wall %7.1f ms  peak %6.1f MiB  "
           "processes %3u  disk %5.1f MiB  reads %2u  box %5.2f ms\n",
           title, outcome ? outcome : "?", e->exit_code, e->signal, (double)e->cpu_time_us / 1000,
           (double)e->wall_time_us / 1000, (double)e->memory_bytes_peak / MIB, e->processes_peak,
           (double)e->disk_bytes / MIB, e->counter_reads, (double)e->box_us / 1000);
    fflush(stdout);
}

static void limits(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct mayfly_event end = run(limits_of(row), row->command);
        print_end(row->title, &end);
        CHECK(end.outcome == row->outcome);
        CHECK(end.exit_code == row->exit_code);
        CHECK(end.signal == row->signal);
        /* A program that gets only part of a CPU is looked at more often: so on a busy machine. */
        if (row->outcome == MAYFLY_OUTCOME_CPU_LIMIT && row->flags == 0)
            CHECK(end.counter_reads * end.cpu_time_us <= 20 * end.wall_time_us + 1000);
        CHECK(end.usage_of_init == 1);
        CHECK(end.cpu_time_us >= row->cpu_ms_least * 1000);
        CHECK(row->cpu_ms_most == 0 ||
              end.cpu_time_us <=
                  (row->cpu_ms + (row->cpu_ms_most - row->cpu_ms) * slowness()) * 1000);
        CHECK(end.memory_bytes_peak >= row->memory_least);
        CHECK(row->memory_most == 0 || end.memory_bytes_peak <= row->memory_most);
        CHECK(row->processes_most == 0 || (end.processes_peak <= row->processes_most &&
                                           end.processes_peak >= row->processes_most - 1));
        CHECK(end.cpu_user_us + end.cpu_system_us == end.cpu_time_us);
        if (row->outcome == MAYFLY_OUTCOME_WALL_LIMIT)
            CHECK(end.wall_time_us >= row->wall_ms * 1000 &&
                  end.wall_time_us <= row->wall_ms * 1000 + 100000 * slowness());
        if (row->outcome == MAYFLY_OUTCOME_DISK_LIMIT && row->disk_bytes)
            CHECK(end.disk_bytes == row->disk_bytes);
        if (row->outcome == MAYFLY_OUTCOME_MEMORY_LIMIT)
            CHECK(end.oom_kills >= 1);
        if (row->outcome == MAYFLY_OUTCOME_OUTPUT_LIMIT)
            CHECK(end.stdout_truncated + end.stderr_truncated == 1);
    }
}

static void slot_of_a_bomb_is_free_soon(void)
{
    struct mayfly_step step = defaults();
    step.processes_max = 16;
    step.wall_time_us_max = 300000;
    uint32_t box = open_box();
    put_prey(box);
    ask_step(box, step, "/box/prey bomb", NULL);
    struct mayfly_event end = await(MAYFLY_EVENT_STEP_END);
    CHECK(end.outcome == MAYFLY_OUTCOME_WALL_LIMIT);
    double late = (double)end.wall_time_us / 1000 - 300, closing = close_box(box);
    printf("fork bomb: reported %.1f ms after the limit, all dead %.1f ms later\n", late, closing);
    CHECK(late + closing < 300 * (double)slowness());
}

static void streams(void)
{
    struct mayfly_step step = defaults();
    uint32_t box = open_box();
    put_prey(box);
    ask_step(box, step, "/box/prey both", NULL);
    await(MAYFLY_EVENT_STEP_END);
    CHECK(!strcmp(captured[0], "out\n") && !strcmp(captured[1], "err\n"));
    step.flags = MAYFLY_STEP_MERGE_STDERR;
    ask_step(box, step, "/box/prey both", NULL);
    await(MAYFLY_EVENT_STEP_END);
    CHECK(!strcmp(captured[0], "out\nerr\n") && !strcmp(captured[1], ""));
    ask_step(box, defaults(), "/box/prey cat", "what goes in\n");
    await(MAYFLY_EVENT_STEP_END);
    CHECK(!strcmp(captured[0], "what goes in\n"));
    step.output_bytes_max = 5;
    step.flags = MAYFLY_STEP_TRUNCATE;
    ask_step(box, step, "/box/prey cat", "0123456789");
    struct mayfly_event end = await(MAYFLY_EVENT_STEP_END);
    CHECK(!strcmp(captured[0], "01234") && end.stdout_truncated == 1);
    CHECK(end.outcome == MAYFLY_OUTCOME_EXITED && end.exit_code == 0);
    close_box(box);
}

static void nothing_lives_on_between_steps(void)
{
    uint32_t box = open_box();
    put_prey(box);
    ask_step(box, defaults(), "/box/prey leave-child", NULL);
    CHECK(await(MAYFLY_EVENT_STEP_END).outcome == MAYFLY_OUTCOME_EXITED);
    ask_step(box, defaults(), "/bin/sh -c ls$IFS/proc", NULL);
    await(MAYFLY_EVENT_STEP_END);
    int numbers = 0;
    for (char *line = strtok(captured[0], "\n"); line; line = strtok(NULL, "\n"))
        numbers += strspn(line, "0123456789") == strlen(line);
    CHECK(numbers == 2); /* sh and ls */
    close_box(box);
}

static void cancel(void)
{
    uint32_t box = open_box();
    put_prey(box);
    ask_step(box, defaults(), "/box/prey burn 0", NULL);
    usleep(100000 * (useconds_t)slowness()); /* a step that does not run yet is not cancelled */
    CHECK(mayfly_cancel(library, box) == 0);
    CHECK(await(MAYFLY_EVENT_STEP_END).outcome == MAYFLY_OUTCOME_CANCELLED);
    ask_step(box, defaults(), "/box/prey exit 0", NULL);
    CHECK(await(MAYFLY_EVENT_STEP_END).outcome == MAYFLY_OUTCOME_EXITED);
    close_box(box);
}

/* Reads one record of a collected archive; false at its end. */
static bool next_record(int archive, char *path, uint32_t *reason, char *content, uint64_t *bytes)
{
    uint32_t path_bytes;
    if (read(archive, &path_bytes, 4) != 4)
        return false;
    CHECK(read(archive, reason, 4) == 4 && read(archive, bytes, 8) == 8 && *bytes < 4096);
    CHECK(path_bytes < 4096 && read(archive, path, path_bytes) == (ssize_t)path_bytes);
    path[path_bytes] = '\0';
    CHECK(read(archive, content, *bytes) == (ssize_t)*bytes);
    content[*bytes] = '\0';
    return true;
}

static void files(void)
{
    static const char script[] =
        "mkdir -p out/deep/er; echo one > out/a.txt; echo two > out/deep/b.txt; "
        "echo three > out/deep/er/c.txt; ln -s /etc/passwd out/link.txt; mkfifo out/fifo.txt; "
        "head -c 5000 /dev/zero > out/large.txt; echo hidden > out/.d.txt; rm -f /box/gone";
    static const char patterns[] = "/box/out/**/*.txt\0/box/gone\0/box/out/a.txt";
    struct mayfly_collect collect = {.size = sizeof collect,
                                     .file_bytes_max = 4000,
                                     .total_bytes_max = 10000,
                                     .files_max = 100,
                                     .patterns_count = 3,
                                     .patterns_bytes = sizeof patterns};
    uint8_t archive[1024], *end = archive;
    char path[4096], content[4096];
    uint32_t reason, seen = 0;
    uint64_t bytes;

    uint32_t box = collect.box = open_box();
    put_record(&end, "/box/sub/dir/script", 0644, script, sizeof script - 1);
    put_record(&end, "/tmp/other", 0600, "x", 1);
    CHECK(mayfly_put(library, box, archive, (uint64_t)(end - archive)) == 0);
    CHECK(await(MAYFLY_EVENT_PUT_END).put_errno == 0);
    ask_step(box, defaults(), "/bin/sh /box/sub/dir/script", NULL);
    CHECK(await(MAYFLY_EVENT_STEP_END).exit_code == 0);
    CHECK(mayfly_collect(library, &collect, (const uint8_t *)patterns) == 0);
    struct mayfly_event got = await(MAYFLY_EVENT_COLLECT_END);
    CHECK(got.fd >= 0);
    lseek(got.fd, 0, SEEK_SET);
    while (next_record(got.fd, path, &reason, content, &bytes)) {
        if (!strcmp(path, "/box/out/a.txt"))
            CHECK(reason == 0 && !strcmp(content, "one\n"));
        else if (!strcmp(path, "/box/out/deep/b.txt"))
            CHECK(!strcmp(content, "two\n"));
        else if (!strcmp(path, "/box/out/deep/er/c.txt"))
            CHECK(!strcmp(content, "three\n"));
        else if (!strcmp(path, "/box/out/link.txt"))
            CHECK(reason == MAYFLY_OMITTED_NOT_REGULAR);
        else if (!strcmp(path, "/box/out/fifo.txt"))
            CHECK(reason == MAYFLY_OMITTED_NOT_REGULAR);
        else if (!strcmp(path, "/box/out/large.txt"))
            CHECK(reason == MAYFLY_OMITTED_TOO_LARGE);
        else if (!strcmp(path, "/box/gone"))
            CHECK(reason == MAYFLY_OMITTED_MISSING);
        else
            CHECK(!"a file that was not asked for");
        seen++;
    }
    CHECK(seen == 8); /* a.txt twice: two patterns name it */
    close(got.fd);
    close_box(box);
}

static void files_that_cannot_be_written(void)
{
    static const struct {
        const char *path;
        int error;
    } bad[] = {{"/etc/passwd", EACCES}, {"/box/../etc/x", EINVAL}, {"/box/link/x", ENOTDIR},
               {"/box/fifo", ENXIO},    {"/proc/self/x", ENOTDIR}, {"/dev/null/x", ENOTDIR}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t archive[256], *end = archive;
        uint32_t box = open_box();
        ask_step(box, defaults(), "/bin/ln -s /tmp /box/link", NULL);
        await(MAYFLY_EVENT_STEP_END);
        ask_step(box, defaults(), "/usr/bin/mkfifo /box/fifo", NULL);
        await(MAYFLY_EVENT_STEP_END);
        put_record(&end, "/box/fine", 0644, "x", 1);
        put_record(&end, bad[i].path, 0644, "x", 1);
        CHECK(mayfly_put(library, box, archive, (uint64_t)(end - archive)) == 0);
        struct mayfly_event event = await(MAYFLY_EVENT_PUT_END);
        if (event.put_errno != bad[i].error || event.index != 1)
            fprintf(stderr, "%s: %s, file %u\n", bad[i].path, strerror(event.put_errno),
                    event.index);
        CHECK(event.put_errno == bad[i].error && event.index == 1);
        close_box(box);
    }
}

/* Files that are put before any step obey the disk that the box was opened with. */
static void files_larger_than_the_disk(void)
{
    static uint8_t content[200000], archive[sizeof content + 64];
    uint8_t *end = archive;
    struct mayfly_open request = {.size = sizeof request,
                                  .box = next_box++,
                                  .image = 1,
                                  .files_max = 16,
                                  .disk_bytes_max = 65536};
    CHECK(mayfly_open(library, &request) == 0);
    put_record(&end, "/box/large", 0644, content, sizeof content);
    CHECK(mayfly_put(library, request.box, archive, (uint64_t)(end - archive)) == 0);
    CHECK(await(MAYFLY_EVENT_PUT_END).put_errno == ENOSPC);
    close_box(request.box);
}

/* Requests that make no sense: a fault of that box, and the next box works. */
static void nonsense(void)
{
    struct mayfly_step step = defaults();
    step.memory_bytes_max = 0;
    uint32_t box = open_box();
    ask_step(box, step, "/bin/true", NULL);
    struct mayfly_event fault = next_event();
    CHECK(fault.kind == MAYFLY_EVENT_FAULT && fault.box == box);
    CHECK(fault.stage == MAYFLY_STAGE_PROTOCOL);
    CHECK(await(MAYFLY_EVENT_CLOSED).box == box);

    struct mayfly_open request = {.size = sizeof request,
                                  .box = next_box++,
                                  .image = 99,
                                  .files_max = 1,
                                  .disk_bytes_max = MIB};
    CHECK(mayfly_open(library, &request) == 0);
    CHECK(next_event().stage == MAYFLY_STAGE_IMAGE);
    CHECK(await(MAYFLY_EVENT_CLOSED).box == request.box);
    CHECK(run(defaults(), "/bin/true").outcome == MAYFLY_OUTCOME_EXITED);
}

/* Kills the supervisor while boxes run, or are being made, and looks what its successor leaves. */
static void supervisor_is_killed(useconds_t after_us)
{
    struct mayfly_step step = defaults();
    start(0);
    for (int i = 0; i < 20; i++) {
        uint32_t box = open_box();
        put_prey(box);
        ask_step(box, step, i % 2 ? "/box/prey burn 0" : "/box/prey daemons", NULL);
    }
    usleep(after_us);
    kill(supervisor, SIGKILL);
    stop();
    for (int i = 0; i < 500 && count_processes() > 0; i++)
        usleep(10000);
    CHECK(count_processes() == 0);
    start(0); /* sweeps */
    CHECK(run(defaults(), "/box/prey exit 0").outcome == MAYFLY_OUTCOME_EXITED);
    stop();
    CHECK(count_groups() == 0);
}

static void many(uint32_t pool, int count)
{
    start(pool);
    uint64_t before = now_us(), box_us = 0;
    for (int i = 0; i < count; i++) {
        struct mayfly_event end = run(defaults(), "/bin/true");
        CHECK(end.outcome == MAYFLY_OUTCOME_EXITED && end.exit_code == 0);
        box_us += end.box_us;
    }
    printf("%d boxes, pool of %u: %.2f ms each, %.2f ms to exec\n", count, pool,
           (double)(now_us() - before) / 1000 / count, (double)box_us / 1000 / count);
    stop();
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    open_harness(argv[1], argv[2]);
    for (uint32_t pool = 0; pool <= 2; pool += 2) { /* a pooled box is a box like any other */
        start(pool);
        limits();
        slot_of_a_bomb_is_free_soon();
        streams();
        nothing_lives_on_between_steps();
        cancel();
        files();
        files_that_cannot_be_written();
        files_larger_than_the_disk();
        nonsense();
        accuracy();
        if (pool > 0) /* mostly waits, for clocks that do not know where a box came from */
            control();
        graphs();
        cores();
        stop();
        CHECK(count_groups() == 0 && count_processes() == 0);
    }
    many(0, 100);
    many(2, 100);
    for (useconds_t us = 0; us <= 60000; us = us * 2 + 500)
        supervisor_is_killed(us);
    CHECK(count_groups() == 0 && count_processes() == 0);
    printf("box tests passed\n");
    return 0;
}
