/*
 * libmayfly: run one program in a box of its own.
 *
 * The library starts a supervisor process and talks to it over one SOCK_SEQPACKET socket. Nothing here
 * blocks, logs, exits, or changes process-wide state, and nothing needs a thread: requests are sent and
 * events are received without waiting, and the caller watches the descriptor with its own event loop.
 *
 *   mayfly_start -> mayfly_image -> { mayfly_open, mayfly_put, mayfly_step, mayfly_collect, mayfly_close }
 *                                   <- mayfly_receive: PUT_END, OUTPUT, STEP_END, COLLECT_END, CLOSED, FAULT
 *
 *   while a step runs:  { mayfly_freeze, mayfly_thaw, mayfly_limits, mayfly_input, mayfly_signal, mayfly_resize }
 *                                   <- CONTROL_END, one for each, in their order
 *
 *   two boxes that talk to each other:  mayfly_open, mayfly_open, mayfly_join, then the step of each
 *
 * Requests about one box are carried out in the order in which they were sent, so they may be sent back
 * to back. Every box that was opened ends with exactly one CLOSED event, which is sent when all of its
 * processes are dead; a FAULT about a box is followed by its CLOSED without further requests.
 *
 * Shapes: fixed-width integers only; sizes in bytes, times in microseconds. Each struct begins with its
 * own size, and a wrong size is refused (EINVAL): a mismatch between two builds is an error, not a guess.
 * There is no "0 = unlimited": a limit of zero is refused.
 *
 * Errors: functions return a negative errno. EAGAIN means that the socket is full: wait until it is
 * writable and call again; nothing was sent. Ownership: the library keeps no pointer that it was given.
 */
#ifndef MAYFLY_H
#define MAYFLY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MAYFLY_PUBLIC __attribute__((visibility("default")))

/* Raised whenever a struct, a message or an enumeration below changes its meaning. */
#define MAYFLY_ABI_VERSION 6u

/* Most bytes of strings (cwd, argv, env, with their NULs) in one step, and most strings. */
#define MAYFLY_STRINGS_BYTES_MAX 131072u
#define MAYFLY_STRINGS_COUNT_MAX 4096u
/* Most bytes of patterns in one collect. */
#define MAYFLY_PATTERNS_BYTES_MAX 65536u
/* Most layers of an image. */
#define MAYFLY_LAYERS_MAX 16u
/* Most bytes of one mayfly_input. */
#define MAYFLY_INPUT_BYTES_MAX 65536u
/* Most descriptors of one step that are ends of pipes to other boxes, and how high they may be numbered. */
#define MAYFLY_JOINED_MAX 8u
#define MAYFLY_JOINED_DESCRIPTOR_MAX 15u
/* Most data bytes in one event: the size of the buffer that mayfly_receive wants. */
#define MAYFLY_EVENT_DATA_MAX 65536u

/* How a step ended. The outcome is decided by the supervisor and nowhere else. */
#define MAYFLY_OUTCOMES(X)                                                                         \
    X(1, EXITED, "exited")                                                                         \
    X(2, SIGNALED, "signaled")                                                                     \
    X(3, CPU_LIMIT, "cpu_limit")                                                                   \
    X(4, WALL_LIMIT, "wall_limit")                                                                 \
    X(5, MEMORY_LIMIT, "memory_limit")                                                             \
    X(6, OUTPUT_LIMIT, "output_limit")                                                             \
    X(7, DISK_LIMIT, "disk_limit")                                                                 \
    X(8, CANCELLED, "cancelled")

enum mayfly_outcome {
#define X(value, name, text) MAYFLY_OUTCOME_##name = value,
    MAYFLY_OUTCOMES(X)
#undef X
};

