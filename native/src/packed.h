/* The archive that pack.c writes in a box and unpack.c reads outside of it. */
#ifndef MAYFLY_PACKED_H
#define MAYFLY_PACKED_H

#include <stdint.h>

/* Relative to the packed directory. Far below PATH_MAX, so that whoever keeps it can put a path before it. */
#define PACKED_PATH_BYTES_MAX 1024u
#define PACKED_DEPTH_MAX 64

/* Then path_bytes of path and content_bytes of content: a file's bytes, or what a link says. */
struct packed_record {
    uint32_t path_bytes;
    uint32_t mode; /* type, S_IFREG, S_IFDIR or S_IFLNK, and permissions */
    uint64_t content_bytes;
};

#endif
