/*
 * Archives of any content, as a zip or as a tar.gz, into the root that fuzz/run gives it. An input is: what it is (1
 * byte: tar.gz, zip, or a tar that is compressed here and whose checksums are put right), the archive.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "extract.h"

static int drop(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)where;
    if (type != FTW_F && type != FTW_DP)
        abort(); /* neither a regular file nor a directory */
    if (about->st_mode & 07000)
        abort();
    remove(path);
    return 0;
}

static void mend_checksums(uint8_t *tar, size_t size)
{
    for (size_t at = 0; at + 512 <= size; at += 512) {
        unsigned sum = 0;
        if (memcmp(tar + at + 257, "ustar", 5) != 0)
            continue;
        memset(tar + at + 148, ' ', 8);
        for (size_t i = 0; i < 512; i++)
            sum += tar[at + i];
        snprintf((char *)tar + at + 148, 8, "%06o", sum);
    }
}

static size_t compress_tar(const uint8_t *data, size_t size, uint8_t *to, size_t room)
{
    static uint8_t tar[1 << 16];
    size = size < sizeof tar ? size : sizeof tar;
    memcpy(tar, data, size);
    mend_checksums(tar, size);
    z_stream stream = {.next_in = tar, .avail_in = (uInt)size, .next_out = to};
    stream.avail_out = (uInt)room;
    if (deflateInit2(&stream, 1, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
        deflate(&stream, Z_FINISH) != Z_STREAM_END)
        abort();
    deflateEnd(&stream);
    return stream.total_out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t packed[1 << 17];
    char said[512];
    struct stat about;
    if (size < 1 || getuid() == 0)
        return -1;
    const int what = data[0] % 3;
    data++, size--;
    if (what == 2) {
        size = compress_tar(data, size, packed, sizeof packed);
        data = packed;
    }
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    const struct extract_request request = {.source = fd,
                                            .bytes = size,
                                            .format = what == 1 ? EXTRACT_ZIP : EXTRACT_TAR_GZ,
                                            .directory = "/box/in"};
    extract(&request, said, sizeof said);
    close(fd);
    nftw("/box/in", drop, 16, FTW_DEPTH | FTW_PHYS);
    if (stat("/box", &about) != 0 || about.st_nlink != 2)
        abort(); /* something lies beside its directory */
    return 0;
}