/* Where the sandbox failed. */
#define MAYFLY_STAGES(X)                                                                           \
    X(1, START, "start")              /* the supervisor could not be started */                    \
    X(2, HANDSHAKE, "handshake")      /* library and supervisor are of different builds */         \
    X(3, HOST, "host")                /* the host lacks something that a limit needs */            \
    X(4, JAIL, "jail")                /* the supervisor could not shut itself in */                \
    X(5, PROTOCOL, "protocol")        /* a request that makes no sense */                          \
    X(6, IMAGE, "image")              /* a layer could not be attached */                          \
    X(7, CAPACITY, "capacity")        /* more boxes than the supervisor was started for */         \
    X(8, CGROUP, "cgroup")            /* creating, limiting or reading a control group */          \
    X(9, CLONE, "clone")              /* making pid 1 with its namespaces */                       \
    X(10, ID_MAP, "id_map")           /* mapping user and group ids */                             \
    X(11, LAYER, "layer")             /* idmapping a layer for the box */                          \
    X(12, OVERLAY, "overlay")         /* the throwaway file system */                              \
    X(13, NETWORK, "network")         /* loopback */                                               \
    X(14, MOUNT, "mount")             /* proc, dev, tmp, masked paths */                           \
    X(15, PIVOT, "pivot")             /* leaving the jail's file system */                         \
    X(16, WAITER, "waiter")           /* making the process that becomes the program */            \
    X(17, CREDENTIALS, "credentials") /* dropping ids and capabilities */                          \
    X(18, SECCOMP, "seccomp")         /* installing the system call filter */                      \
    X(19, RLIMIT, "rlimit")           /* resource limits, affinity, streams of the program */      \
    X(20, EXEC, "exec")               /* exec failed for want of resources, not for its file */    \
    X(21, FILES, "files")             /* the process that writes or reads files failed */          \
    X(22, INIT, "init")               /* pid 1 died or fell silent */                              \
    X(23, MAKER, "maker")             /* the box maker died */                                     \
    X(24, SUPERVISOR, "supervisor")   /* the supervisor died */                                    \
    X(25, TERMINAL, "terminal")       /* the box's pseudo-terminal */

enum mayfly_stage {
#define X(value, name, text) MAYFLY_STAGE_##name = value,
    MAYFLY_STAGES(X)
#undef X
};

enum mayfly_event_kind {
    MAYFLY_EVENT_READY = 1,   /* the supervisor has finished its start; sent once */
    MAYFLY_EVENT_IMAGE = 2,   /* the image `box` (an image id here) can be used */
    MAYFLY_EVENT_PUT_END = 3, /* files were written, or `put_errno` and `index` say which was not */
    MAYFLY_EVENT_OUTPUT = 4,  /* `data_bytes` bytes of `stream` */
    MAYFLY_EVENT_STEP_END = 5,    /* outcome and usage */
    MAYFLY_EVENT_COLLECT_END = 6, /* `fd` holds `data_bytes` bytes of collected files */
    MAYFLY_EVENT_CLOSED = 7,      /* all processes of the box are dead */
    MAYFLY_EVENT_FAULT =
        8, /* stage, fault_errno, index; box 0: the whole supervisor, which exits */
    MAYFLY_EVENT_CONTROL_END = 9, /* `put_errno`: 0, or why the request could not be carried out */
};

enum mayfly_image_flags {
    /* Boxes for it are in the pool from the start; for another image only while it is in use. */
    MAYFLY_IMAGE_KEEP_READY = 1u << 0,
};

enum mayfly_stream {
    MAYFLY_STDOUT = 1,
    MAYFLY_STDERR = 2,
    MAYFLY_PIPED =
        3, /* what went through a pipe with MAYFLY_JOIN_TRANSCRIPT; `index`: its descriptor */
};

enum mayfly_open_flags {
    /*
     * The box has a core of the machine to itself, from here until it is CLOSED: no other box runs there. Never from
     * the pool. CAPACITY, EBUSY when no other core would be left; HOST, ENOTSUP without the cpuset controller.
     */
    MAYFLY_OPEN_ALONE = 1u << 0,
};

