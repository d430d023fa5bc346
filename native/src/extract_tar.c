/*
 * Gzipped tar: ustar, with the long names of pax and of GNU tar. Its ends are checked as well, so that an archive
 * that was cut is not taken for a shorter one.
 */
#include <string.h>

#include "extract.h"

#define BLOCK 512u
#define BUFFER 65536u
#define EXTENSION_MAX 65536u
#define BYTES_MAX (1ull << 40)

struct pending {
    char path[EXTRACT_PATH_MAX];
    size_t path_bytes;
    uint64_t bytes;
    bool has_path, has_bytes;
};

static struct {
    z_stream *stream;
    uint64_t at;
    bool over;
    uint8_t in[BUFFER];
} gzip;

static bool feed(void)
{
    const uint64_t left = archive_bytes() - gzip.at;
    const size_t next = left < sizeof gzip.in ? (size_t)left : sizeof gzip.in;
    if (gzip.stream->avail_in > 0 || next == 0)
        return gzip.stream->avail_in > 0;
    archive_read(gzip.at, gzip.in, next);
    gzip.at += next;
    gzip.stream->next_in = gzip.in;
    gzip.stream->avail_in = (uInt)next;
    return true;
}

/* As many as there are up to `length`; an archive may be several gzip streams, one after the other. */
static size_t read_some(void *to, size_t length)
{
    z_stream *stream = gzip.stream;
    stream->next_out = to;
    stream->avail_out = (uInt)length;
    while (stream->avail_out > 0 && !gzip.over) {
        if (!feed())
            refuse("the archive is cut short");
        const int state = inflate(stream, Z_NO_FLUSH);
        if (state == Z_STREAM_END) {
            gzip.over = !feed();
            if (!gzip.over && inflateReset(stream) != Z_OK)
                refuse("the archive is damaged");
        } else if (state != Z_OK) {
            refuse("the archive is damaged, or not compressed with gzip");
        }
    }
    return length - stream->avail_out;
}

static void read_all(void *to, size_t length)
{
    if (read_some(to, length) != length)
        refuse("the archive is cut short");
}

static bool all_zero(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i])
            return false;
    return true;
}

