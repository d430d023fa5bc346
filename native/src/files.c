/*
 * Writing files into a box and reading them out, by a process inside it that has the user's rights and no
 * others (box.h). No path is followed through a symbolic link, and only regular files are opened.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "box.h"
#include "glob.h"
#include "sys.h"
#include "weaken.h"

#define PATH_BYTES_MAX 4096
#define DEPTH_MAX 64
/*
 * What one collection may do, whatever patterns and tree conspire to: "**" in "**" tries every way of sharing a
 * path out between them. Nobody's CPU limit holds here. Several times what a full disk of files takes.
 */
#define LOOKS_MAX 500000u
/* Files that are named but not returned: each costs a name in memory of the platform's. */
#define OMITTED_MAX 1024u
#define NO_FOLLOW (weak(WEAK_FILES) ? 0 : O_NOFOLLOW)

struct record {
    uint32_t path_bytes;
    uint32_t mode_or_reason;
    uint64_t content_bytes;
};

static char copy_buffer[65536];

/* Reads exactly `bytes` of the archive at *offset. */
static long read_exact(int archive, void *to, uint64_t bytes, uint64_t *offset)
{
    char *at = to;
    while (bytes > 0) {
        long got = SYS4(SYS_pread64, archive, at, bytes, *offset);
        if (got <= 0)
            return got < 0 ? got : -EBADMSG;
        at += got;
        bytes -= (uint64_t)got;
        *offset += (uint64_t)got;
    }
    return 0;
}

static long write_exact(int fd, const char *from, uint64_t bytes)
{
    while (bytes > 0) {
        long put = sys_write(fd, from, bytes);
        if (put < 0)
            return put;
        from += put;
        bytes -= (uint64_t)put;
    }
    return 0;
}

static bool dots(const char *segment)
{
    return segment[0] == '.' && (segment[1] == '\0' || (segment[1] == '.' && segment[2] == '\0'));
}

/*
 * Opens the directory that holds the last segment of `path`, making those that are missing, and points
 * *name at that segment. `path` is cut into segments in place.
 */
static long open_parent(char *path, const char **name)
{
    long directory = sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
    char *segment = path + 1;

    if (path[0] != '/')
        return -EINVAL;
    while (directory >= 0) {
        char *end = segment;
        while (*end && *end != '/')
            end++;
        bool last = *end == '\0';
        *end = '\0';
        if (segment[0] == '\0' || dots(segment)) {
            sys_close((int)directory);
            return -EINVAL;
        }
        if (last) {
            *name = segment;
            return directory;
        }
        const int flags = O_PATH | O_DIRECTORY | NO_FOLLOW;
        long next = sys_openat((int)directory, segment, flags, 0);
        if (next == -ENOENT) {
            next = SYS3(SYS_mkdirat, directory, segment, 0755);
            if (!next)
                next = sys_openat((int)directory, segment, flags, 0);
        }
        sys_close((int)directory);
        directory = next;
        segment = end + 1;
    }
    return directory;
}

static long copy_in(int archive, int fd, uint64_t bytes, uint64_t *offset)
{
    while (bytes > 0) {
        uint64_t piece = bytes < sizeof copy_buffer ? bytes : sizeof copy_buffer;
        long error = read_exact(archive, copy_buffer, piece, offset);
        if (!error)
            error = write_exact(fd, copy_buffer, piece);
        if (error)
            return error;
        bytes -= piece;
    }
    return 0;
}

static long put_one(int archive, const struct record *record, char *path, uint64_t *offset)
{
    struct stat about;
    const char *name;
    long directory = open_parent(path, &name);
    if (directory < 0)
        return directory;
    /* O_NONBLOCK: a FIFO left by an earlier step answers ENXIO instead of waiting for a reader. */
    long fd = sys_openat((int)directory, name,
                         O_WRONLY | O_CREAT | O_TRUNC | NO_FOLLOW | O_NONBLOCK, 0600);
    sys_close((int)directory);
    if (fd < 0)
        return fd;
    long error = SYS2(SYS_fstat, fd, &about);
    if (!error && !S_ISREG(about.st_mode) && !weak(WEAK_FILES))
        error = -EEXIST;
    if (!error)
        error = copy_in(archive, (int)fd, record->content_bytes, offset);
    if (!error)
        error = SYS2(SYS_fchmod, fd, record->mode_or_reason & 0777);
    sys_close((int)fd);
    return error;
}

