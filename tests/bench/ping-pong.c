/*
 * Two programs that talk by lines, and two plain processes of them to compare with.
 *
 *   ping LINES CPU        writes a line and reads the answer, so often; says on standard error how many us that took
 *   pong CPU              answers each line with it
 *   pair LINES CPU CPU    both of them joined by pipes, as a shell would; prints "talk whole cpu", each in us
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void pin(const char *cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(atoi(cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        exit(3);
}

static int ping(int lines)
{
    char line[32], answer[32];
    long since = now_us();
    for (int i = 0; i < lines; i++) {
        snprintf(line, sizeof line, "%d\n", i);
        if (fputs(line, stdout) < 0 || fflush(stdout) != 0 ||
            !fgets(answer, sizeof answer, stdin) || strcmp(line, answer) != 0)
            return 1;
    }
    fprintf(stderr, "%ld\n", now_us() - since);
    return 0;
}

static int pong(void)
{
    char line[32];
    while (fgets(line, sizeof line, stdin))
        if (fputs(line, stdout) < 0 || fflush(stdout) != 0)
            return 1;
    return 0;
}

static void start(char *const argv[], int in, int out, int err)
{
    pid_t child = vfork();
    if (child < 0)
        exit(4);
    if (child > 0)
        return;
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(4);
    execv("/proc/self/exe", argv);
    _exit(4);
}

static int pair(char **argv)
{
    int there[2], back[2], told[2], status;
    char text[32] = "";
    struct rusage usage;
    long since = now_us();
    if (pipe2(there, O_CLOEXEC) != 0 || pipe2(back, O_CLOEXEC) != 0 || pipe2(told, O_CLOEXEC) != 0)
        return 4;
    start((char *[]){"ping-pong", "ping", argv[2], argv[3], NULL}, back[0], there[1], told[1]);
    start((char *[]){"ping-pong", "pong", argv[4], NULL}, there[0], back[1], 2);
    close(there[0]), close(there[1]), close(back[0]), close(back[1]), close(told[1]);
    if (read(told[0], text, sizeof text - 1) <= 0)
        return 5;
    for (int i = 0; i < 2; i++)
        if (wait(&status) < 0 || status != 0)
            return 6;
    long whole = now_us() - since;
    getrusage(RUSAGE_CHILDREN, &usage);
    long cpu = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec +
               usage.ru_stime.tv_usec;
    printf("%ld %ld %ld\n", atol(text), whole, cpu);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "ping") == 0) {
        pin(argv[3]);
        return ping(atoi(argv[2]));
    }
    if (argc == 3 && strcmp(argv[1], "pong") == 0) {
        pin(argv[2]);
        return pong();
    }
    return argc == 5 && strcmp(argv[1], "pair") == 0 ? pair(argv) : 2;
}
