/* What pid 1 does to the running program for the supervisor. In pid 1: raw system calls only. */
#ifndef MAYFLY_FOREGROUND_H
#define MAYFLY_FOREGROUND_H

#include <stdint.h>

/*
 * To the foreground process group of the terminal of `program`'s session, else to the program's own group. Pid 1
 * can reach processes of its box only, and itself is in neither group.
 */
void foreground_signal(long program, uint32_t signal);
/* Binds all threads of the box but pid 1 to these CPUs. */
void foreground_bind(const uint64_t affinity[16]);

#endif