/* Octal, or for what is too large for that, GNU's big-endian binary. */
static uint64_t number(const uint8_t *field, size_t length)
{
    uint64_t value = 0;
    size_t i = 0;
    if (field[0] & 0x80) {
        value = field[0] & 0x7f;
        for (i = 1; i < length; i++) {
            if (value > BYTES_MAX)
                refuse("has a number that is too large");
            value = value << 8 | field[i];
        }
        return value;
    }
    while (i < length && field[i] == ' ')
        i++;
    for (; i < length && field[i] >= '0' && field[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(field[i] - '0');
    if (i < length && field[i] != '\0' && field[i] != ' ')
        refuse("has a damaged header");
    return value;
}

static void check_header(const uint8_t *header)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : header[i];
    if (memcmp(header + 257, "ustar", 5) != 0 || number(header + 148, 8) != sum)
        refuse("the archive has a damaged header");
}

static struct entry_name name_of(const uint8_t *header, struct pending *pending)
{
    static char path[257];
    size_t prefix = 0;
    if (pending->has_path)
        return (struct entry_name){pending->path, pending->path_bytes};
    if (header[262] == '\0' && header[345]) { /* in GNU's own form, something else is there */
        prefix = strnlen((const char *)header + 345, 155);
        memcpy(path, header + 345, prefix);
        path[prefix++] = '/';
    }
    const size_t length = strnlen((const char *)header, 100);
    memcpy(path + prefix, header, length);
    return (struct entry_name){path, prefix + length};
}

static void skip_padding(uint64_t bytes)
{
    uint8_t block[BLOCK];
    if (bytes % BLOCK > 0)
        read_all(block, BLOCK - (size_t)(bytes % BLOCK));
}

static void set_path(struct pending *pending, const char *path, size_t length)
{
    if (length > sizeof pending->path)
        refuse("an entry has a name that is too long");
    memcpy(pending->path, path, length);
    pending->path_bytes = length;
    pending->has_path = true;
}

/* One "key=value" of a pax header. */
static void pax_field(struct pending *pending, const char *field, size_t length)
{
    const char *equals = memchr(field, '=', length);
    if (!equals)
        refuse("the archive has a damaged header");
    const size_t key = (size_t)(equals - field);
    const char *value = equals + 1;
    const size_t bytes = length - key - 1;
    if (key >= 10 && memcmp(field, "GNU.sparse", 10) == 0)
        refuse("a sparse file is not supported");
    if (key == 4 && memcmp(field, "path", 4) == 0)
        set_path(pending, value, bytes);
    if (key == 4 && memcmp(field, "size", 4) == 0) {
        pending->bytes = 0;
        pending->has_bytes = true;
        for (size_t i = 0; i < bytes; i++) {
            if (value[i] < '0' || value[i] > '9' || pending->bytes > BYTES_MAX)
                refuse("the archive has a damaged header");
            pending->bytes = pending->bytes * 10 + (uint64_t)(value[i] - '0');
        }
    }
}

static void pax(struct pending *pending, const char *text, size_t length)
{
    while (length > 0) {
        size_t record = 0, digits = 0;
        while (digits < length && digits < 6 && text[digits] >= '0' && text[digits] <= '9')
            record = record * 10 + (size_t)(text[digits++] - '0');
        if (digits == 0 || digits >= length || text[digits] != ' ' || record < digits + 3 ||
            record > length || text[record - 1] != '\n')
            refuse("the archive has a damaged header");
        pax_field(pending, text + digits + 1, record - digits - 2);
        text += record;
        length -= record;
    }
}

static void read_extension(char type, uint64_t bytes, struct pending *pending)
{
    static char text[EXTENSION_MAX];
    if (bytes > sizeof text)
        refuse("the archive has a header that is too long");
    read_all(text, (size_t)bytes);
    skip_padding(bytes);
    if (type == 'L') {
        set_path(pending, text, strnlen(text, (size_t)bytes));
        return;
    }
    struct pending global = {0}; /* of all that follows: there may be a comment, but no name */
    pax(type == 'x' ? pending : &global, text, (size_t)bytes);
    if (global.has_path || global.has_bytes)
        refuse("the archive has one name for all");
}

static void extract_file(struct entry_name name, uint64_t bytes, uint32_t mode)
{
    static uint8_t buffer[BUFFER];
    open_file(name);
    for (uint64_t left = bytes; left > 0;) {
        const size_t next = left < sizeof buffer ? (size_t)left : sizeof buffer;
        read_all(buffer, next);
        write_file(buffer, next);
        left -= next;
    }
    skip_padding(bytes);
    close_file(mode);
}

static void extract_entry(const uint8_t *header, struct pending *pending)
{
    const char type = (char)header[156];
    const struct entry_name name = name_of(header, pending);
    working_on(name);
    const uint64_t bytes = pending->has_bytes ? pending->bytes : number(header + 124, 12);
    const uint32_t mode = (uint32_t)(number(header + 100, 8) & 0777);
    if (bytes > BYTES_MAX)
        refuse("is too large");
    if (type == 'x' || type == 'g' || type == 'L') {
        read_extension(type, bytes, pending);
        return;
    }
    if (type == '1' || type == '2')
        refuse("is a link");
    if (type != '0' && type != '\0' && type != '5')
        refuse("is neither a regular file nor a directory");
    if (type != '5') {
        extract_file(name, bytes, mode);
    } else if (bytes == 0) {
        make_directory(name, mode);
    } else {
        refuse("is a directory with content");
    }
    *pending = (struct pending){0};
}

/* Two blocks of zeros, and nothing but zeros to the end of the last stream, which has a checksum. */
static void read_end(void)
{
    static uint8_t rest[BUFFER];
    size_t got, all = 0;
    while ((got = read_some(rest, sizeof rest)) > 0) {
        if (!all_zero(rest, got))
            refuse("the archive goes on after its end");
        all += got;
    }
    if (all < BLOCK)
        refuse("the archive is cut short");
}

void extract_tar_gz(void)
{
    static struct pending pending;
    uint8_t header[BLOCK];
    gzip.at = 0;
    gzip.over = false;
    pending = (struct pending){0};
    gzip.stream = start_inflating(MAX_WBITS + 16);
    for (;;) {
        working_on((struct entry_name){NULL, 0});
        read_all(header, sizeof header);
        if (all_zero(header, sizeof header))
            break;
        check_header(header);
        extract_entry(header, &pending);
    }
    if (pending.has_path || pending.has_bytes)
        refuse("the archive ends with the name of an entry");
    read_end();
}