void files_put(int archive, struct files_result *result)
{
    static char path[PATH_BYTES_MAX + 1];
    struct stat about;
    uint64_t offset = 0;

    SYS1(SYS_umask, 022);
    result->error = SYS2(SYS_fstat, archive, &about);
    while (!result->error && offset < (uint64_t)about.st_size) {
        struct record record;
        result->error = read_exact(archive, &record, sizeof record, &offset);
        if (result->error)
            return;
        if (record.path_bytes == 0 || record.path_bytes > PATH_BYTES_MAX ||
            record.content_bytes > (uint64_t)about.st_size) {
            result->error = -EBADMSG;
            return;
        }
        result->error = read_exact(archive, path, record.path_bytes, &offset);
        if (result->error)
            return;
        path[record.path_bytes] = '\0';
        result->error = put_one(archive, &record, path, &offset);
        if (!result->error)
            result->index++;
    }
}

/* One collection: limits, what was used of them, and the path of the directory being read. */
struct collector {
    int archive;
    const struct mayfly_collect *limits;
    uint64_t total_bytes;
    uint32_t files;
    uint32_t omitted;
    uint32_t looks; /* at directory entries and names */
    size_t path_bytes;
    char path[PATH_BYTES_MAX + 1];
    long error;
    uint64_t written;
};

static void append(struct collector *c, const void *from, uint64_t bytes)
{
    if (!c->error)
        c->error = write_exact(c->archive, from, bytes);
    c->written += bytes;
}

/* Whether to go on. */
static bool look(struct collector *c)
{
    return !c->error && (c->looks++ < LOOKS_MAX || weak(WEAK_BUDGET));
}

static void record(struct collector *c, uint32_t reason, uint64_t content_bytes)
{
    if (reason != 0 && c->omitted++ >= OMITTED_MAX && !weak(WEAK_BUDGET))
        return;
    struct record head = {(uint32_t)c->path_bytes, reason, content_bytes};
    append(c, &head, sizeof head);
    append(c, c->path, c->path_bytes);
}

/* Appends "/segment" to the path; false when it would be too long. */
static bool push(struct collector *c, const char *segment, size_t length)
{
    if (c->path_bytes + length + 1 > PATH_BYTES_MAX)
        return false;
    c->path[c->path_bytes++] = '/';
    for (size_t i = 0; i < length; i++)
        c->path[c->path_bytes++] = segment[i];
    c->path[c->path_bytes] = '\0';
    return true;
}

static void pop(struct collector *c, size_t path_bytes)
{
    c->path_bytes = path_bytes;
    c->path[path_bytes] = '\0';
}

static void copy_out(struct collector *c, int fd, uint64_t bytes)
{
    while (bytes > 0 && !c->error) {
        uint64_t piece = bytes < sizeof copy_buffer ? bytes : sizeof copy_buffer;
        long got = sys_read(fd, copy_buffer, piece);
        if (got <= 0) {
            c->error = got < 0 ? got : -EBADMSG; /* nothing else runs: it cannot have shrunk */
            return;
        }
        append(c, copy_buffer, (uint64_t)got);
        bytes -= (uint64_t)got;
    }
}

/* The last segment is `name` in `directory`; the path already ends in it. */
static void take(struct collector *c, int directory, const char *name)
{
    struct stat about;
    if (c->files >= c->limits->files_max) {
        record(c, MAYFLY_OMITTED_COUNT, 0);
        return;
    }
    c->files++;
    long fd = sys_openat(directory, name, O_RDONLY | NO_FOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) {
        record(c,
               fd == -ELOOP || fd == -ENXIO ? MAYFLY_OMITTED_NOT_REGULAR
               : fd == -ENOENT              ? MAYFLY_OMITTED_MISSING
                                            : MAYFLY_OMITTED_UNREADABLE,
               0);
        return;
    }
    long error = SYS2(SYS_fstat, fd, &about);
    uint64_t bytes = (uint64_t)about.st_size;
    if (error) {
        record(c, MAYFLY_OMITTED_UNREADABLE, 0);
    } else if (!S_ISREG(about.st_mode) && !weak(WEAK_FILES)) {
        record(c, MAYFLY_OMITTED_NOT_REGULAR, 0);
    } else if (bytes > c->limits->file_bytes_max) {
        record(c, MAYFLY_OMITTED_TOO_LARGE, 0);
    } else if (bytes > c->limits->total_bytes_max - c->total_bytes) {
        record(c, MAYFLY_OMITTED_TOTAL, 0);
    } else {
        c->total_bytes += bytes;
        record(c, 0, bytes);
        copy_out(c, (int)fd, bytes);
    }
    sys_close((int)fd);
}

struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type; /* DT_… of readdir(3) */
    char name[];
};

static void walk(struct collector *c, int directory, const char *pattern, int depth);

