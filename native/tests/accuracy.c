/*
 * What a step is billed, against the program's own view at its end. What stands between the two is exec and
 * exit, which an empty program shows and the table states apart; making the box is not billed.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "harness.h"

/* A large file of the image that no other test reads. */
#define COLD "/usr/lib/gcc/x86_64-linux-gnu/12/lto1"

#define EMPTY_RUNS 7
#define ATTEMPTS 5
/* The greater of the two, times slowness. */
#define CPU_US_OFF 2000
#define CPU_PERCENT_OFF 3
/* The kernel charges memory in batches of 64 pages for each CPU; page tables come on top. */
#define MEMORY_BYTES_OFF ((int64_t)MIB)

struct view {
    uint64_t cpu_us, memory_bytes;
};

static const struct {
    const char *title, *command;
} rows[] = {
    {"200 ms in one thread", "burn 200000 -"},
    {"200 ms in four threads", "burn-threads 50000 -"},
    {"200 ms in a grandchild", "burn-grandchild 200000 -"},
    {"1 MiB touched", "touch 1048576 -"},
    {"32 MiB touched", "touch 33554432 -"},
    {"200 MiB touched", "touch 209715200 -"},
    {"200 MiB mapped, not touched", "map 209715200 -"},
    {"a cold file", "read 0 " COLD},
    {"16 MiB in a tmpfs", "write 16777216 /tmp/file"},
};

/* Drops the file from the page cache. */
static void cool(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s" COLD, top_layer());
    int file = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    CHECK(fsync(file) == 0 && posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0);
    close(file);
}

static struct mayfly_event measure(const char *command, struct view *own)
{
    char line[256];
    struct mayfly_step step = defaults();
    step.memory_bytes_max = 512 * MIB;
    snprintf(line, sizeof line, "/box/prey account %s", command);
    struct mayfly_event end = run(step, line);
    CHECK(end.outcome == MAYFLY_OUTCOME_EXITED && end.exit_code == 0);
    CHECK(sscanf(captured[0], "%" SCNu64 " %" SCNu64, &own->cpu_us, &own->memory_bytes) == 2);
    return end;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* What an empty program is billed beyond its own view: the medians. */
static struct view measure_empty(void)
{
    uint64_t cpu[EMPTY_RUNS], memory[EMPTY_RUNS];
    struct view own;
    for (int i = 0; i < EMPTY_RUNS; i++) {
        struct mayfly_event end = measure("nothing 0 -", &own);
        CHECK(end.cpu_time_us >= own.cpu_us);
        cpu[i] = end.cpu_time_us - own.cpu_us;
        memory[i] = end.memory_bytes_peak;
    }
    qsort(cpu, EMPTY_RUNS, sizeof *cpu, compare);
    qsort(memory, EMPTY_RUNS, sizeof *memory, compare);
    printf("exec and exit of a static program: %.2f ms, %.2f MiB\n",
           (double)cpu[EMPTY_RUNS / 2] / 1000, (double)memory[EMPTY_RUNS / 2] / MIB);
    return (struct view){cpu[EMPTY_RUNS / 2], memory[EMPTY_RUNS / 2]};
}

static uint64_t allowed_us(uint64_t own_us)
{
    uint64_t percent = own_us * CPU_PERCENT_OFF / 100;
    return (percent > CPU_US_OFF ? percent : CPU_US_OFF) * slowness();
}

/*
 * One row, next to an empty program, so that whatever else the machine does bears on both. What is wrong is
 * wrong each time; what disturbed exec and exit once is not.
 */
static void check_row(size_t i, uint64_t empty_bytes)
{
    struct view own, empty;
    for (int attempt = 1; attempt <= ATTEMPTS * (int)slowness(); attempt++) {
        uint64_t nothing_us = measure("nothing 0 -", &empty).cpu_time_us - empty.cpu_us;
        struct mayfly_event end = measure(rows[i].command, &own);
        int64_t cpu_off = (int64_t)end.cpu_time_us - (int64_t)(own.cpu_us + nothing_us);
        int64_t memory_off = (int64_t)end.memory_bytes_peak -
                             (int64_t)(own.memory_bytes + empty_bytes);
        printf("%-28s cpu %7.2f ms, own view %7.2f, off %+5.2f   peak %6.2f MiB, own view %6.2f, "
               "off %+5.2f   read %5.1f MiB\n",
               rows[i].title, (double)end.cpu_time_us / 1000, (double)own.cpu_us / 1000,
               (double)cpu_off / 1000, (double)end.memory_bytes_peak / MIB,
               (double)own.memory_bytes / MIB, (double)memory_off / MIB,
               (double)end.io_read_bytes / MIB);
        fflush(stdout);
        CHECK(llabs(memory_off) <= MEMORY_BYTES_OFF);
        if (llabs(cpu_off) <= (int64_t)allowed_us(own.cpu_us))
            return;
    }
    CHECK(!"a bill that agrees with the program's own view");
}

void accuracy(void)
{
    const struct view empty = measure_empty();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cool();
        check_row(i, empty.memory_bytes);
    }
}
