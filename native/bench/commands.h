/* Runs a command outside of a box and waits for it: plain, or in another root or mount namespace. */
#ifndef MAYFLY_BENCH_COMMANDS_H
#define MAYFLY_BENCH_COMMANDS_H

/* Descriptors, or -1 for what the benchmark itself has. */
struct surroundings {
    int root;   /* a directory to chroot into */
    int mounts; /* a mount namespace to enter */
};

/*
 * Milliseconds from asking to knowing how it ended. Where nothing is to be changed this is a posix_spawn;
 * else vfork, the changes, exec. Standard output goes to /dev/null. Fails the benchmark unless it exits 0.
 */
double command_run(const char *const *argv, const struct surroundings *where);

/* The plain spawn of program number `program`, with the files that it has in a box. */
double spawn_run(int program);
/* How: "posix_spawn" when the host has the very same file, else "vfork+chroot+exec". */
const char *spawn_means(int program);

#endif