enum mayfly_step_flags {
    MAYFLY_STEP_TRUNCATE = 1u << 0,     /* at the output limit: drop the rest, do not kill */
    MAYFLY_STEP_MERGE_STDERR = 1u << 1, /* both streams arrive as MAYFLY_STDOUT, in order */
    MAYFLY_STEP_KEEP_STDOUT = 1u << 2,  /* stdout arrives whole, as sealed memory with STEP_END */
    /* Input comes by mayfly_input while the step runs; what mayfly_step was given is ignored. */
    MAYFLY_STEP_INTERACTIVE = 1u << 3,
    MAYFLY_STEP_TERMINAL = 1u << 4, /* with INTERACTIVE: all three streams are one terminal */
};

enum mayfly_join_flags {
    /*
     * What goes through the pipe passes the supervisor and is told as well, as OUTPUT of the box that writes: at
     * most output_bytes_max of its step, which then ends as OUTPUT_LIMIT. Of a long talk only the beginning is told
     * turn by turn, so that it can be put in order with what the other side said; then in large portions.
     */
    MAYFLY_JOIN_TRANSCRIPT = 1u << 0,
    /*
     * The pipe stays open at either end until that end's step is over and its STEP_END is on its way: nobody can
     * have seen the other's end before it was recorded, so the ends' order tells which was first. Whoever closes
     * such a descriptor while it runs is not noticed.
     */
    MAYFLY_JOIN_HELD = 1u << 1,
};

enum mayfly_collect_flags {
    /*
     * The one pattern is a directory, of which everything is packed: u32 path_bytes, u32 mode with its type,
     * u64 content_bytes, path relative to it, content. Over a limit it is a fault, EFBIG or EMFILE of `files`.
     */
    MAYFLY_COLLECT_TREE = 1u << 0,
};

struct mayfly_config {
    uint32_t size;
    uint32_t abi_version;
    uint32_t boxes_max;  /* boxes alive at a time, 1..1280 */
    uint32_t pool_boxes; /* boxes kept ready for an image, 0..boxes_max: 0 makes every box cold */
    uint64_t
        warm_bytes_max; /* memory of all boxes in which an interpreter waits; 0: there are none */
};

struct mayfly_layer {
    uint32_t size;
    uint32_t image;  /* chosen by the caller: not an image's that is known */
    uint32_t base;   /* the image on which the layer is laid */
    uint32_t pooled; /* 1: boxes are kept ready while it is in use */
};

struct mayfly_open {
    uint32_t size;
    uint32_t box;   /* chosen by the caller: not zero, not one that is not yet CLOSED */
    uint32_t image; /* id given to mayfly_image */
    uint32_t files_max;
    uint64_t disk_bytes_max;
    uint32_t flags; /* enum mayfly_open_flags */
    uint32_t reserved;
};

/* A pipe from one box to another. */
struct mayfly_join {
    uint32_t size;
    uint32_t from; /* the box that writes */
    uint32_t from_descriptor;
    uint32_t to; /* the box that reads */
    uint32_t to_descriptor;
    uint32_t flags; /* enum mayfly_join_flags */
};

struct mayfly_step {
    uint32_t size;
    uint32_t box;
    uint64_t cpu_time_us_max;
    uint64_t wall_time_us_max;
    uint64_t memory_bytes_max;
    uint64_t output_bytes_max; /* of each stream */
    uint64_t disk_bytes_max;
    uint64_t file_bytes_max;
    uint64_t stack_bytes_max;
    uint64_t frozen_time_us_max; /* in all, while wall time stands still; 0: may not be frozen */
    uint32_t files_max;
    uint32_t processes_max; /* pid 1 is not counted; threads are */
    uint32_t open_files_max;
    uint32_t cpu_millis; /* 1000 = one CPU */
    uint32_t flags;      /* enum mayfly_step_flags */
    uint32_t argv_count;
    uint32_t env_count;
    uint32_t strings_bytes; /* of: cwd NUL argv[0] NUL ... "NAME=value" NUL ... */
    uint32_t terminal_rows; /* 1..65535 with MAYFLY_STEP_TERMINAL */
    uint32_t terminal_columns;
};

/* New limits of the running step. Here 0 means: as it is. */
struct mayfly_limits {
    uint32_t size;
    uint32_t box;
    uint64_t cpu_time_us_max;
    uint64_t wall_time_us_max;
    uint64_t memory_bytes_max;
    uint32_t processes_max;
    uint32_t cpu_millis;
};

