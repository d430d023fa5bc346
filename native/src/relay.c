#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "link.h"
#include "step.h"

/*
 * So many pieces are told one by one, so that their order among all relays is the order in which things were said.
 * Beyond that they are told in large portions: a talk of single bytes must not flood the library, whose events about
 * other boxes would have to wait.
 */
#define TOLD_ONE_BY_ONE 2048u

/* What stands between two pipes so that what goes through is told. */
struct relay {
    uint32_t client;     /* the library's id of the box that writes */
    uint32_t descriptor; /* as what it knows the pipe */
    int from, to;
    uint64_t told;
    uint32_t pieces;
    uint32_t untold_bytes;
    uint32_t at, held; /* bytes that the reader had no room for yet */
    bool writing;      /* watched is `to`, not `from` */
    char bytes[MAYFLY_EVENT_DATA_MAX];
    char untold[MAYFLY_EVENT_DATA_MAX];
};

/* All of them; a place is used again. */
static struct relay **relays;
static uint32_t places;
static int epoll_fd;

static int watch(uint32_t place, int fd, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events,
                                .data.u64 = (uint64_t)place << 8 | (uint64_t)SOURCE_RELAY};
    return epoll_ctl(epoll_fd, operation, fd, &event) == 0 ? 0 : -errno;
}

static int find_place(uint32_t *place)
{
    for (*place = 0; *place < places; ++*place)
        if (!relays[*place])
            return 0;
    struct relay **more = realloc(relays, (places + 16) * sizeof(struct relay *));
    if (!more)
        return -ENOMEM;
    relays = more;
    for (uint32_t i = 0; i < 16; i++)
        relays[places++] = NULL;
    return 0;
}

int relay_start(uint32_t client, uint32_t descriptor, int from, int to)
{
    uint32_t place;
    struct relay *made = NULL;
    int error = find_place(&place);
    if (!error && !(made = malloc(sizeof *made)))
        error = -ENOMEM;
    if (!error && (fcntl(from, F_SETFL, O_NONBLOCK) != 0 || fcntl(to, F_SETFL, O_NONBLOCK) != 0))
        error = -errno;
    if (!error)
        error = watch(place, from, EPOLL_CTL_ADD, EPOLLIN);
    if (!error)
        error = watch(place, to, EPOLL_CTL_ADD, 0); /* tells when nobody reads any more */
    if (error) {
        free(made);
        close(from);
        close(to);
        return error;
    }
    made->client = client;
    made->descriptor = descriptor;
    made->from = from;
    made->to = to;
    made->told = 0;
    made->pieces = made->untold_bytes = 0;
    made->at = made->held = 0;
    made->writing = false;
    relays[place] = made;
    return 0;
}

static void send(const struct relay *relay, const char *bytes, uint32_t count)
{
    struct mayfly_event event = {.kind = MAYFLY_EVENT_OUTPUT,
                                 .box = relay->client,
                                 .stream = MAYFLY_PIPED,
                                 .index = relay->descriptor,
                                 .data_bytes = count};
    if (count > 0 && boxes_find(relay->client)) /* else the library has let go of it */
        link_send(&event, bytes, count, -1);
}

static void send_untold(struct relay *relay)
{
    send(relay, relay->untold, relay->untold_bytes);
    relay->untold_bytes = 0;
}

void relay_tell(uint32_t client)
{
    for (uint32_t i = 0; i < places; i++)
        if (relays[i] && relays[i]->client == client) {
            send_untold(relays[i]);
            relays[i]->pieces = 0; /* what comes now is what the pipe still holds */
        }
}

static void end_relay(uint32_t place)
{
    send_untold(relays[place]);
    close(relays[place]->from);
    close(relays[place]->to);
    free(relays[place]);
    relays[place] = NULL;
}

static void tell(struct relay *relay)
{
    struct box *box = boxes_find(relay->client);
    if (!box)
        return;
    uint64_t most = box->step.request.output_bytes_max;
    uint64_t left = most > relay->told ? most - relay->told : 0;
    uint32_t count = relay->held < left ? relay->held : (uint32_t)left;
    relay->told += relay->held;
    if (relay->untold_bytes + count > sizeof relay->untold)
        send_untold(relay);
    if (relay->pieces < TOLD_ONE_BY_ONE) {
        relay->pieces++;
        send(relay, relay->bytes, count);
    } else {
        memcpy(relay->untold + relay->untold_bytes, relay->bytes, count);
        relay->untold_bytes += count;
    }
    if (count < relay->held)
        step_kill(box, MAYFLY_OUTCOME_OUTPUT_LIMIT);
}

/* One piece from the writer to the reader. False: there will be no more, or nobody to read it. */
static bool pass_on(struct relay *relay)
{
    if (relay->held == 0) {
        ssize_t got = read(relay->from, relay->bytes, sizeof relay->bytes);
        if (got <= 0)
            return got < 0 && (errno == EAGAIN || errno == EINTR);
        relay->at = 0;
        relay->held = (uint32_t)got;
        tell(relay);
    }
    ssize_t written = write(relay->to, relay->bytes + relay->at, relay->held);
    if (written < 0)
        return errno == EAGAIN || errno == EINTR;
    relay->at += (uint32_t)written;
    relay->held -= (uint32_t)written;
    return true;
}

void relay_event(uint32_t place, uint32_t events)
{
    struct relay *relay = place < places ? relays[place] : NULL;
    int error = 0;
    if (!relay)
        return; /* it was ended by an earlier event of the same batch */
    /* An error is told of an end to write to: nobody reads any more. */
    if (events & EPOLLERR || !pass_on(relay)) {
        end_relay(place);
        return;
    }
    const bool writing = relay->held > 0;
    if (writing == relay->writing)
        return;
    relay->writing = writing;
    /* Taken off, not only muted: an end of file would be told again and again. */
    if (writing)
        error = watch(place, relay->from, EPOLL_CTL_DEL, 0);
    else
        error = watch(place, relay->from, EPOLL_CTL_ADD, EPOLLIN);
    if (!error)
        error = watch(place, relay->to, EPOLL_CTL_MOD, writing ? EPOLLOUT : 0);
    if (error)
        end_relay(place);
}

void relay_open(int epoll)
{
    for (uint32_t i = 0; i < places; i++)
        if (relays[i])
            end_relay(i);
    epoll_fd = epoll;
}
