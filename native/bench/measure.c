#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "boxes_client.h"
#include "commands.h"
#include "report.h"
#include "rivals.h"

/* Between two samples: what the last one left to do is done, and the pool is full again. */
#define REST_MS 8.0
#define WARM_UP_ROUNDS 2
#define CONCURRENT_ROUNDS 3
#define CONCURRENT_MS 700.0
#define POOL 4u
#define BOXES_MAX 16u

/* Contenders: these, then the rivals. Destroying is a second figure of the cold ones, not a contender. */
enum { SPAWN, POOLED, COLD, OURS };
#define CONTENDERS_MAX (OURS + RIVALS_MAX)
static const char *const our_names[OURS] = {"spawn", "mayfly-pooled", "mayfly-cold"};

static struct client pooled, cold;

static const char *contender_name(int contender)
{
    return contender < OURS ? our_names[contender] : rival_name(contender - OURS);
}

static void start_clients(void)
{
    pooled = client_start(BOXES_MAX, POOL);
    cold = client_start(BOXES_MAX, 0);
    client_load_image(&pooled);
    client_load_image(&cold);
}

static void stop_clients(void)
{
    client_stop(&pooled);
    client_stop(&cold);
}

static void shuffle(int *order, int count)
{
    for (int i = count - 1; i > 0; i--) {
        int other = rand() % (i + 1), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

static void run_once(int contender, int program, struct series *series, struct series *destroyed)
{
    if (contender == SPAWN) {
        series_add(series, spawn_run(program));
    } else if (contender == POOLED) {
        series_add(series, client_run(&pooled, &programs[program]).ended_ms);
    } else if (contender == COLD) {
        struct box_times times = client_run(&cold, &programs[program]);
        series_add(series, times.ended_ms);
        series_add(destroyed, times.destroyed_ms);
    } else {
        series_add(series, rival_run(contender - OURS, program, 0));
    }
}

/* The same order of contenders on every run of the benchmark. */
void measure_sequential(int samples)
{
    static struct series series[PROGRAMS][CONTENDERS_MAX], destroyed[PROGRAMS];
    int contenders = OURS + rivals_count(), order[CONTENDERS_MAX];
    for (int i = 0; i < contenders; i++)
        order[i] = i;
    start_clients();
    srand(1);
    for (int round = -WARM_UP_ROUNDS; round < samples; round++) {
        for (int p = 0; p < PROGRAMS; p++) {
            shuffle(order, contenders);
            for (int turn = 0; turn < contenders; turn++) {
                sleep_ms(REST_MS);
                if (round == 0 && turn == 0)
                    for (int i = 0; i < contenders; i++)
                        series_clear(&series[p][i]);
                if (round == 0 && turn == 0)
                    series_clear(&destroyed[p]);
                run_once(order[turn], p, &series[p][order[turn]], &destroyed[p]);
            }
        }
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "\rround %d of %d%s", round + 1, samples,
                    round + 1 == samples ? "\n" : "");
    }
    stop_clients();
    for (int p = 0; p < PROGRAMS; p++)
        for (int i = 0; i < contenders; i++) {
            struct series *s = &series[p][i], *d = &destroyed[p];
            report_add(contender_name(i), programs[p].name, "sequential", s,
                       1e3 * (double)s->count / series_sum(s));
            if (i == COLD)
                report_add("mayfly-cold+destroy", programs[p].name, "sequential", d,
                           1e3 * (double)d->count / series_sum(d));
        }
}

static _Noreturn void work(int contender, int program, int worker, double until, int out)
{
    while (now_ms() < until) {
        double ms = contender == SPAWN ? spawn_run(program)
                                       : rival_run(contender - OURS, program, worker);
        if (write(out, &ms, sizeof ms) != sizeof ms)
            _exit(1);
    }
    _exit(0);
}

/* Two processes that run commands until then. Returns how many ended. */
static long commands_at_once(int contender, int program, double until, struct series *series)
{
    int ends[2], status;
    long ended = 0;
    double ms;
    if (pipe2(ends, O_CLOEXEC) != 0)
        die("pipe", errno);
    for (int worker = 0; worker < 2; worker++) {
        pid_t pid = fork();
        if (pid < 0)
            die("fork", errno);
        if (pid == 0)
            work(contender, program, worker, until, ends[1]);
    }
    close(ends[1]);
    for (; read(ends[0], &ms, sizeof ms) == sizeof ms; ended++)
        series_add(series, ms);
    close(ends[0]);
    for (int worker = 0; worker < 2; worker++)
        if (wait(&status) < 0 || status != 0)
            die(contender_name(contender), 0);
    return ended;
}

static long run_at_once(int contender, int program, double until, struct series *series)
{
    struct flood flood = {.program = &programs[program],
                          .at_once = 2,
                          .until_ms = until,
                          .boxes = 1000000,
                          .latency = series};
    if (contender == POOLED)
        return client_flood(&pooled, &flood);
    if (contender == COLD)
        return client_flood(&cold, &flood);
    return commands_at_once(contender, program, until, series);
}

void measure_concurrent(void)
{
    static struct series series[CONTENDERS_MAX];
    int contenders = OURS + rivals_count();
    start_clients();
    for (int p = 0; p < PROGRAMS; p++) {
        double ms[CONTENDERS_MAX] = {0};
        long ended[CONTENDERS_MAX] = {0};
        for (int round = 0; round < CONCURRENT_ROUNDS; round++)
            for (int turn = 0; turn < contenders; turn++) {
                int i = (turn + round) % contenders;
                sleep_ms(10 * REST_MS);
                double from = now_ms();
                ended[i] += run_at_once(i, p, from + CONCURRENT_MS, &series[i]);
                ms[i] += now_ms() - from;
            }
        for (int i = 0; i < contenders; i++) {
            report_add(contender_name(i), programs[p].name, "concurrent-2", &series[i],
                       1e3 * (double)ended[i] / ms[i]);
            series_clear(&series[i]);
        }
    }
    stop_clients();
}

/* The run that goes on, and the thousand of it that is not full. */
static struct {
    const char *mode;
    struct series *all, thousand;
    double thousand_from;
    bool by_thousands;
} running;

static void box_ended(long count)
{
    if (!running.by_thousands)
        return;
    series_add(&running.thousand, running.all->ms[running.all->count - 1]);
    if (count % 1000 != 0)
        return;
    char mode[40];
    snprintf(mode, sizeof mode, "%s" REPORT_THOUSAND, running.mode, count);
    double now = now_ms();
    report_add("mayfly-pooled", programs[0].name, mode, &running.thousand,
               1e6 / (now - running.thousand_from));
    running.thousand_from = now;
    series_clear(&running.thousand);
}

/* Plain spawns in the same way, as many. */
static void spawn_back_to_back(const char *mode, int at_once, long count)
{
    static struct series series;
    double from = now_ms();
    long ended = 0;
    series_clear(&series);
    if (at_once == 1)
        for (; ended < count; ended++)
            series_add(&series, spawn_run(0));
    else
        ended = commands_at_once(SPAWN, 0, from + 3 * CONCURRENT_MS, &series);
    report_add("spawn", programs[0].name, mode, &series, 1e3 * (double)ended / (now_ms() - from));
}

void measure_back_to_back(long boxes)
{
    static struct series series;
    static const char *const modes[] = {"back-to-back", "back-to-back-2"};
    start_clients();
    for (int at_once = 1; at_once <= 2; at_once++) {
        struct flood flood = {.program = &programs[0],
                              .at_once = at_once,
                              .until_ms = 1e18,
                              .boxes = boxes,
                              .latency = &series,
                              .ended = box_ended};
        series_clear(&series);
        spawn_back_to_back(modes[at_once - 1], at_once, boxes < 1000 ? boxes : 1000);
        running.mode = modes[at_once - 1];
        running.all = &series;
        running.by_thousands = boxes > 1000;
        double from = running.thousand_from = now_ms();
        long ended = client_flood(&pooled, &flood);
        report_add("mayfly-pooled", programs[0].name, modes[at_once - 1], &series,
                   1e3 * (double)ended / (now_ms() - from));
    }
    stop_clients();
}