struct mayfly_collect {
    uint32_t size;
    uint32_t box;
    uint64_t file_bytes_max;  /* larger files are named, not read */
    uint64_t total_bytes_max; /* of all contents together */
    uint32_t files_max;
    uint32_t patterns_count;
    uint32_t patterns_bytes; /* of NUL-terminated patterns, absolute: "/box/out/<any>.txt" */
    uint32_t flags;          /* enum mayfly_collect_flags */
};

struct mayfly_event {
    uint32_t size;
    uint32_t kind; /* enum mayfly_event_kind */
    uint32_t box;
    uint32_t stream;     /* OUTPUT: enum mayfly_stream */
    uint64_t data_bytes; /* OUTPUT: bytes stored in the caller's buffer; else bytes in fd */
    int32_t fd;          /* COLLECT_END, STEP_END with KEEP_STDOUT: to be closed; else -1 */
    int32_t put_errno;   /* PUT_END: 0, or why file number `index` was not written; CONTROL_END */

    /* FAULT */
    uint32_t stage;
    int32_t fault_errno;
    uint32_t
        index; /* which layer, mount, file ... of that stage; OUTPUT of PIPED: its descriptor */

    /* STEP_END */
    uint32_t outcome;          /* enum mayfly_outcome */
    int32_t exit_code;         /* -1 unless it exited */
    int32_t signal;            /* number, 0 unless a signal ended it */
    uint32_t stdout_truncated; /* 1: bytes beyond the limit were dropped */
    uint32_t stderr_truncated;
    uint32_t usage_of_init; /* 1: context switches and faults are known */
    uint32_t counter_reads; /* how often the CPU counter was read for the limit */
    uint64_t cpu_time_us;
    uint64_t cpu_user_us;
    uint64_t cpu_system_us;
    uint64_t wall_time_us;
    uint64_t memory_bytes_peak;
    uint64_t disk_bytes;
    uint64_t io_read_bytes;
    uint64_t io_write_bytes;
    uint64_t context_switches;
    uint64_t major_page_faults;
    uint32_t processes_peak;
    uint32_t oom_kills;
    uint64_t box_us; /* from the request (open, or step if it came later) to the program's exec */

    /* STEP_END: its stages, in microseconds of CLOCK_MONOTONIC, so that clients can put them in order
     * with what they saw themselves. executed_at_us is 0 when exec was not seen to succeed. */
    uint64_t asked_at_us;
    uint64_t started_at_us;
    uint64_t executed_at_us;
    uint64_t ended_at_us;
    uint32_t pool_ready; /* boxes of this image that were ready for the next job when it ended */
    uint32_t warm;       /* 1: the interpreter had started before the step was asked for */
};

/* Sizes of all structs above, for a foreign-function binding to compare with its own. */
struct mayfly_abi {
    uint32_t abi_version;
    uint32_t config_bytes;
    uint32_t layer_bytes;
    uint32_t open_bytes;
    uint32_t step_bytes;
    uint32_t collect_bytes;
    uint32_t event_bytes;
    uint32_t limits_bytes;
    uint32_t join_bytes;
};
MAYFLY_PUBLIC void mayfly_abi(struct mayfly_abi *abi);

/* The word for a stage or an outcome, or NULL for a number that is none. Static storage. */
MAYFLY_PUBLIC const char *mayfly_stage_name(uint32_t stage);
MAYFLY_PUBLIC const char *mayfly_outcome_name(uint32_t outcome);

/*
 * Starts the program at `path` as supervisor. On success returns the socket (close-on-exec,
 * non-blocking) and stores the process id, which only mayfly_reap may wait for. READY or FAULT follows
 * as an event. Closing the socket ends the supervisor and all of its boxes.
 */
MAYFLY_PUBLIC int32_t mayfly_start(const char *path, const struct mayfly_config *config,
                                   int32_t *pid);

