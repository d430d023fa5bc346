#include "costs.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "boxes_client.h"
#include "commands.h"
#include "machine.h"

#define FILLINGS 3
#define BUSY_ROUNDS 200
#define IDLE_MS 2000.0
/* Freeing control groups and namespaces is put off by the kernel. */
#define SETTLE_MS 2000.0
#define FILL_MS_MAX 30000.0
/* Of each box: pid 1 and the waiter. */
#define PROCESSES_PER_BOX 2

/* Until the pool is full, and what making it has put off is done. */
static void await_pool(const struct client *client)
{
    double until = now_ms() + FILL_MS_MAX;
    while (descendants(client->pid) < (int)(1 + PROCESSES_PER_BOX * COSTS_POOL)) {
        if (now_ms() > until)
            die("the pool does not fill", 0);
        sleep_ms(50);
    }
    sleep_ms(SETTLE_MS);
}

static pid_t first_child(pid_t pid)
{
    char path[64];
    int child = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%d", &child) != 1)
        child = 0;
    if (file)
        fclose(file);
    return child;
}

/* One supervisor from start to end; the pool is used `boxes` times between two looks at it. */
static void measure_pool(struct costs *costs, long boxes, struct series *before,
                         struct series *after)
{
    const struct flood flood = {
        .program = &programs[0], .at_once = 1, .until_ms = 1e18, .boxes = boxes};
    struct client client = client_start(COSTS_POOL, COSTS_POOL);
    sleep_ms(SETTLE_MS);
    long empty = memory_of_boxes_kib();
    client_load_image(&client);
    await_pool(&client);
    series_add(before, (double)(memory_of_boxes_kib() - empty) / COSTS_POOL);
    if (boxes > 0) {
        costs->boxes_between = client_flood(&client, &flood);
        await_pool(&client);
    }
    costs->supervisor_kib = resident_kib(client.pid);
    costs->maker_kib = resident_kib(first_child(client.pid));
    long full = memory_of_boxes_kib();
    client_stop(&client);
    sleep_ms(SETTLE_MS);
    if (boxes > 0)
        series_add(after, (double)(full - memory_of_boxes_kib()) / COSTS_POOL);
}

/* /proc/meminfo is the whole machine's: the median of a few fillings is less of its neighbours. */
static void measure_memory(struct costs *costs, long boxes)
{
    struct series before = {0}, after = {0};
    long from = memory_of_boxes_kib();
    for (int i = 0; i < FILLINGS; i++)
        measure_pool(costs, i == FILLINGS - 1 ? boxes : 0, &before, &after);
    costs->left_kib = memory_of_boxes_kib() - from;
    costs->pooled_box_kib = series_quantile(&before, 0.5);
    costs->pooled_box_kib_after = series_quantile(&after, 0.5);
    free(before.ms);
    free(after.ms);
}

static void measure_busy(struct costs *costs)
{
    const struct flood flood = {
        .program = &programs[0], .at_once = 1, .until_ms = 1e18, .boxes = BUSY_ROUNDS};
    struct client client = client_start(8, 2);
    client_load_image(&client);
    sleep_ms(SETTLE_MS / 4);
    double busy = busy_ms();
    sleep_ms(IDLE_MS);
    costs->idle_busy_ms_per_second = (busy_ms() - busy) / (IDLE_MS / 1e3);

    double from = now_ms();
    busy = busy_ms();
    client_flood(&client, &flood);
    sleep_ms(100); /* the last refill */
    double other = (now_ms() - from) / 1e3 * costs->idle_busy_ms_per_second;
    costs->box_busy_ms = (busy_ms() - busy - other) / BUSY_ROUNDS;
    client_stop(&client);

    from = now_ms();
    busy = busy_ms();
    for (int i = 0; i < BUSY_ROUNDS; i++)
        spawn_run(0);
    other = (now_ms() - from) / 1e3 * costs->idle_busy_ms_per_second;
    costs->spawn_busy_ms = (busy_ms() - busy - other) / BUSY_ROUNDS;
}

struct costs costs_measure(long boxes)
{
    struct costs costs = {0};
    measure_memory(&costs, boxes);
    measure_busy(&costs);
    return costs;
}
