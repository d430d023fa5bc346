/*
 * Zip as nearly everybody writes it: one part, stored or deflated, not encrypted, below 4 GiB. What the central
 * directory and an entry's own header say must agree, so that nobody can have checked another archive than this.
 */
#include <string.h>
#include <sys/stat.h>

#include "extract.h"

#define END_BYTES 22u
#define CENTRAL_BYTES 46u
#define LOCAL_BYTES 30u
#define COMMENT_MAX 65535u
#define BUFFER 65536u

enum { STORED = 0, DEFLATED = 8 };
/* Encrypted, patched, strongly encrypted, masked. */
#define FLAGS_REFUSED (1u << 0 | 1u << 5 | 1u << 6 | 1u << 13)
#define FLAG_SIZES_FOLLOW (1u << 3)
#define MADE_BY_UNIX 3
#define MADE_BY_MAC 19

struct zip_entry {
    uint16_t flags, method;
    uint32_t crc, packed, bytes, local, attributes;
    uint8_t made_by;
    struct entry_name name;
};

static uint16_t u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t u32(const uint8_t *at)
{
    return (uint32_t)u16(at) | (uint32_t)u16(at + 2) << 16;
}

/* The end record is the last thing in the archive, with a comment that is exactly as long as it says. */
static uint64_t find_end(uint8_t record[END_BYTES])
{
    static uint8_t tail[END_BYTES + COMMENT_MAX];
    const uint64_t all = archive_bytes();
    const size_t length = all < sizeof tail ? (size_t)all : sizeof tail;
    archive_read(all - length, tail, length);
    for (size_t back = END_BYTES; back <= length; back++) {
        const uint8_t *at = tail + length - back;
        if (u32(at) == 0x06054b50 && u16(at + 20) == back - END_BYTES) {
            memcpy(record, at, END_BYTES);
            return all - back;
        }
    }
    refuse("this is not a zip archive");
}

static uint64_t read_central(uint64_t at, uint64_t end, struct zip_entry *entry)
{
    static char name[EXTRACT_PATH_MAX];
    uint8_t header[CENTRAL_BYTES];
    if (end - at < CENTRAL_BYTES)
        refuse("the directory is cut short");
    archive_read(at, header, sizeof header);
    const uint64_t length = CENTRAL_BYTES + (uint64_t)u16(header + 28) + u16(header + 30) +
                            u16(header + 32);
    if (u32(header) != 0x02014b50 || length > end - at)
        refuse("the directory is damaged");
    if (u16(header + 28) > sizeof name)
        refuse("an entry has a name that is too long");
    archive_read(at + CENTRAL_BYTES, name, u16(header + 28));
    *entry = (struct zip_entry){.flags = u16(header + 8),
                                .method = u16(header + 10),
                                .crc = u32(header + 16),
                                .packed = u32(header + 20),
                                .bytes = u32(header + 24),
                                .local = u32(header + 42),
                                .attributes = u32(header + 38),
                                .made_by = header[5],
                                .name = {name, u16(header + 28)}};
    working_on(entry->name);
    if (entry->packed == 0xffffffff || entry->bytes == 0xffffffff || entry->local == 0xffffffff)
        refuse("is larger than 4 GiB (zip64)");
    if (u16(header + 34) != 0)
        refuse("lies in another part of the archive");
    return at + length;
}

/* Returns where its content begins. */
static uint64_t read_local(const struct zip_entry *entry, uint64_t from, uint64_t end)
{
    static char name[EXTRACT_PATH_MAX];
    uint8_t header[LOCAL_BYTES];
    if (entry->local < from)
        refuse("overlaps another entry");
    archive_read(entry->local, header, sizeof header);
    const uint16_t flags = u16(header + 6);
    if (u32(header) != 0x04034b50 || flags != entry->flags || u16(header + 8) != entry->method ||
        u16(header + 26) != entry->name.length)
        refuse("is not what the directory says");
    archive_read(entry->local + LOCAL_BYTES, name, entry->name.length);
    const bool same = u32(header + 14) == entry->crc && u32(header + 18) == entry->packed &&
                      u32(header + 22) == entry->bytes;
    const bool later = (flags & FLAG_SIZES_FOLLOW) != 0 && u32(header + 14) == 0 &&
                       u32(header + 18) == 0 && u32(header + 22) == 0;
    if ((!same && !later) || memcmp(name, entry->name.bytes, entry->name.length) != 0)
        refuse("is not what the directory says");
    const uint64_t start = (uint64_t)entry->local + LOCAL_BYTES + entry->name.length +
                           u16(header + 28);
    if (start > end || entry->packed > end - start)
        refuse("is cut short");
    return start;
}