/* After end of file on the socket: collects the exit status. -EAGAIN while it is still exiting. */
MAYFLY_PUBLIC int32_t mayfly_reap(int32_t pid, int32_t *status);

/*
 * Names an image: `paths` holds `count` NUL-terminated directories, lowest layer first. The mounts are
 * taken in this process and handed over; the supervisor itself never opens a host path. `flags` are of enum
 * mayfly_image_flags.
 */
MAYFLY_PUBLIC int32_t mayfly_image(int32_t fd, uint32_t image, uint32_t flags, uint32_t count,
                                   const char *paths);

/*
 * Names an image that is `base` with one more read-only layer, the directory at `path`, which has to stay as it
 * is until the image is forgotten. No event follows: where it fails, so does every box of it.
 */
MAYFLY_PUBLIC int32_t mayfly_layer(int32_t fd, const struct mayfly_layer *layer, const char *path);

/*
 * Names an image that is another, whose id is `request->box`, with the step's command already running in its
 * pooled boxes: an interpreter that has started, and waits for its program, the file that the last of argv names.
 * The first step of a box of it that asks for the very same (strings, stack, open files, file size, one CPU, streams)
 * is given to it; where another is asked for, or none is ready, the box is one of the other image. No event
 * follows. Input of more than MAYFLY_WARM_INPUT_BYTES_MAX and programs of MAYFLY_WARM_PROGRAM_BYTES_MAX or more are
 * never given to it.
 */
#define MAYFLY_WARM_INPUT_BYTES_MAX 1048576u
#define MAYFLY_WARM_PROGRAM_BYTES_MAX 65536u
MAYFLY_PUBLIC int32_t mayfly_warm(int32_t fd, uint32_t image, const struct mayfly_step *request,
                                  const uint8_t *strings);

/* No box is opened of this image any more; its layer goes when its last box has. */
MAYFLY_PUBLIC int32_t mayfly_forget(int32_t fd, uint32_t image);

MAYFLY_PUBLIC int32_t mayfly_open(int32_t fd, const struct mayfly_open *request);

/*
 * Writes files into the box, as the user of the box. `archive` is a sequence of records, integers in
 * the machine's order: u32 path_bytes, u32 mode, u64 content_bytes, path (no NUL), content. Paths are
 * absolute in the box; missing directories are made; symbolic links are not followed.
 */
MAYFLY_PUBLIC int32_t mayfly_put(int32_t fd, uint32_t box, const uint8_t *archive, uint64_t bytes);

/*
 * Memory for contents that should not pass through the caller's own: made, filled piece by piece, sealed,
 * and then given as often as wanted. What is not sealed memory is refused (EINVAL), so that a box
 * never holds a descriptor of a file of the host. The caller closes it once nothing is asked with it any more.
 */
MAYFLY_PUBLIC int32_t mayfly_memory(void);
MAYFLY_PUBLIC int32_t mayfly_memory_append(int32_t memory, const uint8_t *bytes, uint64_t count);
/*
 * Appends at most `count` bytes of the regular file, or the memory, `source` from `offset` on, inside the
 * kernel. Returns how many: fewer than asked for, so that no call takes long; 0 at the end of `source`.
 */
MAYFLY_PUBLIC int64_t mayfly_memory_copy(int32_t memory, int32_t source, uint64_t offset,
                                         uint64_t count);
MAYFLY_PUBLIC int32_t mayfly_memory_seal(int32_t memory);

/* As mayfly_put, with an archive in sealed memory. */
MAYFLY_PUBLIC int32_t mayfly_put_memory(int32_t fd, uint32_t box, int32_t archive);

/*
 * Makes a pipe between two boxes that are open and run nothing yet: the next step of each begins with its end as
 * the descriptor that is named. No event follows. Where one of the boxes is dead already, the other finds its pipe
 * closed at the far end. A step whose descriptor 0 is such an end has no other input.
 */
MAYFLY_PUBLIC int32_t mayfly_join(int32_t fd, const struct mayfly_join *join);

