/* Archives that extract.c and its formats get, made here by hand, into a directory of the test's own. */
#include "extract.h"

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static char directory[] = "/tmp/mayfly-extract-XXXXXX";
static char said[512];
static uint8_t bytes[8192];
static size_t used;

static int drop(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about, (void)type, (void)where;
    return remove(path);
}

static enum extract_end run(enum extract_format format, const void *archive, size_t length)
{
    char target[64];
    int fd = memfd_create("archive", MFD_CLOEXEC);
    CHECK(write(fd, "before", 6) == 6 && write(fd, archive, length) == (ssize_t)length);
    CHECK(write(fd, "after", 5) == 5); /* it is a stretch of a file: nothing beside it may matter */
    snprintf(target, sizeof target, "%s/made", directory);
    nftw(target, drop, 16, FTW_DEPTH | FTW_PHYS);
    const struct extract_request request = {fd, 6, length, format, target};
    enum extract_end end = extract(&request, said, sizeof said);
    close(fd);
    return end;
}

static void tar_entry(const char *name, char type, const char *content)
{
    char *header = (char *)bytes + used;
    unsigned sum = 0;
    memset(header, 0, 1024);
    strcpy(header, name);
    strcpy(header + 100, "0000640");
    snprintf(header + 124, 12, "%011o", (unsigned)strlen(content));
    memset(header + 148, ' ', 8);
    header[156] = type;
    memcpy(header + 257, "ustar\00000", 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    strcpy(header + 512, content);
    used += *content ? 1024 : 512;
}

static enum extract_end run_tar(void)
{
    static uint8_t packed[8192];
    z_stream stream = {.next_in = bytes, .next_out = packed, .avail_out = sizeof packed};
    memset(bytes + used, 0, 1024);
    stream.avail_in = (uInt)used + 1024;
    used = 0;
    CHECK(deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    deflateEnd(&stream);
    for (size_t cut = 0; cut < stream.total_out; cut += 7) /* none that is cut short passes */
        CHECK(run(EXTRACT_TAR_GZ, packed, cut) == EXTRACT_REFUSED);
    return run(EXTRACT_TAR_GZ, packed, stream.total_out);
}

static void put(size_t at, uint32_t value, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[at + i] = (uint8_t)(value >> (8 * i));
}

/* One stored entry: local header, content, directory, end. */
static void zip(const char *name, const char *content, uint32_t mode)
{
    const uint32_t n = (uint32_t)strlen(name), c = (uint32_t)strlen(content);
    const uint32_t crc = (uint32_t)crc32(0, (const uint8_t *)content, c);
    const size_t central = 30 + n + c, end = central + 46 + n;
    memset(bytes, 0, sizeof bytes);
    put(0, 0x04034b50, 4);
    put(14, crc, 4);
    put(18, c, 4);
    put(22, c, 4);
    put(26, n, 2);
    memcpy(bytes + 30, name, n);
    memcpy(bytes + 30 + n, content, c);
    put(central, 0x02014b50, 4);
    put(central + 4, 3 << 8, 2);
    memcpy(bytes + central + 6, bytes + 4, 24);
    put(central + 38, mode << 16, 4);
    memcpy(bytes + central + 46, name, n);
    put(end, 0x06054b50, 4);
    put(end + 8, 1, 2);
    put(end + 10, 1, 2);
    put(end + 12, 46 + n, 4);
    put(end + 16, (uint32_t)central, 4);
    used = end + 22;
}

static bool is(const char *name, const char *content, mode_t mode)
{
    char path[128], read_back[64] = {0};
    struct stat about;
    snprintf(path, sizeof path, "%s/made/%s", directory, name);
    int fd = open(path, O_RDONLY | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &about) != 0 || read(fd, read_back, sizeof read_back - 1) < 0)
        return false;
    close(fd);
    return strcmp(read_back, content) == 0 && (about.st_mode & 07777) == mode;
}

static void check_tar(void)
{
    tar_entry("./d/", '5', "");
    tar_entry("./d/a", '0', "content");
    tar_entry("x", 'x', "10 path=p\n");
    tar_entry("short", '0', "named by pax");
    CHECK(run_tar() == EXTRACT_DONE);
    CHECK(is("d/a", "content", 0640) && is("p", "named by pax", 0640));

    for (const char *type = "12346S7K"; *type; type++) {
        tar_entry("odd", *type, "");
        CHECK(run_tar() == EXTRACT_REFUSED);
        CHECK(!is("odd", "", 0640));
    }
    tar_entry("a/../../b", '0', "");
    CHECK(run_tar() == EXTRACT_REFUSED && strstr(said, "a/../../b: leads out"));
    tar_entry("x", 'x', "14 path=../../p\n");
    tar_entry("short", '0', "");
    CHECK(run_tar() == EXTRACT_REFUSED); /* its length is wrong */
    tar_entry("x", 'x', "16 path=../../p\n");
    tar_entry("short", '0', "");
    CHECK(run_tar() == EXTRACT_REFUSED && strstr(said, "leads out"));
    tar_entry("g", 'g', "10 path=p\n");
    tar_entry("short", '0', "");
    CHECK(run_tar() == EXTRACT_REFUSED);
    tar_entry("a", '0', "1");
    tar_entry("a/b", '0', "2");
    CHECK(run_tar() == EXTRACT_REFUSED && strstr(said, "through what is no directory"));
    tar_entry("a", '0', "1");
    tar_entry("a", '0', "2");
    CHECK(run_tar() == EXTRACT_REFUSED);
}

static void check_zip(void)
{
    zip("d/a", "content", 0100640);
    CHECK(run(EXTRACT_ZIP, bytes, used) == EXTRACT_DONE);
    CHECK(is("d/a", "content", 0640));
    for (size_t cut = 0; cut < used; cut++)
        CHECK(run(EXTRACT_ZIP, bytes, cut) == EXTRACT_REFUSED);

    /* Whatever byte is changed: refused, or it was one that says nothing. Never more than the sanitizers allow. */
    for (size_t at = 0; at < used; at++) {
        bytes[at] ^= 0x41;
        CHECK(run(EXTRACT_ZIP, bytes, used) != EXTRACT_FULL);
        bytes[at] ^= 0x41;
    }
    bytes[30 + 3] ^= 1; /* its content */
    CHECK(run(EXTRACT_ZIP, bytes, used) == EXTRACT_REFUSED && strstr(said, "is damaged"));
    zip("d/a", "content", 0100640);
    bytes[32] = 'b'; /* its name, in its own header */
    CHECK(run(EXTRACT_ZIP, bytes, used) == EXTRACT_REFUSED &&
          strstr(said, "not what the directory"));

    static const struct {
        const char *name;
        uint32_t mode;
        const char *why;
    } odd[] = {{"../a", 0100644, "../a: leads out"},
               {"/a", 0100644, "absolute"},
               {"", 0100644, "no length"},
               {"a", 0120777, "neither"},
               {"a", 020666, "neither"},
               {"a/", 0100644, "neither"},
               {"a", 040755, "neither"},
               {"..", 0100644, "leads out"}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        zip(odd[i].name, "", odd[i].mode);
        CHECK(run(EXTRACT_ZIP, bytes, used) == EXTRACT_REFUSED);
        CHECK(strstr(said, odd[i].why));
    }
    zip("a", "content", 0104755);
    CHECK(run(EXTRACT_ZIP, bytes, used) == EXTRACT_DONE && is("a", "content", 0755));
}

int main(void)
{
    CHECK(mkdtemp(directory));
    check_tar();
    check_zip();
    nftw(directory, drop, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
