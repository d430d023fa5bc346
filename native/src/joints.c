#include "joints.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay.h"

static bool is_dead(const struct box *box)
{
    return !box || box->closing_asked || box->state == BOX_CLOSING;
}

/* Its next step may still be given something. */
static bool takes(const struct box *box)
{
    if (box->state == BOX_RUNNING)
        return false;
    for (const struct waiting *at = box->first; at; at = at->next)
        if (at->request.kind == REQUEST_STEP)
            return false;
    return true;
}

static bool has(const struct box *box, uint32_t descriptor)
{
    for (uint32_t i = 0; i < box->joined_count; i++)
        if (box->joined[i].descriptor == descriptor)
            return true;
    return false;
}

static bool fits(const struct box *box, uint32_t descriptor)
{
    return is_dead(box) || (takes(box) && descriptor <= MAYFLY_JOINED_DESCRIPTOR_MAX &&
                            box->joined_count < MAYFLY_JOINED_MAX && !has(box, descriptor));
}

/* Takes `fd` over. */
static void keep(struct box *box, int fd, uint32_t descriptor, uint32_t flags)
{
    if (is_dead(box)) {
        close(fd);
        return;
    }
    box->joined[box->joined_count++] = (struct joined){
        .fd = fd, .descriptor = descriptor, .held = (flags & MAYFLY_JOIN_HELD) != 0};
}

/*
 * Anybody may open it anew who finds it, which is only who was given it: programs open /dev/stdin and /dev/stdout,
 * and the two boxes have no user in common.
 */
static int make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    if (fchmod(ends[0], 0666) == 0)
        return 0;
    int error = -errno;
    close(ends[0]);
    close(ends[1]);
    return error;
}

static int connect_boxes(const struct mayfly_join *join, struct box *from, struct box *to)
{
    int written[2], read[2];
    int error = make_pipe(written);
    if (error)
        return error;
    if (join->flags & MAYFLY_JOIN_TRANSCRIPT) {
        error = make_pipe(read);
        if (!error) {
            const int source = written[0];
            written[0] = read[0];
            error = relay_start(join->from, join->from_descriptor, source, read[1]);
        }
    }
    if (error) {
        close(written[0]);
        close(written[1]);
        return error;
    }
    keep(from, written[1], join->from_descriptor, join->flags);
    keep(to, written[0], join->to_descriptor, join->flags);
    return 0;
}

static void fail(struct box *from, struct box *to, uint32_t stage, int error)
{
    if (from)
        box_fault(from, stage, error, 12);
    if (to && to != from)
        box_fault(to, stage, error, 12);
}

void joints_join(const struct mayfly_join *join)
{
    struct box *from = boxes_find(join->from), *to = boxes_find(join->to);
    if (join->from == join->to || join->flags > (MAYFLY_JOIN_TRANSCRIPT | MAYFLY_JOIN_HELD) ||
        !fits(from, join->from_descriptor) || !fits(to, join->to_descriptor)) {
        fail(from, to, MAYFLY_STAGE_PROTOCOL, EINVAL);
        return;
    }
    int error = connect_boxes(join, from, to);
    if (error)
        fail(from, to, MAYFLY_STAGE_WAITER, -error);
}

bool joints_feed(const struct box *box)
{
    return has(box, 0);
}

void joints_give(const struct box *box, struct go *go, int given[GIVEN_MAX])
{
    for (uint32_t i = 0; i < box->joined_count; i++) {
        given[go->given_count] = box->joined[i].fd;
        go->given[go->given_count++] = box->joined[i].descriptor;
    }
}

void joints_given(struct box *box)
{
    for (uint32_t i = 0; i < box->joined_count; i++)
        if (!box->joined[i].held)
            box_close_descriptor(&box->joined[i].fd);
}

void joints_release(struct box *box)
{
    for (uint32_t i = 0; i < box->joined_count; i++)
        box_close_descriptor(&box->joined[i].fd);
    box->joined_count = 0;
}
