/*
 * Packing what a compile step left: everything below one directory, with modes and symbolic links, into one
 * archive. By the file process (box.h), which has the user's rights and no others; raw system calls only.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "box.h"
#include "sys.h"

struct packer {
    int archive;
    const struct mayfly_collect *limits;
    uint64_t total_bytes;
    uint64_t written;
    uint32_t files;
    size_t path_bytes;
    char path[PACKED_PATH_BYTES_MAX + 1];
    long error;
};

struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

static void append(struct packer *p, const void *from, uint64_t bytes)
{
    const char *at = from;
    p->written += bytes;
    while (!p->error && bytes > 0) {
        long put = sys_write(p->archive, at, bytes);
        if (put < 0) {
            p->error = put;
            return;
        }
        at += put;
        bytes -= (uint64_t)put;
    }
}

/* Over any limit the whole archive is refused: half a program is worse than none. */
static bool admit(struct packer *p, uint64_t bytes)
{
    if (p->error)
        return false;
    if (p->files++ >= p->limits->files_max)
        p->error = -EMFILE;
    else if (bytes > p->limits->file_bytes_max ||
             bytes > p->limits->total_bytes_max - p->total_bytes)
        p->error = -EFBIG;
    p->total_bytes += bytes;
    return !p->error;
}

static void head(struct packer *p, uint32_t mode, uint64_t content_bytes)
{
    struct packed_record record = {(uint32_t)p->path_bytes, mode, content_bytes};
    append(p, &record, sizeof record);
    append(p, p->path, p->path_bytes);
}

static bool push(struct packer *p, const char *name)
{
    size_t bytes = 0;
    while (name[bytes])
        bytes++;
    if (p->path_bytes + bytes + 1 > PACKED_PATH_BYTES_MAX) {
        p->error = -ENAMETOOLONG;
        return false;
    }
    if (p->path_bytes > 0)
        p->path[p->path_bytes++] = '/';
    for (size_t i = 0; i < bytes; i++)
        p->path[p->path_bytes++] = name[i];
    p->path[p->path_bytes] = '\0';
    return true;
}

static void pack_file(struct packer *p, int directory, const char *name)
{
    struct stat about;
    long fd = sys_openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) {
        p->error = fd;
        return;
    }
    p->error = SYS2(SYS_fstat, fd, &about);
    if (!p->error && !S_ISREG(about.st_mode))
        p->error = -EBADMSG; /* nothing else runs: it cannot have changed */
    uint64_t left = (uint64_t)about.st_size;
    if (admit(p, left))
        head(p, about.st_mode & (S_IFMT | 0777), left);
    while (!p->error && left > 0) {
        long sent = SYS4(SYS_sendfile, p->archive, fd, 0, left);
        if (sent <= 0) {
            p->error = sent < 0 ? sent : -EBADMSG;
        } else {
            left -= (uint64_t)sent;
            p->written += (uint64_t)sent;
        }
    }
    sys_close((int)fd);
}

static void pack_link(struct packer *p, int directory, const char *name)
{
    char target[PACKED_PATH_BYTES_MAX];
    long bytes = SYS4(SYS_readlinkat, directory, name, target, sizeof target);
    if (bytes < 0 || bytes == (long)sizeof target) {
        p->error = bytes < 0 ? bytes : -ENAMETOOLONG;
        return;
    }
    if (admit(p, (uint64_t)bytes)) {
        head(p, S_IFLNK | 0777, (uint64_t)bytes);
        append(p, target, (uint64_t)bytes);
    }
}

static void pack_directory(struct packer *p, int directory, int depth);

static void pack_entry(struct packer *p, int directory, const char *name, int depth)
{
    struct stat about;
    p->error = SYS4(SYS_newfstatat, directory, name, &about, AT_SYMLINK_NOFOLLOW);
    if (p->error)
        return;
    if (S_ISREG(about.st_mode)) {
        pack_file(p, directory, name);
    } else if (S_ISLNK(about.st_mode)) {
        pack_link(p, directory, name);
    } else if (S_ISDIR(about.st_mode)) {
        if (!admit(p, 0))
            return;
        head(p, about.st_mode & (S_IFMT | 0777), 0);
        long next = sys_openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (next < 0) {
            p->error = next;
            return;
        }
        pack_directory(p, (int)next, depth + 1);
        sys_close((int)next);
    } /* sockets and FIFOs have nobody at their other end any more */
}

static void pack_directory(struct packer *p, int directory, int depth)
{
    _Alignas(8) char entries[4096];
    long got = 0;

    if (depth > PACKED_DEPTH_MAX)
        p->error = -ENAMETOOLONG;
    while (!p->error && (got = SYS3(SYS_getdents64, directory, entries, sizeof entries)) > 0) {
        for (long at = 0; at < got && !p->error;) {
            const struct entry *entry = (const void *)(entries + at);
            const char *name = entry->name;
            const size_t before = p->path_bytes;
            at += entry->bytes;
            if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])))
                continue;
            if (push(p, name))
                pack_entry(p, directory, name, depth);
            p->path_bytes = before;
        }
    }
    if (!p->error && got < 0)
        p->error = got;
}

void files_pack(int archive, const struct mayfly_collect *request, const char *root,
                struct files_result *result)
{
    static struct packer p;
    p = (struct packer){.archive = archive, .limits = request};
    /* The work directory is the image's own, so its path has no link of the job's in it. */
    long directory = sys_openat(AT_FDCWD, root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (directory < 0) {
        result->error = directory;
        return;
    }
    pack_directory(&p, (int)directory, 0);
    sys_close((int)directory);
    result->error = p.error;
    result->index = p.files;
    result->bytes = p.written;
}
