/*
 * What the tests run in a box: one static program, one word for what it should do. After the word "account"
 * it prints its own view of what it used, for the tests to compare.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t cpu_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void burn(uint64_t us)
{
    volatile uint64_t spins = 0;
    while (us == 0 || cpu_us(CLOCK_THREAD_CPUTIME_ID) < us)
        for (int i = 0; i < 10000; i++)
            spins++;
}

static void *burn_thread(void *us)
{
    burn((uint64_t)(uintptr_t)us);
    return NULL;
}

static void burn_threads(int count, uint64_t us)
{
    pthread_t threads[64];
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, burn_thread, (void *)(uintptr_t)us) != 0)
            exit(9);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static void in_child(int depth, void (*what)(uint64_t), uint64_t argument)
{
    pid_t child = fork();
    if (child < 0)
        exit(9);
    if (child == 0) {
        if (depth > 1)
            in_child(depth - 1, what, argument);
        else
            what(argument);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static volatile char *map(uint64_t bytes)
{
    volatile char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                                 -1, 0);
    if (memory == MAP_FAILED)
        exit(9);
    return memory;
}

static void touch(uint64_t bytes)
{
    volatile char *memory = map(bytes);
    for (uint64_t at = 0; at < bytes; at += 4096)
        memory[at] = 1;
    munmap((void *)memory, bytes);
}

static void flood(int fd)
{
    char block[65536];
    memset(block, 'x', sizeof block);
    for (;;)
        if (write(fd, block, sizeof block) < 0)
            exit(9);
}

static void fill(const char *path)
{
    char block[65536] = {0};
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    ssize_t written;
    while ((written = write(fd, block, sizeof block)) > 0)
        ;
    exit(written < 0 && errno == ENOSPC ? 3 : 9);
}

static void many_files(void)
{
    char name[32];
    for (int i = 0;; i++) {
        snprintf(name, sizeof name, "/box/f%d", i);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0) {
            printf("%d\n", i);
            fflush(stdout);
            exit(errno == ENOSPC ? 3 : 9);
        }
        close(fd);
    }
}

static void bomb(void)
{
    for (;;)
        fork();
}

/* Keeps trying to outlive its parent, its session and its group. */
static void daemons(void)
{
    for (;;) {
        if (fork() == 0) {
            setsid();
            if (fork() == 0) {
                signal(SIGTERM, SIG_IGN);
                for (;;)
                    pause();
            }
            _exit(0);
        }
        usleep(1000);
    }
}

/* Does something and gives back what it took, but for its peak. Returns bytes that no rusage counts. */
static uint64_t use(const char *what, uint64_t n, const char *path)
{
    static char block[65536];
    uint64_t cached = 0;
    if (!strcmp(what, "burn"))
        burn(n);
    if (!strcmp(what, "burn-threads"))
        burn_threads(4, n);
    if (!strcmp(what, "burn-child"))
        in_child(1, burn, n);
    if (!strcmp(what, "burn-grandchild"))
        in_child(2, burn, n);
    if (!strcmp(what, "touch"))
        touch(n);
    if (!strcmp(what, "map"))
        map(n);
    if (!strcmp(what, "read")) {
        int fd = open(path, O_RDONLY);
        if (fd < 0)
            exit(9);
        for (ssize_t got; (got = read(fd, block, sizeof block)) > 0;)
            cached += (uint64_t)got;
        close(fd);
    }
    if (!strcmp(what, "write")) {
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        while (cached < n && write(fd, block, sizeof block) == sizeof block)
            cached += sizeof block;
        close(fd);
        unlink(path);
    }
    return cached;
}

static uint64_t used_us(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Counted page by page; what statm(5) says may lag behind by 64 pages for each thread. */
static uint64_t resident_bytes(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *maps = fopen("/proc/self/smaps_rollup", "r");
    while (maps && kib == 0 && fgets(line, sizeof line, maps))
        sscanf(line, "Rss: %llu", &kib);
    if (kib == 0)
        exit(9);
    fclose(maps);
    return kib * 1024;
}

/* Prints what it took from here on by its own view: microseconds of CPU, bytes of memory at most. */
static void account(const char *what, uint64_t n, const char *path)
{
    struct rusage usage;
    uint64_t resident = resident_bytes(), before = used_us(RUSAGE_SELF);
    uint64_t bytes = use(what, n, path);
    getrusage(RUSAGE_SELF, &usage);
    uint64_t most = (uint64_t)usage.ru_maxrss * 1024;
    if (most > resident)
        bytes += most - resident;
    printf("%llu %llu\n",
           (unsigned long long)(used_us(RUSAGE_SELF) - before + used_us(RUSAGE_CHILDREN)),
           (unsigned long long)bytes);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;

    if (!strcmp(what, "exit"))
        return (int)n;
    if (!strcmp(what, "signal")) {
        raise((int)n);
        pause();
    }
    if (!strncmp(what, "burn", 4) || !strcmp(what, "touch")) {
        use(what, n, NULL);
        return 0;
    }
    if (!strcmp(what, "account") && argc > 4) {
        account(argv[2], strtoull(argv[3], NULL, 10), argv[4]);
        return 0;
    }
    if (!strcmp(what, "touch-child")) {
        in_child(1, touch, n);
        for (;;)
            pause();
    }
    if (!strcmp(what, "flood"))
        flood((int)n);
    if (!strcmp(what, "fill"))
        fill("/box/fill");
    if (!strcmp(what, "fill-tmp"))
        fill("/tmp/fill");
    if (!strcmp(what, "fill-shm"))
        fill("/dev/shm/fill");
    if (!strcmp(what, "many-files"))
        many_files();
    if (!strcmp(what, "bomb"))
        bomb();
    if (!strcmp(what, "daemons"))
        daemons();
    if (!strcmp(what, "stop")) {
        kill(getpid(), SIGSTOP);
        for (;;)
            pause();
    }
    if (!strcmp(what, "sleep")) {
        usleep((useconds_t)n * 1000);
        return 0;
    }
    if (!strcmp(what, "leave-child")) {
        if (fork() == 0)
            for (;;)
                pause();
        return 0;
    }
    if (!strcmp(what, "both")) {
        puts("out");
        fflush(stdout);
        fputs("err\n", stderr);
        return 0;
    }
    if (!strcmp(what, "cat")) {
        char block[4096];
        for (ssize_t got; (got = read(0, block, sizeof block)) > 0;)
            if (write(1, block, (size_t)got) != got)
                return 9;
        return 0;
    }
    fprintf(stderr, "prey: what?\n");
    return 9;
}