/* Runs a program. `strings` as said in struct mayfly_step; `input` is what it reads from descriptor 0. */
MAYFLY_PUBLIC int32_t mayfly_step(int32_t fd, const struct mayfly_step *request,
                                  const uint8_t *strings, const uint8_t *input,
                                  uint64_t input_bytes);
/* The same, and descriptor 0 reads sealed memory from its beginning, wherever others are reading it. */
MAYFLY_PUBLIC int32_t mayfly_step_memory(int32_t fd, const struct mayfly_step *request,
                                         const uint8_t *strings, int32_t input);

/*
 * Reads regular files out of the box, as its user. The event's descriptor holds a sequence of records:
 * u32 path_bytes, u32 reason, u64 content_bytes, path, content. Reason 0: the content follows; else
 * content_bytes is 0 and enum mayfly_omitted says why.
 */
enum mayfly_omitted {
    MAYFLY_OMITTED_NOT_REGULAR = 1,
    MAYFLY_OMITTED_TOO_LARGE = 2,
    MAYFLY_OMITTED_TOTAL = 3,
    MAYFLY_OMITTED_COUNT = 4,
    MAYFLY_OMITTED_UNREADABLE = 5,
    MAYFLY_OMITTED_MISSING = 6, /* a pattern without wildcards that names nothing */
};
MAYFLY_PUBLIC int32_t mayfly_collect(int32_t fd, const struct mayfly_collect *request,
                                     const uint8_t *patterns);

/*
 * Somebody reads what the box's steps write while they run: from here on it is told as it comes. Else it is told
 * in portions of MAYFLY_EVENT_DATA_MAX, and the rest before the step's end. No event follows.
 */
MAYFLY_PUBLIC int32_t mayfly_follow(int32_t fd, uint32_t box);

/* Kills the running step, which ends as CANCELLED. No effect when none is running. */
MAYFLY_PUBLIC int32_t mayfly_cancel(int32_t fd, uint32_t box);

/*
 * What can be done to a step that runs. Each is answered by a CONTROL_END, in the order of the requests, unless
 * the box ends before: `put_errno` is 0; ESRCH when no step runs (any more, or not yet); else as said below.
 *
 * A frozen program stands still, and so does its wall time, for frozen_time_us_max in all; then it ends as
 * WALL_LIMIT. EPERM where that is 0.
 */
MAYFLY_PUBLIC int32_t mayfly_freeze(int32_t fd, uint32_t box);
MAYFLY_PUBLIC int32_t mayfly_thaw(int32_t fd, uint32_t box);

/* EBUSY: more memory is in use than is wanted as limit, and nothing was changed. */
MAYFLY_PUBLIC int32_t mayfly_limits(int32_t fd, const struct mayfly_limits *request);

/*
 * More for an interactive step to read; `last` not 0: there will be no more (on a terminal the end-of-file
 * character is typed). Taken whole or not at all. EAGAIN: the program has not read what it was given before;
 * EPIPE: it reads no more; ENOTTY: the step is not interactive.
 */
MAYFLY_PUBLIC int32_t mayfly_input(int32_t fd, uint32_t box, const uint8_t *bytes, uint32_t count,
                                   uint32_t last);

/* To the foreground process group of the step's terminal, else to the program's process group. */
MAYFLY_PUBLIC int32_t mayfly_signal(int32_t fd, uint32_t box, uint32_t signal);

/* The size of the terminal; its foreground process group gets SIGWINCH. ENOTTY without one. */
MAYFLY_PUBLIC int32_t mayfly_resize(int32_t fd, uint32_t box, uint32_t rows, uint32_t columns);

/* Kills all processes of the box and removes it; requests that still wait are dropped. */
MAYFLY_PUBLIC int32_t mayfly_close(int32_t fd, uint32_t box);

/*
 * Takes one event. Returns 1 with *event filled, 0 when there is none, -EPIPE when the supervisor is
 * gone. `data` must hold MAYFLY_EVENT_DATA_MAX bytes.
 */
MAYFLY_PUBLIC int32_t mayfly_receive(int32_t fd, struct mayfly_event *event, uint8_t *data,
                                     uint64_t capacity);

#ifdef __cplusplus
}
#endif
#endif
