#include "report.h"

#include <stdio.h>
#include <string.h>

#include "commands.h"

#define ROWS_MAX 512

static struct row {
    char name[32], program[32], mode[40];
    double p50, p95, p99, per_second;
} rows[ROWS_MAX];
static int count;

void report_add(const char *name, const char *program, const char *mode, struct series *series,
                double per_second)
{
    if (count == ROWS_MAX)
        die("more rows than there is room for", 0);
    struct row *row = &rows[count++];
    snprintf(row->name, sizeof row->name, "%s", name);
    snprintf(row->program, sizeof row->program, "%s", program);
    snprintf(row->mode, sizeof row->mode, "%s", mode);
    row->p50 = series_quantile(series, 0.5);
    row->p95 = series_quantile(series, 0.95);
    row->p99 = series_quantile(series, 0.99);
    row->per_second = per_second;
}

static const struct row *spawn_beside(const struct row *row)
{
    for (int i = 0; i < count; i++)
        if (strcmp(rows[i].name, "spawn") == 0 && strcmp(rows[i].program, row->program) == 0 &&
            strcmp(rows[i].mode, row->mode) == 0)
            return &rows[i];
    return NULL;
}

static void json_costs(const struct costs *costs)
{
    printf(",\n\"costs\": {\"pooledBoxKib\": %.1f, \"pooledBoxKibAfter\": %.1f, \"boxesBetween\": "
           "%ld, "
           "\"leftKib\": %ld, \"supervisorRssKib\": %ld, \"makerRssKib\": %ld, \"busyMsPerBox\": "
           "%.3f, "
           "\"busyMsPerSpawn\": %.3f, \"busyMsPerSecondIdle\": %.3f}",
           costs->pooled_box_kib, costs->pooled_box_kib_after, costs->boxes_between,
           costs->left_kib, costs->supervisor_kib, costs->maker_kib, costs->box_busy_ms,
           costs->spawn_busy_ms, costs->idle_busy_ms_per_second);
}

void report_json(const struct machine *machine, int samples, const struct costs *costs)
{
    printf("{\"machine\": {\"kernel\": \"%s\", \"architecture\": \"%s\", \"cpu\": \"%s\", "
           "\"cpus\": %ld, "
           "\"memoryKib\": %ld, \"cgroups\": \"%s\", \"loadAverage\": %.2f, \"spawn\": {",
           machine->kernel, machine->architecture, machine->cpu, machine->cpus, machine->memory_kib,
           machine->cgroups, machine->load);
    for (int i = 0; i < PROGRAMS; i++)
        printf("%s\"%s\": \"%s\"", i ? ", " : "", programs[i].name, spawn_means(i));
    printf("}},\n\"samples\": %d,\n\"results\": [", samples);
    for (int i = 0; i < count; i++)
        printf("%s\n  {\"name\": \"%s\", \"program\": \"%s\", \"mode\": \"%s\", \"p50Ms\": %.3f, "
               "\"p95Ms\": %.3f, \"p99Ms\": %.3f, \"perSecond\": %.1f}",
               i ? "," : "", rows[i].name, rows[i].program, rows[i].mode, rows[i].p50, rows[i].p95,
               rows[i].p99, rows[i].per_second);
    printf("\n]");
    if (costs)
        json_costs(costs);
    printf("}\n");
}

static void table_costs(const struct costs *costs)
{
    printf("\n");
    printf("a pooled box          %8.0f KiB, and %.0f KiB after %ld boxes; left when all are gone: "
           "%ld KiB\n",
           costs->pooled_box_kib, costs->pooled_box_kib_after, costs->boxes_between,
           costs->left_kib);
    printf("supervisor            %8ld KiB resident, box maker %ld KiB\n", costs->supervisor_kib,
           costs->maker_kib);
    printf("CPU busy, all CPUs    %8.2f ms per box, %.2f ms per spawn; %.1f ms per second without "
           "either\n",
           costs->box_busy_ms, costs->spawn_busy_ms, costs->idle_busy_ms_per_second);
}

void report_table(const struct machine *machine, int samples, const struct costs *costs)
{
    printf("%s, %ld CPUs, %ld MiB, Linux %s, control groups %s, load %.2f; %d samples\n",
           machine->cpu, machine->cpus, machine->memory_kib / 1024, machine->kernel,
           machine->cgroups, machine->load, samples);
    printf("plain spawn:");
    for (int i = 0; i < PROGRAMS; i++)
        printf("%s %s by %s", i ? "," : "", programs[i].name, spawn_means(i));
    printf("\n");
    for (int i = 0; i < count; i++) {
        const struct row *row = &rows[i], *spawn = spawn_beside(row);
        bool first = i == 0 || strcmp(row->mode, rows[i - 1].mode) != 0 ||
                     strcmp(row->program, rows[i - 1].program) != 0;
        if (first && !strchr(row->mode, '@'))
            printf("\n%-14s %-17s %9s %8s %8s %9s %8s\n", row->program, row->mode, "p50 ms", "p95",
                   "p99", "per s", "× spawn");
        printf("  %-30s %9.2f %8.2f %8.2f %9.1f", strchr(row->mode, '@') ? row->mode : row->name,
               row->p50, row->p95, row->p99, row->per_second);
        if (spawn)
            printf(" %8.2f", row->p50 / spawn->p50);
        printf("\n");
    }
    if (costs)
        table_costs(costs);
}