static void inflate_entry(const struct zip_entry *entry, uint64_t at)
{
    static uint8_t in[BUFFER], out[BUFFER];
    uint64_t left = entry->packed, made = 0;
    uint32_t crc = 0;
    z_stream *stream = start_inflating(-MAX_WBITS);
    for (int state = Z_OK; state != Z_STREAM_END;) {
        if (stream->avail_in == 0 && left > 0) {
            const size_t next = left < sizeof in ? (size_t)left : sizeof in;
            archive_read(at, in, next);
            at += next;
            left -= next;
            stream->next_in = in;
            stream->avail_in = (uInt)next;
        }
        stream->next_out = out;
        stream->avail_out = sizeof out;
        state = inflate(stream, Z_NO_FLUSH);
        const size_t got = sizeof out - stream->avail_out;
        if ((state != Z_OK && state != Z_STREAM_END) || got > entry->bytes - made)
            refuse("is damaged");
        crc = (uint32_t)crc32(crc, out, (uInt)got);
        write_file(out, got);
        made += got;
    }
    if (left > 0 || stream->avail_in > 0 || made != entry->bytes || crc != entry->crc)
        refuse("is damaged");
    stop_inflating();
}

static void copy_entry(const struct zip_entry *entry, uint64_t at)
{
    static uint8_t buffer[BUFFER];
    uint32_t crc = 0;
    if (entry->packed != entry->bytes)
        refuse("is damaged");
    for (uint64_t left = entry->bytes; left > 0;) {
        const size_t next = left < sizeof buffer ? (size_t)left : sizeof buffer;
        archive_read(at, buffer, next);
        crc = (uint32_t)crc32(crc, buffer, (uInt)next);
        write_file(buffer, next);
        at += next;
        left -= next;
    }
    if (crc != entry->crc)
        refuse("is damaged");
}

static void extract_entry(const struct zip_entry *entry, uint64_t content)
{
    const bool unix_mode = entry->made_by == MADE_BY_UNIX || entry->made_by == MADE_BY_MAC;
    const uint32_t attributes = unix_mode ? entry->attributes >> 16 : 0;
    const uint32_t type = attributes & S_IFMT;
    const bool directory = entry->name.length > 0 &&
                           entry->name.bytes[entry->name.length - 1] == '/';
    if (type != 0 && type != (directory ? S_IFDIR : S_IFREG))
        refuse("is neither a regular file nor a directory");
    if (entry->flags & FLAGS_REFUSED)
        refuse("is encrypted or patched");
    if (entry->method != STORED && entry->method != DEFLATED)
        refuse("is packed by another method than deflate");
    if (directory) {
        if (entry->bytes != 0)
            refuse("is a directory with content");
        make_directory(entry->name, attributes ? attributes : 0755);
        return;
    }
    open_file(entry->name);
    if (entry->method == STORED)
        copy_entry(entry, content);
    else
        inflate_entry(entry, content);
    close_file(attributes & 0777 ? attributes : 0644);
}

void extract_zip(void)
{
    uint8_t record[END_BYTES];
    const uint64_t end = find_end(record);
    const uint32_t central = u32(record + 16), central_bytes = u32(record + 12);
    const uint16_t entries = u16(record + 10);
    if (u16(record + 4) != 0 || u16(record + 6) != 0 || u16(record + 8) != entries)
        refuse("the archive has several parts");
    if (entries == 0xffff || central == 0xffffffff || central_bytes == 0xffffffff)
        refuse("zip64 archives are not supported");
    if ((uint64_t)central + central_bytes != end)
        refuse("the directory is not where the archive says");
    uint64_t at = central, from = 0;
    for (uint32_t i = 0; i < entries; i++) {
        struct zip_entry entry;
        at = read_central(at, end, &entry);
        const uint64_t content = read_local(&entry, from, central);
        extract_entry(&entry, content);
        from = content + entry.packed;
    }
    working_on((struct entry_name){NULL, 0});
    if (at != end)
        refuse("the directory holds more than it says");
}
