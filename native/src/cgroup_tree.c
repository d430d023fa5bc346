#include "cgroup_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int open_file(int directory, const char *leaf, const char *file, int flags)
{
    char path[96];
    if (leaf[0] == '\0')
        return -ENOENT; /* no group: the path would be absolute */
    int length = snprintf(path, sizeof path, "%s/%s", leaf, file);
    if (length < 0 || (size_t)length >= sizeof path)
        return -ENAMETOOLONG;
    int fd = openat(directory, path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int tree_write(int directory, const char *leaf, const char *file, const char *text)
{
    int fd = open_file(directory, leaf, file, O_WRONLY);
    if (fd < 0)
        return fd;
    ssize_t written = write(fd, text, strlen(text));
    int error = written < 0 ? -errno : 0;
    close(fd);
    return error;
}

int tree_write_number(int directory, const char *leaf, const char *file, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    return tree_write(directory, leaf, file, text);
}

int tree_read(int directory, const char *leaf, const char *file, char *text, size_t bytes)
{
    int fd = open_file(directory, leaf, file, O_RDONLY);
    if (fd < 0)
        return fd;
    ssize_t got = read(fd, text, bytes - 1);
    int error = got < 0 ? -errno : 0;
    close(fd);
    text[got < 0 ? 0 : got] = '\0';
    return error;
}

int tree_read_open(int fd, char *text, size_t bytes)
{
    ssize_t got = pread(fd, text, bytes - 1, 0);
    int error = got < 0 ? -errno : 0;
    text[got < 0 ? 0 : got] = '\0';
    return error;
}

static int parse_number(const char *text, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno || end == text ? -EBADMSG : 0;
}

int tree_read_open_number(int fd, uint64_t *number)
{
    char text[32];
    int error = tree_read_open(fd, text, sizeof text);
    return error ? error : parse_number(text, number);
}

int tree_read_number(int directory, const char *leaf, const char *file, uint64_t *number)
{
    char text[32];
    int error = tree_read(directory, leaf, file, text, sizeof text);
    return error ? error : parse_number(text, number);
}

bool tree_field(const char *text, const char *key, uint64_t *number)
{
    size_t length = strlen(key);
    for (const char *line = text; line && *line;) {
        if (strncmp(line, key, length) == 0 && line[length] == ' ') {
            *number = strtoull(line + length + 1, NULL, 10);
            return true;
        }
        line = strchr(line, '\n');
        if (line)
            line++;
    }
    return false;
}

int tree_kill(int directory, const char *leaf)
{
    char text[4096], left[24] = "";
    int killed = 0;
    int fd = open_file(directory, leaf, "cgroup.procs", O_RDONLY);
    if (fd < 0)
        return fd;
    ssize_t got;
    size_t kept = 0;
    while ((got = read(fd, text + kept, sizeof text - 1 - kept)) > 0) {
        text[kept + (size_t)got] = '\0';
        char *line = text, *end;
        for (; (end = strchr(line, '\n')); line = end + 1) {
            pid_t pid = (pid_t)strtol(line, NULL, 10);
            if (pid > 0 && kill(pid, SIGKILL) == 0) /* 0 is a process outside this pid namespace */
                killed++;
        }
        kept = strlen(line);
        if (kept >= sizeof left)
            break;
        memcpy(left, line, kept + 1);
        memcpy(text, left, kept + 1);
    }
    close(fd);
    return killed;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
    struct timespec pause = {0, ms * 1000000};
    nanosleep(&pause, NULL);
}

/* One attempt on a directory and the groups below it. */
static int remove_once(int directory, const char *name)
{
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    DIR *entries = fdopendir(fd);
    if (!entries) {
        close(fd);
        return -ENOMEM;
    }
    for (struct dirent *entry; (entry = readdir(entries));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            remove_once(dirfd(entries), entry->d_name);
    tree_write(fd, ".", "freezer.state", "THAWED"); /* v1 only; on v2 the frozen die as well */
    tree_kill(fd, ".");
    closedir(entries);
    if (unlinkat(directory, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return -errno;
}

int tree_remove_all(int directory, const char *name, int ms)
{
    int64_t until = now_ms() + ms;
    int error;
    while ((error = remove_once(directory, name)) == -EBUSY && now_ms() < until)
        pause_ms(2);
    return error;
}

bool swap_is_on(void)
{
    char text[256];
    int fd = open("/proc/swaps", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false; /* no swap in this kernel */
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got < 0 ? 0 : got] = '\0';
    const char *second = strchr(text, '\n');
    return second && second[1] != '\0';
}
