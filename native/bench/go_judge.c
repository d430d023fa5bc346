#include "go_judge.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define BOUNDARY "mayfly-bench-boundary"

static char host[256], port[16], hello_id[128];
static int fd = -1;
static pid_t owner; /* of the connection: a forked worker needs its own */

static void connect_to(void)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int one = 1;
    if (fd >= 0 && owner == getpid())
        return;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        die("GO_JUDGE_URL: no such host", 0);
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0)
        die("go-judge", errno);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    freeaddrinfo(found);
    owner = getpid();
}

static void send_all(const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
        if (sent <= 0)
            die("go-judge: send", errno);
        data += sent;
        bytes -= (size_t)sent;
    }
}

/* One request and its whole answer. What go-judge answers is small, and its length is said. */
static void exchange(const char *path, const char *type, const char *body, size_t bytes,
                     char answer[4096])
{
    char head[512];
    size_t got = 0;
    connect_to();
    int length = snprintf(head, sizeof head,
                          "POST %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: %s\r\n"
                          "Content-Length: %zu\r\n\r\n",
                          path, host, port, type, bytes);
    send_all(head, (size_t)length);
    send_all(body, bytes);
    for (;;) {
        ssize_t n = recv(fd, answer + got, 4095 - got, 0);
        if (n <= 0)
            die("go-judge: no answer", n < 0 ? errno : 0);
        got += (size_t)n;
        answer[got] = '\0';
        const char *end = strstr(answer, "\r\n\r\n");
        const char *size = strcasestr(answer, "\r\nContent-Length:");
        if (end && !size)
            die("go-judge: an answer without a length", 0);
        if (end && got >= (size_t)(end + 4 - answer) + strtoul(size + 17, NULL, 10))
            break;
    }
    if (strncmp(answer, "HTTP/1.1 200", 12) != 0)
        die(answer, 0);
}

static void upload_hello(void)
{
    static const char head[] =
        "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"file\"; "
        "filename=\"hello\"\r\nContent-Type: application/octet-stream\r\n\r\n";
    static const char tail[] = "\r\n--" BOUNDARY "--\r\n";
    char path[700], answer[4096];
    struct stat about;
    snprintf(path, sizeof path, "%s%s", places.hello_layer, HELLO_PATH);
    FILE *file = fopen(path, "re");
    if (!file || fstat(fileno(file), &about) != 0)
        die(path, errno);
    size_t size = (size_t)about.st_size, bytes = sizeof head - 1 + size + sizeof tail - 1;
    char *body = malloc(bytes);
    if (!body)
        die("out of memory", 0);
    memcpy(body, head, sizeof head - 1);
    if (fread(body + sizeof head - 1, 1, size, file) != size)
        die(path, EIO);
    memcpy(body + sizeof head - 1 + size, tail, sizeof tail - 1);
    fclose(file);
    exchange("/file", "multipart/form-data; boundary=" BOUNDARY, body, bytes, answer);
    free(body);
    const char *id = strstr(answer, "\r\n\r\n\"");
    size_t length = id ? strcspn(id + 5, "\"") : 0;
    if (length == 0 || length >= sizeof hello_id)
        die("go-judge: the upload was not answered with an id", 0);
    memcpy(hello_id, id + 5, length);
}

void go_judge_use(const char *url)
{
    if (sscanf(url, "http://%255[^:/]:%15[0-9]", host, port) != 2)
        die("GO_JUDGE_URL has to be http://host:port", 0);
    upload_hello();
}

double go_judge_run(int program)
{
    char body[2048], answer[4096];
    const char *const *argv = programs[program].argv;
    bool hello = strcmp(argv[0], HELLO_PATH) == 0;
    int length = snprintf(body, sizeof body, "{\"cmd\": [{\"args\": [");
    for (const char *const *word = argv; *word; word++)
        length += snprintf(body + length, sizeof body - (size_t)length, "%s\"%s\"",
                           word == argv ? "" : ", ", hello ? "hello" : *word);
    length += snprintf(
        body + length, sizeof body - (size_t)length,
        "], \"env\": [\"PATH=/usr/local/bin:/usr/bin:/bin\"], \"files\": [{\"content\": "
        "\"\"}, {\"name\": \"stdout\", \"max\": 4096}, {\"name\": \"stderr\", \"max\": "
        "4096}], \"cpuLimit\": 5000000000, \"clockLimit\": 10000000000, "
        "\"memoryLimit\": 268435456, \"procLimit\": 64, \"copyIn\": {");
    if (hello)
        length += snprintf(body + length, sizeof body - (size_t)length,
                           "\"hello\": {\"fileId\": \"%s\"}", hello_id);
    length += snprintf(body + length, sizeof body - (size_t)length, "}}]}");
    connect_to();
    double before = now_ms();
    exchange("/run", "application/json", body, (size_t)length, answer);
    double after = now_ms();
    if (!strstr(answer, "\"status\":\"Accepted\""))
        die(strstr(answer, "\r\n\r\n"), 0);
    return after - before;
}
