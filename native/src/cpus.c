#include "cpus.h"

#include <errno.h>
#include <stdio.h>

static cpu_set_t allowed, shared;
static uint32_t load[CPU_SETSIZE], last;

int cpus_open(void)
{
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return -errno;
    shared = allowed;
    return 0;
}

uint32_t cpus_count(void)
{
    return (uint32_t)CPU_COUNT(&allowed);
}

uint32_t cpus_next(void)
{
    do
        last = (last + 1) % CPU_SETSIZE;
    while (!CPU_ISSET(last, &shared));
    return last;
}

void cpus_text(const cpu_set_t *set, char *text, size_t bytes)
{
    size_t at = 0;
    text[0] = '\0';
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE && at + 8 < bytes; cpu++)
        if (CPU_ISSET(cpu, set))
            at += (size_t)snprintf(text + at, bytes - at, at ? ",%u" : "%u", cpu);
}

const cpu_set_t *cpus_shared(void)
{
    return &shared;
}

int cpus_reserve(void)
{
    if (CPU_COUNT(&shared) < 2)
        return -EBUSY;
    /* From the far end: hosts do their own work on the first. */
    for (uint32_t cpu = CPU_SETSIZE; cpu-- > 0;) {
        if (!CPU_ISSET(cpu, &shared))
            continue;
        CPU_CLR(cpu, &shared);
        return (int)cpu;
    }
    return -EBUSY;
}

void cpus_share(uint32_t cpu)
{
    CPU_SET(cpu, &shared);
}

void cpus_take_reserved(uint32_t cpu, cpu_set_t *taken)
{
    CPU_ZERO(taken);
    CPU_SET(cpu, taken);
    load[cpu]++;
}

uint32_t cpus_load(uint32_t cpu)
{
    return load[cpu];
}

void cpus_take(uint32_t wanted, uint32_t preferred, cpu_set_t *taken)
{
    CPU_ZERO(taken);
    for (uint32_t i = 0; i < wanted && i < (uint32_t)CPU_COUNT(&shared); i++) {
        uint32_t best = CPU_SETSIZE;
        if (CPU_ISSET(preferred, &shared) && !CPU_ISSET(preferred, taken))
            best = preferred;
        for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &shared) && !CPU_ISSET(cpu, taken) &&
                (best == CPU_SETSIZE || load[cpu] < load[best]))
                best = cpu;
        CPU_SET(best, taken);
        load[best]++;
    }
}

void cpus_give_back(cpu_set_t *taken)
{
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, taken))
            load[cpu]--;
    CPU_ZERO(taken);
}
