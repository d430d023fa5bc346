#include "packet.h"

#include <errno.h>
#include <sys/socket.h>

#include "sys.h"

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(PACKET_DESCRIPTORS_MAX * sizeof(int))];
};

long packet_send(int socket, const void *head, size_t head_bytes, const void *tail,
                 size_t tail_bytes, const int *descriptors, int count, int flags)
{
    struct iovec pieces[2] = {{(void *)(uintptr_t)head, head_bytes},
                              {(void *)(uintptr_t)tail, tail_bytes}};
    struct msghdr message = {0};
    union control control;

    message.msg_iov = pieces;
    message.msg_iovlen = tail_bytes > 0 ? 2 : 1;
    if (count > PACKET_DESCRIPTORS_MAX)
        return -EINVAL;
    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        int *to = (int *)(void *)CMSG_DATA(&control.header);
        for (int i = 0; i < count; i++)
            to[i] = descriptors[i];
    }
    long sent;
    do
        sent = SYS3(SYS_sendmsg, socket, &message, flags | MSG_NOSIGNAL);
    while (sent == -EINTR);
    return sent < 0 ? sent : 0;
}

static void close_all(const int *from, int count)
{
    for (int i = 0; i < count; i++)
        sys_close(from[i]);
}

static long receive(int socket, struct iovec *pieces, size_t pieces_count, int *descriptors,
                    int *count, int flags)
{
    struct msghdr message = {0};
    union control control;
    int capacity = count ? *count : 0, got = 0;
    const int *from = (const int *)(const void *)CMSG_DATA(&control.header);

    message.msg_iov = pieces;
    message.msg_iovlen = pieces_count;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control;
    long length;
    do
        length = SYS3(SYS_recvmsg, socket, &message, flags | MSG_CMSG_CLOEXEC);
    while (length == -EINTR);
    if (length < 0)
        return length;
    if (message.msg_controllen >= sizeof control.header &&
        control.header.cmsg_level == SOL_SOCKET && control.header.cmsg_type == SCM_RIGHTS)
        got = (int)((control.header.cmsg_len - CMSG_LEN(0)) / sizeof(int));
    if (got > capacity || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        close_all(from, got);
        return -EMSGSIZE;
    }
    for (int i = 0; i < got; i++)
        descriptors[i] = from[i];
    if (count)
        *count = got;
    return length;
}

long packet_receive(int socket, void *buffer, size_t bytes, int *descriptors, int *count, int flags)
{
    struct iovec piece = {buffer, bytes};
    return receive(socket, &piece, 1, descriptors, count, flags);
}

long packet_receive_pieces(int socket, const struct iovec pieces[2], int *descriptors, int *count)
{
    struct iovec both[2] = {pieces[0], pieces[1]};
    return receive(socket, both, 2, descriptors, count, MSG_DONTWAIT);
}
