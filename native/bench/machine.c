#include "machine.h"

#include <dirent.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "bench.h"

#define PROCESSES_MAX 65536

static FILE *must_open(const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        die(path, 0);
    return file;
}

/* The number after `key` in a file of "key: number" lines, or 0. */
static long number_of(const char *path, const char *key)
{
    char line[256];
    long number = 0;
    FILE *file = must_open(path);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            number = strtol(line + strlen(key), NULL, 10);
    fclose(file);
    return number;
}

static void read_cpu(struct machine *machine)
{
    char line[256];
    FILE *file = must_open("/proc/cpuinfo");
    snprintf(machine->cpu, sizeof machine->cpu, "unknown");
    while (fgets(line, sizeof line, file)) {
        const char *name = strstr(line, ": ");
        if (name && strncmp(line, "model name", 10) == 0)
            snprintf(machine->cpu, sizeof machine->cpu, "%.*s", (int)strcspn(name + 2, "\"\\\n"),
                     name + 2);
    }
    fclose(file);
}

struct machine machine_read(void)
{
    struct machine machine = {.cpus = sysconf(_SC_NPROCESSORS_ONLN)};
    struct utsname names;
    struct statfs about;
    uname(&names);
    snprintf(machine.kernel, sizeof machine.kernel, "%s", names.release);
    snprintf(machine.architecture, sizeof machine.architecture, "%.31s", names.machine);
    read_cpu(&machine);
    bool v2 = statfs("/sys/fs/cgroup", &about) == 0 && about.f_type == CGROUP2_SUPER_MAGIC;
    bool both = statfs("/sys/fs/cgroup/unified", &about) == 0 &&
                about.f_type == CGROUP2_SUPER_MAGIC;
    snprintf(machine.cgroups, sizeof machine.cgroups, "%s", v2 ? "v2" : both ? "hybrid" : "v1");
    machine.memory_kib = number_of("/proc/meminfo", "MemTotal:");
    if (getloadavg(&machine.load, 1) != 1)
        machine.load = -1;
    return machine;
}

long memory_of_boxes_kib(void)
{
    static const char *const keys[] = {"Slab:", "KernelStack:", "PageTables:", "AnonPages:"};
    long sum = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        sum += number_of("/proc/meminfo", keys[i]);
    return sum;
}

double busy_ms(void)
{
    unsigned long user, nice, system, idle, iowait, irq, softirq, steal;
    FILE *file = must_open("/proc/stat");
    if (fscanf(file, "cpu %lu %lu %lu %lu %lu %lu %lu %lu", &user, &nice, &system, &idle, &iowait,
               &irq, &softirq, &steal) != 8)
        die("/proc/stat", 0);
    fclose(file);
    return (double)(user + nice + system + irq + softirq) * 1e3 / (double)sysconf(_SC_CLK_TCK);
}

long resident_kib(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    return number_of(path, "VmRSS:");
}

int descendants(pid_t ancestor)
{
    static int pids[PROCESSES_MAX], parents[PROCESSES_MAX];
    static bool in[PROCESSES_MAX];
    int count = 0, found = 0;
    DIR *directory = opendir("/proc");
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char path[300], line[512];
        int pid = atoi(entry->d_name);
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *file = pid > 0 && count < PROCESSES_MAX ? fopen(path, "re") : NULL;
        const char *end = file && fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
        if (end && sscanf(end + 1, " %*c %d", &parents[count]) == 1) {
            pids[count] = pid;
            in[count++] = false;
        }
        if (file)
            fclose(file);
    }
    if (directory)
        closedir(directory);
    for (int before = -1; before != found;) {
        before = found;
        for (int i = 0; i < count; i++) {
            bool child = parents[i] == ancestor;
            for (int k = 0; k < count && !child; k++)
                child = in[k] && pids[k] == parents[i];
            found += child && !in[i];
            in[i] = in[i] || child;
        }
    }
    return found;
}
