/*
 * The yardstick: for each line on its input, spawns and waits for the program it was given, and prints the
 * microseconds that took. posix_spawn from a process this small is as plain as a spawn can be.
 */
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static long now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
    char line[16];
    if (argc < 2)
        return 2;
    while (fgets(line, sizeof line, stdin)) {
        pid_t child;
        int status;
        long since = now_us();
        if (posix_spawn(&child, argv[1], NULL, NULL, argv + 1, environ) != 0 ||
            waitpid(child, &status, 0) != child || status != 0)
            return 1;
        printf("%ld\n", now_us() - since);
        fflush(stdout);
    }
    return 0;
}
