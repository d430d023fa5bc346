#include "extract.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    struct extract_request request;
    struct entry_name name;
    int root;
    int parent;
    int file;
    z_stream stream;
    bool inflating;
    char *said;
    size_t said_bytes;
    jmp_buf end;
} work;

/* Names are a stranger's bytes, and go to a log or a terminal: only plain ones are said as they are. */
static size_t say_name(char *to, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i < work.name.length && used + 5 < room && used < 200; i++) {
        const unsigned char byte = (unsigned char)work.name.bytes[i];
        const bool plain = byte > 0x20 && byte < 0x7f && byte != '\\';
        used += (size_t)snprintf(to + used, room - used, plain ? "%c" : "\\x%02x", byte);
    }
    return used;
}

static _Noreturn void stop(enum extract_end end, const char *why)
{
    size_t used = say_name(work.said, work.said_bytes);
    if (used > 0)
        used += (size_t)snprintf(work.said + used, work.said_bytes - used, ": ");
    snprintf(work.said + used, work.said_bytes - used, "%s", why);
    longjmp(work.end, (int)end);
}

void refuse(const char *why)
{
    stop(EXTRACT_REFUSED, why);
}

void give_up(const char *what, int error)
{
    char why[160];
    const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG || error == ENOMEM;
    const char *limit = error == EFBIG ? "fileBytes" : "diskBytes and files";
    if (full)
        snprintf(why, sizeof why, "%s: %s (limits %s)", what, strerror(error), limit);
    else
        snprintf(why, sizeof why, "%s: %s", what, strerror(error));
    stop(full ? EXTRACT_FULL : EXTRACT_REFUSED, why);
}

void working_on(struct entry_name name)
{
    work.name = name;
}

static void forget(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Into a directory below work.parent, which is made where it is not there. No link is ever followed. */
static void descend(const char *segment)
{
    if (mkdirat(work.parent, segment, 0755) != 0 && errno != EEXIST)
        give_up("a directory cannot be made", errno);
    int next = openat(work.parent, segment, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0)
        give_up("leads through what is no directory", errno);
    forget(&work.parent);
    work.parent = next;
}

/* Leaves the directory that holds it in work.parent. Returns its last segment; NULL: it is the directory itself. */
static const char *walk(struct entry_name name)
{
    static char path[EXTRACT_PATH_MAX + 1];
    const char *last = NULL;
    if (name.length == 0 || name.length > EXTRACT_PATH_MAX)
        refuse("has a name of no length, or too long");
    if (memchr(name.bytes, '\0', name.length))
        refuse("has a name with NUL");
    if (name.bytes[0] == '/')
        refuse("is an absolute path");
    memcpy(path, name.bytes, name.length);
    path[name.length] = '\0';
    forget(&work.parent);
    work.parent = fcntl(work.root, F_DUPFD_CLOEXEC, 0);
    if (work.parent < 0)
        give_up("the directory", errno);
    for (char *rest = path, *segment; (segment = strsep(&rest, "/"));) {
        if (!*segment || !strcmp(segment, "."))
            continue;
        if (!strcmp(segment, ".."))
            refuse("leads out of the archive's directory");
        if (last)
            descend(last);
        last = segment;
    }
    return last;
}

void make_directory(struct entry_name name, uint32_t mode)
{
    const char *last = walk(name);
    if (!last)
        return;
    descend(last);
    if (fchmod(work.parent, (mode & 0777) | 0700) != 0) /* its owner has to be able to fill it */
        give_up("its mode", errno);
}

void open_file(struct entry_name name)
{
    const char *last = walk(name);
    if (!last || name.bytes[name.length - 1] == '/')
        refuse("is a file with the name of a directory");
    work.file = openat(work.parent, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                       0600);
    if (work.file < 0)
        give_up("cannot be made", errno);
}

void write_file(const void *bytes, size_t length)
{
    for (const char *at = bytes; length > 0;) {
        ssize_t put = write(work.file, at, length);
        if (put < 0)
            give_up("cannot be written", errno);
        at += put;
        length -= (size_t)put;
    }
}

void close_file(uint32_t mode)
{
    if (fchmod(work.file, mode & 0777) != 0) /* no set-id bits, whoever asks */
        give_up("its mode", errno);
    forget(&work.file);
}

uint64_t archive_bytes(void)
{
    return work.request.bytes;
}

void archive_read(uint64_t at, void *to, size_t length)
{
    if (at > work.request.bytes || length > work.request.bytes - at)
        refuse("the archive is cut short");
    for (char *next = to; length > 0;) {
        ssize_t got = pread(work.request.source, next, length, (off_t)(work.request.at + at));
        if (got <= 0)
            refuse("the archive is cut short");
        next += got;
        at += (uint64_t)got;
        length -= (size_t)got;
    }
}

z_stream *start_inflating(int window_bits)
{
    memset(&work.stream, 0, sizeof work.stream);
    if (inflateInit2(&work.stream, window_bits) != Z_OK)
        give_up("unpacking", ENOMEM);
    work.inflating = true;
    return &work.stream;
}

void stop_inflating(void)
{
    if (work.inflating)
        inflateEnd(&work.stream);
    work.inflating = false;
}

/* The client's own choice, checked by the API: segment by segment from the root. */
static void open_root(const char *directory)
{
    working_on((struct entry_name){directory, strlen(directory)});
    work.root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (work.root < 0)
        give_up("cannot be opened", errno);
    struct entry_name below = {directory + 1, strlen(directory) - 1};
    const char *last = walk(below);
    if (!last)
        refuse("is not a directory of a job");
    descend(last);
    forget(&work.root);
    work.root = work.parent;
    work.parent = -1;
    working_on((struct entry_name){NULL, 0});
}

enum extract_end extract(const struct extract_request *request, char *said, size_t said_bytes)
{
    memset(&work, 0, sizeof work);
    work.request = *request;
    work.root = work.parent = work.file = -1;
    work.said = said;
    work.said_bytes = said_bytes;
    int end = setjmp(work.end);
    if (end == EXTRACT_DONE) {
        open_root(request->directory);
        if (request->format == EXTRACT_ZIP)
            extract_zip();
        else
            extract_tar_gz();
    }
    stop_inflating();
    forget(&work.root);
    forget(&work.parent);
    forget(&work.file);
    return (enum extract_end)end;
}