/* What matched one segment of the pattern: descend, or take the file. */
static void follow(struct collector *c, int directory, const char *name, size_t length,
                   const char *rest, int depth)
{
    size_t before = c->path_bytes;
    if (!look(c) || !push(c, name, length))
        return;
    if (*rest == '\0') {
        take(c, directory, c->path + before + 1);
    } else {
        long next = sys_openat(directory, c->path + before + 1,
                               O_RDONLY | O_DIRECTORY | NO_FOLLOW | O_NONBLOCK, 0);
        if (next >= 0) {
            walk(c, (int)next, rest + 1, depth + 1);
            sys_close((int)next);
        }
    }
    pop(c, before);
}

/* Calls follow() for each entry that `pattern`'s first segment, with a wildcard, matches. */
static void scan(struct collector *c, int directory, const char *pattern, size_t length, int depth)
{
    _Alignas(8) char entries[4096];
    bool any_depth = length == 2 && pattern[0] == '*' && pattern[1] == '*';
    long got;

    SYS3(SYS_lseek, directory, 0, 0);
    while (look(c) && (got = SYS3(SYS_getdents64, directory, entries, sizeof entries)) > 0) {
        for (long at = 0; at < got && look(c);) {
            const struct entry *entry = (const void *)(entries + at);
            size_t bytes = 0;
            at += entry->bytes;
            while (entry->name[bytes])
                bytes++;
            if (dots(entry->name))
                continue;
            /* "**" as last segment takes files; otherwise it descends and stays in the pattern. */
            if (any_depth && entry->name[0] != '.') {
                if (entry->type == 4 /* DT_DIR */) {
                    size_t before = c->path_bytes;
                    long next = sys_openat(directory, entry->name,
                                           O_RDONLY | O_DIRECTORY | NO_FOLLOW | O_NONBLOCK, 0);
                    if (next >= 0 && push(c, entry->name, bytes))
                        walk(c, (int)next, pattern, depth + 1);
                    if (next >= 0)
                        sys_close((int)next);
                    pop(c, before);
                } else if (pattern[length] == '\0') {
                    follow(c, directory, entry->name, bytes, "", depth);
                }
            } else if (!any_depth && glob_segment(pattern, length, entry->name)) {
                if (entry->type != 4 || pattern[length] != '\0')
                    follow(c, directory, entry->name, bytes, pattern + length, depth);
            }
        }
    }
}

/* `pattern` is relative to `directory`, which is open for reading. */
static void walk(struct collector *c, int directory, const char *pattern, int depth)
{
    size_t length = 0;
    if (depth > DEPTH_MAX || !look(c))
        return;
    while (pattern[length] && pattern[length] != '/')
        length++;
    if (!glob_wild(pattern, length)) {
        follow(c, directory, pattern, length, pattern + length, depth);
        return;
    }
    /* "**" also matches no directory at all. */
    if (length == 2 && pattern[0] == '*' && pattern[1] == '*' && pattern[length] == '/')
        walk(c, directory, pattern + length + 1, depth + 1);
    scan(c, directory, pattern, length, depth);
}

void files_collect(int archive, const struct mayfly_collect *request, const char *patterns,
                   struct files_result *result)
{
    static struct collector c;
    c = (struct collector){.archive = archive, .limits = request};

    const char *pattern = patterns, *end = patterns + request->patterns_bytes;
    for (uint32_t i = 0; i < request->patterns_count && pattern < end && !c.error; i++) {
        result->index = i;
        long root = sys_openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0);
        if (pattern[0] != '/' || root < 0) {
            c.error = root < 0 ? root : -EINVAL;
        } else {
            uint64_t before = c.written;
            bool wild = false;
            size_t length = 0;
            while (pattern[length])
                length++;
            wild = glob_wild(pattern, length);
            walk(&c, (int)root, pattern + 1, 0);
            if (c.looks > LOOKS_MAX) {
                pop(&c, 0);
                push(&c, pattern + 1, length - 1 < PATH_BYTES_MAX ? length - 1 : 0);
                record(&c, MAYFLY_OMITTED_COUNT, 0); /* the pattern was not followed to its end */
                pop(&c, 0);
            } else if (!wild && c.written == before && !c.error && length <= PATH_BYTES_MAX) {
                pop(&c, 0);
                push(&c, pattern + 1, length - 1);
                record(&c, MAYFLY_OMITTED_MISSING, 0); /* a directory of it is not there */
                pop(&c, 0);
            }
        }
        if (root >= 0)
            sys_close((int)root);
        while (pattern < end && *pattern)
            pattern++;
        pattern++;
    }
    result->error = c.error;
    result->bytes = c.written;
}
