#include "foreground.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>

#include "sys.h"

/* Threads that were made during a pass are bound by the next one; their makers are bound by then. */
#define PASSES 2

static char *put_text(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    *to = '\0';
    return to;
}

static char *put_number(char *to, long number)
{
    char digits[24];
    int count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0)
        *to++ = digits[--count];
    *to = '\0';
    return to;
}

/* Of decimal text; -1 when it is none. */
static long number_of(const char *text)
{
    long number = 0;
    if (*text < '0' || *text > '9')
        return -1;
    for (; *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (*text - '0');
    return *text == '\0' || *text == ' ' ? number : -1;
}

/* The eighth field of /proc/<pid>/stat; the second is in parentheses and may hold anything, proc_pid_stat(5). */
static long foreground_of(long program)
{
    char path[48], text[1024];
    put_text(put_number(put_text(path, "/proc/"), program), "/stat");
    long fd = sys_openat(AT_FDCWD, path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    long got = sys_read((int)fd, text, sizeof text - 1);
    sys_close((int)fd);
    if (got <= 0)
        return -1;
    text[got] = '\0';
    char *at = text + got;
    while (at > text && *at != ')')
        at--;
    for (int field = 2; field < 8 && *at; field++) {
        while (*at && *at != ' ')
            at++;
        while (*at == ' ')
            at++;
    }
    return number_of(at);
}

void foreground_signal(long program, uint32_t signal)
{
    if (program <= 1)
        return;
    long group = foreground_of(program);
    /* Group 1 would be pid 1's own, 0 is "mine" to kill(2). */
    if (group <= 1 || SYS2(SYS_kill, -group, signal) == -ESRCH)
        SYS2(SYS_kill, -program, signal);
}

struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

/* Calls `each` with every number among the names of a directory. */
static void for_numbers(const char *path, void (*each)(long number, const void *argument),
                        const void *argument)
{
    char entries[4096] __attribute__((aligned(8)));
    long fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0), got;
    if (fd < 0)
        return;
    while ((got = SYS3(SYS_getdents64, fd, entries, sizeof entries)) > 0)
        for (long at = 0; at < got;) {
            const struct entry *entry = (const void *)(entries + at);
            long number = number_of(entry->name);
            if (number > 1)
                each(number, argument);
            at += entry->length;
        }
    sys_close((int)fd);
}

static void bind_thread(long thread, const void *affinity)
{
    SYS3(SYS_sched_setaffinity, thread, 16 * sizeof(uint64_t), affinity);
}

static void bind_process(long process, const void *affinity)
{
    char path[48];
    put_text(put_number(put_text(path, "/proc/"), process), "/task");
    for_numbers(path, bind_thread, affinity);
}

void foreground_bind(const uint64_t affinity[16])
{
    for (int pass = 0; pass < PASSES; pass++)
        for_numbers("/proc", bind_process, affinity);
}
