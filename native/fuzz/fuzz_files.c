/*
 * Files in and out: an archive of any content is written, then collected with patterns of any content. Runs as an
 * ordinary user in a root of its own (fuzz/run), since both follow absolute paths.
 *
 * An input is: length of the archive (2 bytes), archive, patterns.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

static int drop(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about, (void)type;
    if (where->level > 0)
        remove(path);
    return 0;
}

static int memory(const void *bytes, size_t length)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, length) != (ssize_t)length)
        abort();
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct files_result put = {0}, collected = {0};
    if (size < 4 || getuid() == 0)
        return -1;
    size_t length = (size_t)data[0] | (size_t)data[1] << 8;
    length = length > size - 3 ? size - 3 : length;
    int archive = memory(data + 2, length);
    files_put(archive, &put);
    close(archive);

    char patterns[4096];
    size_t bytes = size - 2 - length;
    bytes = bytes > sizeof patterns - 1 ? sizeof patterns - 1 : bytes;
    memcpy(patterns, data + 2 + length, bytes);
    patterns[bytes++] = '\0';
    struct mayfly_collect limits = {.size = sizeof limits,
                                    .file_bytes_max = 1000,
                                    .total_bytes_max = 5000,
                                    .files_max = 20,
                                    .patterns_count = 8,
                                    .patterns_bytes = (uint32_t)bytes};
    int out = memory("", 0);
    files_collect(out, &limits, patterns, &collected);
    struct stat about;
    if (fstat(out, &about) != 0 ||
        (collected.error == 0 && collected.bytes != (uint64_t)about.st_size))
        abort(); /* what is told about the result has to be true */
    close(out);

    struct files_result packed = {0};
    out = memory("", 0);
    files_pack(out, &limits, "/box", &packed);
    if (fstat(out, &about) != 0 || (packed.error == 0 && packed.bytes != (uint64_t)about.st_size))
        abort();
    close(out);
    nftw("/box", drop, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
