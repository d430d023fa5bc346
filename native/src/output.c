#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link.h"
#include "step.h"
#include "sys.h"
#include "warm.h"
#include "weaken.h"

/* How long a stream rests after a read that did not fill the buffer: what it may be late by. */
#define OUTPUT_REST_US 4000u
/* How long it rests when what it brings is thrown away. */
#define DROP_REST_US 1000u
#define DROP_READS 16

static char buffer[MAYFLY_EVENT_DATA_MAX];

static void send(const struct box *box, int stream, const char *bytes, uint64_t count)
{
    struct mayfly_event event = {.kind = MAYFLY_EVENT_OUTPUT,
                                 .box = box->client,
                                 .stream = stream == 0 ? MAYFLY_STDOUT : MAYFLY_STDERR,
                                 .data_bytes = count};
    if (count > 0)
        link_send(&event, bytes, count, -1);
}

static void tell(struct box *box, int stream)
{
    struct gathered *gathered = &box->gathered[stream];
    send(box, stream, gathered->bytes, gathered->held);
    gathered->held = 0;
}

void output_tell(struct box *box)
{
    tell(box, 0);
    tell(box, 1);
}

void output_follow(struct box *box)
{
    box->followed = true;
    output_tell(box);
}

void output_release(struct box *box)
{
    for (int stream = 0; stream < 2; stream++) {
        free(box->gathered[stream].bytes);
        box->gathered[stream] = (struct gathered){.bytes = NULL};
    }
}

void output_say(struct box *box, int stream, const char *bytes, uint64_t count)
{
    struct gathered *gathered = &box->gathered[stream];
    if (stream == 0 && box->step.kept >= 0) {
        if (write(box->step.kept, bytes, count) != (ssize_t)count)
            box->step.kept_error = EIO;
        return;
    }
    if (gathered->held + count > sizeof buffer)
        tell(box, stream);
    /* A portion as large as what is gathered, or no memory for that: told as it comes. */
    if (box->followed || count == sizeof buffer ||
        (!gathered->bytes && !(gathered->bytes = malloc(sizeof buffer)))) {
        send(box, stream, bytes, count);
        return;
    }
    memcpy(gathered->bytes + gathered->held, bytes, count);
    gathered->held += (uint32_t)count;
}

/* From the pipe to memory inside the kernel. False when there is nothing (more) to move. */
static bool keep_output(struct box *box, uint64_t left)
{
    struct step *step = &box->step;
    ssize_t got = splice(box->streams[0], NULL, step->kept, NULL,
                         left < sizeof buffer ? left : sizeof buffer, SPLICE_F_NONBLOCK);
    if (got > 0) {
        step->written[0] += (uint64_t)got;
        return true;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got < 0)
        step->kept_error = errno; /* the step ends as a fault, whatever the program does */
    box_close_descriptor(&box->streams[0]); /* a program that goes on writing gets SIGPIPE */
    return false;
}

/* Reads once. False when there is nothing (more) to read. */
static bool read_output(struct box *box, int stream)
{
    struct step *step = &box->step;
    if (box->streams[stream] < 0)
        return false;
    uint64_t most = weak(WEAK_LIMITS) ? UINT64_MAX : step->request.output_bytes_max;
    uint64_t left = most - step->written[stream];
    if (stream == 0 && step->kept >= 0 && left > 0)
        return keep_output(box, left);
    ssize_t got = read(box->streams[stream], buffer, sizeof buffer);
    if (got <= 0) { /* a terminal that nobody has open is an error, EIO, not an end */
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            box_close_descriptor(&box->streams[stream]);
        return false;
    }
    uint64_t taken = (uint64_t)got < left ? (uint64_t)got : left;
    output_say(box, stream, buffer, taken);
    step->written[stream] += taken;
    if (taken < (uint64_t)got) {
        step->truncated[stream] = true;
        if (!(step->request.flags & MAYFLY_STEP_TRUNCATE))
            step_kill(box, MAYFLY_OUTCOME_OUTPUT_LIMIT);
    }
    return true;
}

void output_drain(struct box *box)
{
    /* End of file comes after at most what a pipe holds. */
    for (int stream = 0; stream < 2; stream++)
        while (read_output(box, stream))
            ;
}

void output_ready(struct box *box, int stream)
{
    struct step *step = &box->step;
    if (box->streams[stream] < 0)
        return; /* closed by an earlier event of the same batch */
    if (box->state != BOX_RUNNING && box->image->warm && box->steps == 1) {
        warm_spoke(box, stream);
        return;
    }
    uint64_t before = step->written[stream];
    bool got = read_output(box, stream);
    bool full = step->written[stream] - before == sizeof buffer;

    /* What is thrown away goes in large portions. */
    for (int i = 0; got && step->truncated[stream] && i < DROP_READS; i++)
        got = read_output(box, stream);
    /* A program that writes byte by byte must not wake us for each, nor one whose output is dropped. */
    if (box->state != BOX_RUNNING || box->streams[stream] < 0 || (full && !step->truncated[stream]))
        return;
    step->read_again_us[stream] = now_us() +
                                  (step->truncated[stream] ? DROP_REST_US : OUTPUT_REST_US);
    box_rest_output(box, stream, true);
}

uint64_t output_wake(struct box *box, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    for (int stream = 0; stream < 2; stream++) {
        uint64_t *again = &box->step.read_again_us[stream];
        if (*again != 0 && now >= *again) {
            *again = 0;
            box_rest_output(box, stream, false);
        }
        if (*again != 0 && *again < next)
            next = *again;
    }
    return next;
}
