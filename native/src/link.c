#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "packet.h"
#include "protocol.h"

struct kept {
    struct kept *next;
    struct mayfly_event event;
    int fd;
    size_t bytes;
    unsigned char data[];
};

static struct kept *first, **last = &first;

static long send_now(const struct mayfly_event *event, const void *data, size_t bytes, int fd)
{
    return packet_send(SUPERVISOR_SOCKET, event, sizeof *event, data, bytes, &fd, fd >= 0,
                       MSG_DONTWAIT);
}

static void keep(const struct mayfly_event *event, const void *data, size_t bytes, int fd)
{
    struct kept *kept = malloc(sizeof *kept + bytes);
    if (!kept)
        abort(); /* an event must not be lost: the executor restarts the supervisor instead */
    kept->next = NULL;
    kept->event = *event;
    kept->fd = fd;
    kept->bytes = bytes;
    if (bytes > 0)
        memcpy(kept->data, data, bytes);
    *last = kept;
    last = &kept->next;
}

void link_send(struct mayfly_event *event, const void *data, size_t bytes, int fd)
{
    event->size = sizeof *event;
    event->fd = -1;
    long error = first ? -EAGAIN : send_now(event, data, bytes, fd);
    if (error == -EAGAIN) {
        keep(event, data, bytes, fd);
        return;
    }
    /* Any other error means that nobody listens, which the event loop sees as end of file. */
    if (fd >= 0)
        close(fd);
}

bool link_blocked(void)
{
    return first != NULL;
}

void link_flush(void)
{
    while (first) {
        struct kept *kept = first;
        if (send_now(&kept->event, kept->data, kept->bytes, kept->fd) == -EAGAIN)
            return;
        first = kept->next;
        if (!first)
            last = &first;
        if (kept->fd >= 0)
            close(kept->fd);
        free(kept);
    }
}

void link_fault(uint32_t box, uint32_t stage, int error, uint32_t index)
{
    struct mayfly_event event = {.kind = MAYFLY_EVENT_FAULT,
                                 .box = box,
                                 .stage = stage,
                                 .fault_errno = error,
                                 .index = index};
    link_send(&event, NULL, 0, -1);
}
