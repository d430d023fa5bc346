/*
 * Unpacking what a client sends: zip and tar.gz, inside the box that it is for. Regular files and directories are
 * made and nothing else; an archive with anything else, or with a name that leads elsewhere, is refused as a whole.
 */
#ifndef MAYFLY_EXTRACT_H
#define MAYFLY_EXTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <zlib.h>

#define EXTRACT_PATH_MAX 4096u

enum extract_end { EXTRACT_DONE, EXTRACT_REFUSED = 2, EXTRACT_FULL = 3 };
enum extract_format { EXTRACT_ZIP, EXTRACT_TAR_GZ };

/* A stretch of a file, which is an archive, into a directory, which is made. Says what was wrong, with the name of
 * the entry, in what holds as many bytes. */
struct extract_request {
    int source;
    uint64_t at;
    uint64_t bytes;
    enum extract_format format;
    const char *directory;
};
enum extract_end extract(const struct extract_request *request, char *said, size_t said_bytes);

/* For the formats. Neither of the two returns. */
struct entry_name {
    const char *bytes;
    size_t length;
};
_Noreturn void refuse(const char *why);
_Noreturn void give_up(const char *what, int error);

/* What is at work, for the words of a refusal. */
void working_on(struct entry_name name);
void make_directory(struct entry_name name, uint32_t mode);
void open_file(struct entry_name name);
void write_file(const void *bytes, size_t length);
void close_file(uint32_t mode);

uint64_t archive_bytes(void);
/* Exactly so many, from there on, or it is refused. */
void archive_read(uint64_t at, void *to, size_t length);
/* One at a time; ends by itself when the archive is given up. */
z_stream *start_inflating(int window_bits);
void stop_inflating(void);

void extract_zip(void);
void extract_tar_gz(void);

#endif
