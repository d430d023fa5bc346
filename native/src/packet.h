/* One packet with descriptors over a SOCK_SEQPACKET socket; see unix(7). Safe in a box (sys.h). */
#ifndef MAYFLY_PACKET_H
#define MAYFLY_PACKET_H

#include <stddef.h>
#include <sys/uio.h>

#define PACKET_DESCRIPTORS_MAX 16

/*
 * Sends two pieces as one packet. Returns 0 or -errno. `flags` as sendmsg(2); SIGPIPE never.
 */
long packet_send(int socket, const void *head, size_t head_bytes, const void *tail,
                 size_t tail_bytes, const int *descriptors, int count, int flags);

/*
 * Receives one packet. Returns its length, 0 at end of file, -errno otherwise; -EMSGSIZE for a packet or
 * a descriptor list that does not fit, after closing what came. *count is the capacity of `descriptors`
 * before and the number stored after.
 */
long packet_receive(int socket, void *buffer, size_t bytes, int *descriptors, int *count,
                    int flags);

/* The same into two pieces, without waiting. */
long packet_receive_pieces(int socket, const struct iovec pieces[2], int *descriptors, int *count);

#endif
