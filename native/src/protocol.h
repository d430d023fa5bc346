/*
 * The messages between library, supervisor, box maker, pid 1 and waiter. All of them travel over
 * SOCK_SEQPACKET sockets of one build of this code: one message, one packet, one fixed struct, then
 * strings where the struct says how many. Descriptors ride along (SCM_RIGHTS) in a fixed order.
 *
 *   library    -> supervisor   struct request            <- struct mayfly_event
 *   supervisor -> maker        struct make_request       <- struct made
 *   supervisor -> pid 1        struct init_request       <- struct init_report
 *   supervisor -> waiter       struct go                 <- struct waiter_report (only failures)
 */
#ifndef MAYFLY_PROTOCOL_H
#define MAYFLY_PROTOCOL_H

#include <stdint.h>

#include "mayfly.h"

/* All that memfd_create(2) has: what carries them stays as it is for good. */
#define MEMORY_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* The supervisor's end of the library's socket. */
#define SUPERVISOR_SOCKET 3

enum request_kind {
    REQUEST_START = 1,
    REQUEST_IMAGE,
    REQUEST_OPEN,
    REQUEST_PUT,
    REQUEST_STEP,
    REQUEST_COLLECT,
    REQUEST_CANCEL,
    REQUEST_CLOSE,
    REQUEST_FREEZE,
    REQUEST_THAW,
    REQUEST_LIMITS,
    REQUEST_INPUT,
    REQUEST_SIGNAL,
    REQUEST_RESIZE,
    REQUEST_LAYER,
    REQUEST_FORGET, /* `box` is an image id */
    REQUEST_JOIN,   /* `box` is the one that writes */
    REQUEST_WARM,   /* `box` is an image id, that of `step` its base's */
    REQUEST_FOLLOW,
};

/* INPUT: `last`; SIGNAL: its number; RESIZE: rows and columns. */
struct control {
    uint32_t first;
    uint32_t second;
};

/* Bytes after the struct: strings of a step, patterns of a collect, input. */
struct request {
    uint32_t abi_version;
    uint32_t kind;
    uint32_t box; /* an image id for REQUEST_IMAGE */
    uint32_t tail_bytes;
    union {
        struct mayfly_config config;
        uint32_t image_flags;
        struct mayfly_layer layer;
        struct mayfly_open open;
        struct mayfly_step step;
        struct mayfly_collect collect;
        struct mayfly_limits limits;
        struct control control;
        struct mayfly_join join;
    } body;
};

#define REQUEST_BYTES_MAX (sizeof(struct request) + MAYFLY_STRINGS_BYTES_MAX)

/* Control group hierarchies a process of a box is attached to: on v2 one, on v1 one for each. */
#define CGROUP_HIERARCHIES_MAX 8

/* Pid 1's end of its socket to the supervisor comes along. */
struct make_request {
    uint32_t box;     /* the supervisor's number of the box */
    uint32_t id_base; /* first host id of the box's range */
    uint32_t layers_count;
    uint32_t layers[MAYFLY_LAYERS_MAX]; /* lowest first, names of directories in the jail */
    uint32_t files_max;
    uint64_t disk_bytes_max;
};

enum made_descriptor {
    MADE_INIT_PIDFD,
    MADE_DISK, /* the box's tmpfs, to read how full it is and to change its size */
    MADE_DESCRIPTORS,
};

/* Stage 0: pid 1 builds its box, and all MADE_DESCRIPTORS come along. Else nothing is left of it. */
struct made {
    uint32_t box;
    uint32_t stage;
    int32_t error;
    uint32_t index;
    uint64_t inodes_used; /* by the empty box itself */
    uint64_t blocks_used;
};

enum init_request_kind {
    INIT_BUILD = 1, /* by the maker's socket: overlay, tmp, shm, dev mounts come along */
    INIT_PREPARE,   /* make the next waiter: its socket, stdout, stderr, entrances come along */
    INIT_PUT,       /* write the archive that comes along */
    INIT_COLLECT,   /* read files into the memfd that comes along */
    INIT_TERMINAL,  /* make a pseudo-terminal */
    INIT_SIGNAL,    /* send signal number `number` to the foreground; not answered */
    INIT_BIND,      /* all threads of the box to the CPUs of `affinity`; not answered */
    INIT_AWAIT,     /* until the interpreter has opened the pipe whose path follows */
    INIT_READ,      /* the program whose path follows */
    INIT_FEED,      /* what was read to the interpreter; not answered */
};

struct init_request {
    uint32_t kind;
    uint32_t hierarchies; /* PREPARE */
    uint32_t bound;       /* PREPARE: the waiter is bound to `cpu` */
    uint32_t cpu;
    uint32_t number; /* SIGNAL */
    uint32_t reserved;
    uint64_t affinity[16];         /* BIND */
    struct mayfly_collect collect; /* COLLECT; patterns follow */
};

enum init_report_kind {
    INIT_PREPARED = 1, /* the waiter's pidfd comes along; it gets ready meanwhile */
    INIT_ENDED,        /* the program is dead, and so is everything that it left behind */
    INIT_PUT_END,
    INIT_COLLECTED,
    INIT_FAULT,
    INIT_TERMINAL_MADE, /* its master and its slave come along */
    INIT_AWAITED,
    INIT_READ_END,
};

struct init_report {
    uint32_t kind;
    uint32_t stage;
    int32_t error;  /* FAULT, PUT_END, AWAITED, READ_END: errno */
    uint32_t index; /* ENDED: 1 when the interpreter was never fed */
    int32_t status; /* ENDED: as wait4(2) gives it */
    uint32_t reserved;
    uint64_t cpu_user_us; /* ENDED: of the program and the children that it waited for */
    uint64_t cpu_system_us;
    uint64_t context_switches;
    uint64_t major_page_faults;
    uint64_t bytes; /* COLLECTED: length of the archive */
};

/* Input, and ends of pipes to other boxes. */
#define GIVEN_MAX (1 + MAYFLY_JOINED_MAX)

/* What the waiter does to itself before exec. Strings follow: cwd, argv, env. */
struct go {
    uint32_t argv_count;
    uint32_t env_count;
    uint32_t strings_bytes;
    uint32_t merge_stderr;
    uint32_t affinity_holds; /* `affinity` is what the waiter has already */
    uint32_t terminal;    /* the input is a terminal: the controlling one, for all three streams */
    uint32_t given_count; /* descriptors that come along */
    uint32_t given[GIVEN_MAX]; /* what the program is to find each of them as */
    uint32_t pipe;             /* where the last of argv is will be a pipe */
    uint64_t open_files_max;
    uint64_t file_bytes_max;
    uint64_t stack_bytes_max;
    uint64_t affinity[16]; /* CPU mask, sched_setaffinity(2) */
};

/* Stage 0 once: the waiter waits. Any other: it failed there, and its process ends. */
struct waiter_report {
    uint32_t stage;
    int32_t error;
    uint32_t index;
};

#endif
