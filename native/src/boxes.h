/*
 * The supervisor's table of boxes: their life from "being made" to "all dead", and the requests that wait
 * for them. What happens while a program runs is in step.c, what the library asks in requests.c.
 *
 *            open                       step                          end
 *   MAKING ────────> IDLE ─> (PREPARING ────> RUNNING ─────────────> IDLE)* ─close─> CLOSING ─> free
 *                      └──── put, collect: FILES ────┘
 *
 * A box that no request has claimed yet is pooled (pool.h).
 */
#ifndef MAYFLY_BOXES_H
#define MAYFLY_BOXES_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "cgroup.h"
#include "images.h"
#include "protocol.h"

enum box_state {
    BOX_FREE,
    BOX_MAKING,
    BOX_WARMING, /* these three: warm.h */
    BOX_READING,
    BOX_COOLING,
    BOX_IDLE,
    BOX_PREPARING,
    BOX_RUNNING,
    BOX_FILES,
    BOX_CLOSING
};

/* What an epoll event is about. */
enum box_source {
    SOURCE_CLIENT,
    SOURCE_MAKER,
    SOURCE_INIT,
    SOURCE_INIT_DEAD,
    SOURCE_WAITER,
    SOURCE_STDOUT,
    SOURCE_STDERR,
    SOURCE_MEMORY,
    SOURCE_RELAY, /* of relay.c: its place there, and no box's */
};

/* A request that waits for its turn. */
struct waiting {
    struct waiting *next;
    uint64_t arrived_us;
    struct request request;
    int fd;
    char tail[];
};

/* Everything about the step that runs, or ran last. Times in microseconds of CLOCK_MONOTONIC. */
struct step {
    struct mayfly_step request;
    uint64_t asked_us;         /* when the box, or for later steps the step, was asked for */
    uint64_t started_us;       /* when the waiter was told to go */
    uint64_t executed_us;      /* when exec was seen to succeed, 0 before */
    uint64_t read_again_us[2]; /* 0, or when a resting stream is read again */
    uint64_t cpu_check_us;     /* next look at the CPU counter */
    uint64_t kill_until_us;    /* 0, or when a kill must have worked */
    uint64_t cpu_base_us;      /* the counter when the waiter was told to go */
    cpu_set_t affinity;
    uint64_t frozen_at_us; /* 0, or since when it stands still */
    uint64_t frozen_us;    /* how long it stood still before that */
    uint64_t written[2];   /* bytes that the program wrote to stdout, stderr */
    bool truncated[2];
    uint32_t counter_reads;
    uint32_t reason; /* enum mayfly_outcome: why the supervisor killed it, 0 if it did not */
    int kept;        /* -1, or memory that stdout goes to */
    int kept_error;  /* why it could not */
    struct waiter_report failure; /* stage 0 when exec succeeded */
    char named[256];              /* argv[0], or the directory that could not be entered */
    char directory[256];
};

/* What an interactive step is still to be given. */
struct keyboard {
    int pipe;          /* its writable end, -1: none, or closed */
    int slave;         /* of the terminal, whose master is streams[0]; -1: none */
    bool last;         /* to be closed when all is written */
    uint32_t at, held; /* bytes that the program had no room for yet */
    uint64_t again_us; /* 0, or when to try again */
    char *bytes;
};

/* Output that is told later. */
struct gathered {
    char *bytes; /* NULL: none yet */
    uint32_t held;
};

/* A descriptor that the next step is given: the end of a pipe to another box. */
struct joined {
    int fd;
    uint32_t descriptor; /* what the program finds it as */
    bool held;           /* stays open here until the step is over */
};

struct box {
    enum box_state state;
    uint32_t serial;  /* never used again */
    uint32_t index;   /* place in the table */
    uint32_t id_base; /* host id of the box's root; a range for each place in the table */
    uint32_t cpu;     /* that its first waiter is bound to */
    int core;         /* that it has alone, or CGROUP_NO_CORE */
    uint32_t client;  /* the library's id, 0 while pooled */
    bool closing_asked;
    bool init_dead; /* found out while a step ran */
    uint64_t
        opened_disk_bytes; /* what was asked for when it was opened: holds for files put before a step */
    uint32_t opened_files;
    bool made;              /* the maker has answered */
    bool prepared;          /* pid 1 has made the first waiter */
    uint64_t made_until_us; /* when both must be so */
    struct image *image;
    uint32_t files_max;
    uint64_t disk_bytes_max;
    uint64_t opened_us;
    int init_pidfd, init_socket, program_pidfd, waiter_socket, streams[2], disk;
    struct cgroup_leaf leaf;
    bool waiter_ready;
    bool warm;                         /* the waiter is an interpreter that waits */
    bool warm_unfit;                   /* it has shown that it should not be fed */
    int input;                         /* memory that it will read, -1: none */
    struct cgroup_usage start_up;      /* what it has used until it waited */
    uint32_t steps;                    /* leaves made so far */
    uint64_t inodes_used, blocks_used; /* by the empty box */
    struct waiting *first, **last;
    struct step step;
    struct keyboard keyboard;
    bool followed;               /* nothing is gathered */
    struct gathered gathered[2]; /* of stdout, stderr */
    struct joined joined[MAYFLY_JOINED_MAX];
    uint32_t joined_count;
};

/* `epoll` is the supervisor's; `cores`: boxes may have one alone. Returns 0 or -errno. */
int boxes_open(const struct mayfly_config *config, int epoll, int maker, uint32_t id_base,
               bool cores);

/* The box that the library knows by this id, or NULL. */
struct box *boxes_find(uint32_t client);
/* The next box that is not free; NULL begins, and ends. */
struct box *boxes_next(struct box *before);
/*
 * Sends the maker off to make a box for `image`; client 0 for the pool. `core` is the box's from here on. False: there
 * is no place for it.
 */
bool boxes_make(struct image *image, uint32_t client, uint32_t files_max, uint64_t disk_bytes_max,
                int core);
/* Something happened on a descriptor of a box. */
void boxes_event(uint32_t index, uint32_t serial, enum box_source source, uint32_t events);
/* The maker answered. */
void boxes_made(const struct made *made, const int *descriptors, int count);
/* Does what is due; returns milliseconds until something is due again, -1 for never. */
int boxes_tick(void);
/* Reads from programs again, or stops doing so, when the library's socket empties or fills. */
void boxes_read_output(bool wanted);
/* Kills all boxes and waits until they are dead, for at most `ms`. */
void boxes_close_all(int ms);

/* For step.c and requests.c: */
uint64_t now_us(void);
/* Watches or no longer watches a descriptor. */
int box_watch(const struct box *box, int fd, enum box_source source);
/* Watches a stream of the running program again, or lets it rest. */
void box_rest_output(const struct box *box, int stream, bool rest);
/* Watches all that belongs to the next step: streams, waiter, memory. 0 or -errno. */
int box_watch_step(struct box *box);
void box_close_descriptor(int *fd);
/* The box failed: tells the library and kills it. */
void box_fault(struct box *box, uint32_t stage, int error, uint32_t index);
void box_kill(struct box *box);
/* Closes all that belongs to the step, and removes its leaf. */
void box_leave_step(struct box *box);
/* The step is over and reported: its leaf goes, and the next request has its turn. */
void box_step_over(struct box *box);

#endif
