/* What is done to a step while it runs: one test for each request, on either layout of control groups. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "harness.h"

static void script(uint32_t box, struct mayfly_step step, const char *text)
{
    static uint8_t archive[8192];
    uint8_t *end = archive;
    put_record(&end, "/tmp/script", 0644, text, strlen(text));
    CHECK(mayfly_put(library, box, archive, (uint64_t)(end - archive)) == 0);
    ask_step(box, step, "/bin/sh /tmp/script", NULL);
}

static struct mayfly_step interactive(uint32_t flags)
{
    struct mayfly_step step = defaults();
    step.cpu_time_us_max *= slowness();
    step.wall_time_us_max *= slowness();
    step.frozen_time_us_max = 60000000;
    step.flags = flags;
    step.terminal_rows = 24;
    step.terminal_columns = 80;
    return step;
}

/* The answer to the request that was just sent; again while the program does not run yet. */
#define ANSWER(request)                                                                            \
    ({                                                                                             \
        int32_t answer_;                                                                           \
        do {                                                                                       \
            CHECK((request) == 0);                                                                 \
            answer_ = await(MAYFLY_EVENT_CONTROL_END).put_errno;                                   \
            usleep(1000);                                                                          \
        } while (answer_ == ESRCH);                                                                \
        answer_;                                                                                   \
    })

static int32_t type(uint32_t box, const char *text, bool last)
{
    return ANSWER(mayfly_input(library, box, (const uint8_t *)text, (uint32_t)strlen(text), last));
}

/* A box of which it is told at once what is written in it. */
static uint32_t open_followed(void)
{
    uint32_t box = open_box();
    CHECK(mayfly_follow(library, box) == 0);
    return box;
}

static void until_captured(const char *text)
{
    while (!strstr(captured[0], text)) {
        struct mayfly_event event = next_event();
        CHECK(event.kind == MAYFLY_EVENT_OUTPUT || event.kind == MAYFLY_EVENT_PUT_END);
    }
}

static void only_what_runs_can_be_controlled(void)
{
    uint32_t box = open_followed();
    CHECK(mayfly_freeze(library, box) == 0);
    CHECK(await(MAYFLY_EVENT_CONTROL_END).put_errno == ESRCH);
    ask_step(box, defaults(), "/bin/sleep 10", NULL);
    CHECK(ANSWER(mayfly_freeze(library, box)) == EPERM); /* frozen_time_us_max is 0 */
    CHECK(ANSWER(mayfly_resize(library, box, 1, 1)) == ENOTTY);
    CHECK(type(box, "x", false) == ENOTTY);
    CHECK(ANSWER(mayfly_signal(library, box, 0)) == EINVAL);
    CHECK(ANSWER(mayfly_signal(library, box, 64)) == EINVAL);
    CHECK(ANSWER(mayfly_signal(library, box, SIGTERM)) == 0);
    struct mayfly_event end = await(MAYFLY_EVENT_STEP_END);
    CHECK(end.outcome == MAYFLY_OUTCOME_SIGNALED && end.signal == SIGTERM);
    CHECK(mayfly_thaw(library, box) == 0);
    CHECK(await(MAYFLY_EVENT_CONTROL_END).put_errno == ESRCH);
    close_box(box);
}

static void a_frozen_step_stands_still(void)
{
    struct mayfly_step step = interactive(0);
    step.wall_time_us_max = 700000 * slowness();
    uint32_t box = open_followed();
    ask_step(box, step, "/bin/sleep 0.2", NULL);
    CHECK(ANSWER(mayfly_freeze(library, box)) == 0);
    CHECK(ANSWER(mayfly_freeze(library, box)) == 0);
    usleep(1000000 * (useconds_t)slowness());
    CHECK(ANSWER(mayfly_thaw(library, box)) == 0);
    struct mayfly_event end = await(MAYFLY_EVENT_STEP_END);
    CHECK(end.outcome == MAYFLY_OUTCOME_EXITED && end.wall_time_us < 500000 * slowness());

    step.frozen_time_us_max = 200000;
    ask_step(box, step, "/bin/sleep 10", NULL);
    CHECK(ANSWER(mayfly_freeze(library, box)) == 0);
    uint64_t before = now_us();
    end = await(MAYFLY_EVENT_STEP_END); /* nobody thaws it */
    CHECK(end.outcome == MAYFLY_OUTCOME_WALL_LIMIT);
    CHECK(now_us() - before >= 190000 && now_us() - before < 1000000 * slowness());
    close_box(box);
}

static void what_is_frozen_can_be_killed(void)
{
    uint32_t box = open_followed();
    put_prey(box);
    ask_step(box, interactive(0), "/box/prey burn-threads 0", NULL);
    CHECK(ANSWER(mayfly_freeze(library, box)) == 0);
    CHECK(mayfly_cancel(library, box) == 0);
    CHECK(await(MAYFLY_EVENT_STEP_END).outcome == MAYFLY_OUTCOME_CANCELLED);
    ask_step(box, interactive(0), "/box/prey burn-child 0", NULL);
    CHECK(ANSWER(mayfly_freeze(library, box)) == 0);
    CHECK(close_box(box) < 1000 * (double)slowness());
}

static void limits_change(void)
{
    struct mayfly_limits limits = {.size = sizeof limits};
    struct mayfly_step step = interactive(0);
    uint32_t box = limits.box = open_followed();
    put_prey(box);

    ask_step(box, step, "/bin/sleep 10", NULL);
    limits.wall_time_us_max = 300000 * slowness();
    CHECK(ANSWER(mayfly_limits(library, &limits)) == 0);
    CHECK(await(MAYFLY_EVENT_STEP_END).outcome == MAYFLY_OUTCOME_WALL_LIMIT);

    ask_step(box, step, "/box/prey burn 0", NULL);
    limits = (struct mayfly_limits){.size = sizeof limits, .box = box, .cpu_time_us_max = 300000};
    CHECK(ANSWER(mayfly_limits(library, &limits)) == 0);
    struct mayfly_event end = await(MAYFLY_EVENT_STEP_END);
    CHECK(end.outcome == MAYFLY_OUTCOME_CPU_LIMIT && end.cpu_time_us < 300000 + 30000 * slowness());

    script(box, step, "x=$(head -c 40000000 /dev/zero | tr '\\0' a); echo full; sleep 10");
    until_captured("full");
    limits = (struct mayfly_limits){
        .size = sizeof limits, .box = box, .memory_bytes_max = 16 * MIB};
    CHECK(ANSWER(mayfly_limits(library, &limits)) == EBUSY);
    limits.memory_bytes_max = 200 * MIB;
    CHECK(ANSWER(mayfly_limits(library, &limits)) == 0);
    CHECK(mayfly_cancel(library, box) == 0);
    CHECK(await(MAYFLY_EVENT_STEP_END).outcome == MAYFLY_OUTCOME_CANCELLED);

    close_box(box);
}

static void limits_rise(void)
{
    struct mayfly_limits limits = {.size = sizeof limits, .memory_bytes_max = 256 * MIB};
    struct mayfly_step step = interactive(MAYFLY_STEP_INTERACTIVE);
    step.memory_bytes_max = 64 * MIB;
    step.processes_max = 2;
    uint32_t box = limits.box = open_followed();
    put_prey(box);
    script(box, step,
           "nproc; read x; /box/prey touch 134217728 && echo touched; nproc; (sleep 0 & sleep 0 & "
           "sleep 0 & wait) && echo many");
    until_captured("1\n");
    limits.cpu_millis = 2000;
    limits.processes_max = 16;
    CHECK(ANSWER(mayfly_limits(library, &limits)) == 0);
    CHECK(type(box, "\n", false) == 0);
    struct mayfly_event end = await(MAYFLY_EVENT_STEP_END);
    CHECK(end.outcome == MAYFLY_OUTCOME_EXITED);
    CHECK(strstr(captured[0], "touched\n") && strstr(captured[0], "many\n"));
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) == 1 || strstr(captured[0], "touched\n2\n"));
    close_box(box);
}

static void input_arrives_and_ends(void)
{
    uint32_t box = open_followed();
    ask_step(box, interactive(MAYFLY_STEP_INTERACTIVE), "/bin/cat", NULL);
    CHECK(type(box, "one\n", false) == 0);
    until_captured("one\n");
    CHECK(type(box, "two\n", true) == 0);
    struct mayfly_event end = await(MAYFLY_EVENT_STEP_END);
    CHECK(end.outcome == MAYFLY_OUTCOME_EXITED && !strcmp(captured[0], "one\ntwo\n"));
    /* A program that reads no more is no reason to die for whoever writes. */
    script(box, interactive(MAYFLY_STEP_INTERACTIVE), "exec <&-; echo closed; sleep 10");
    until_captured("closed");
    CHECK(type(box, "x", false) == EPIPE);
    CHECK(mayfly_cancel(library, box) == 0);
    await(MAYFLY_EVENT_STEP_END);
    close_box(box);
}

static void input_that_is_not_read_is_refused(void)
{
    static uint8_t block[MAYFLY_INPUT_BYTES_MAX];
    uint32_t box = open_followed();
    uint64_t taken = 0;
    memset(block, 'x', sizeof block);
    script(box, interactive(MAYFLY_STEP_INTERACTIVE), "sleep 0.5; wc -c");
    while (ANSWER(mayfly_input(library, box, block, sizeof block, 0)) == 0)
        CHECK(++taken < 8);
    CHECK(taken >= 1);
    CHECK(mayfly_input(library, box, block, MAYFLY_INPUT_BYTES_MAX + 1, 0) == -EINVAL);
    while (ANSWER(mayfly_input(library, box, block, 1, 1)) == EAGAIN)
        usleep(10000);
    CHECK(await(MAYFLY_EVENT_STEP_END).outcome == MAYFLY_OUTCOME_EXITED);
    CHECK(strtoull(captured[0], NULL, 10) == taken * sizeof block + 1);
    close_box(box);
}

static void signals_reach_the_group(void)
{
    uint32_t box = open_followed();
    script(box, interactive(0),
           "trap 'echo got usr1' USR1; trap 'echo got int' INT; echo ready; "
           "for i in 1 2 3 4 5 6; do sleep 1; done");
    until_captured("ready");
    CHECK(ANSWER(mayfly_signal(library, box, SIGUSR1)) == 0);
    until_captured("got usr1");
    CHECK(ANSWER(mayfly_signal(library, box, SIGINT)) == 0);
    until_captured("got int");
    CHECK(ANSWER(mayfly_signal(library, box, SIGKILL)) == 0);
    struct mayfly_event end = await(MAYFLY_EVENT_STEP_END);
    CHECK(end.outcome == MAYFLY_OUTCOME_SIGNALED && end.signal == SIGKILL);
    CHECK(end.usage_of_init == 1); /* pid 1 has survived it */
    close_box(box);
}

static void a_terminal_is_one(void)
{
    static const char program[] =
        "import os, signal, sys\n"
        /* Two changes of size may come at once, and print() cannot be entered twice. */
        "def size(*_): os.write(1, b'%d %d\\n' % os.get_terminal_size())\n"
        "signal.signal(signal.SIGWINCH, size)\n"
        "signal.signal(signal.SIGINT, lambda *_: os.write(1, b'int\\n'))\n"
        "print('err', file=sys.stderr, flush=True)\n"
        "open('/dev/tty', 'w').write('from-tty\\n')\n"
        "for line in sys.stdin: print(f'<{line[:-1]}>', flush=True)\n"
        "print('end')\n";
    const uint32_t flags = MAYFLY_STEP_INTERACTIVE | MAYFLY_STEP_TERMINAL;
    uint8_t archive[1024], *end_of_archive = archive;
    uint32_t box = open_followed();
    put_record(&end_of_archive, "/tmp/terminal.py", 0644, program, sizeof program - 1);
    CHECK(mayfly_put(library, box, archive, (uint64_t)(end_of_archive - archive)) == 0);
    for (int step = 0; step < 2; step++) {
        script(box, interactive(flags), "tty; stty size; exec python3 /tmp/terminal.py");
        until_captured("from-tty");
        CHECK(strstr(captured[0], "/dev/pts/0\r\n") && strstr(captured[0], "24 80\r\n"));
        CHECK(strstr(captured[0], "err\r\n"));
        CHECK(type(box, "hello\n", false) == 0);
        until_captured("<hello>");
        CHECK(ANSWER(mayfly_resize(library, box, 40, 132)) == 0);
        CHECK(type(box, "\n", false) == 0);
        until_captured("132 40");
        CHECK(type(box, "\3", false) == 0); /* Ctrl-C */
        until_captured("int\r\n");
        CHECK(type(box, "\n", false) == 0);
        CHECK(ANSWER(mayfly_resize(library, box, 0, 132)) == EINVAL);
        CHECK(type(box, "", true) == 0);
        until_captured("end\r\n");
        struct mayfly_event end = await(MAYFLY_EVENT_STEP_END);
        CHECK(end.outcome == MAYFLY_OUTCOME_EXITED);
    }
    close_box(box);
}

/* The shell puts what it runs into groups of their own: that in the foreground gets the signal. */
static void signals_reach_the_foreground(void)
{
    const uint32_t flags = MAYFLY_STEP_INTERACTIVE | MAYFLY_STEP_TERMINAL;
    uint32_t box = open_followed();
    ask_step(box, interactive(flags), "/bin/bash --norc -i", NULL);
    CHECK(type(box, "trap 'echo shell got it' USR1; sleep 50\n", false) == 0);
    until_captured("sleep 50");
    usleep(200000 * (useconds_t)slowness());
    CHECK(ANSWER(mayfly_signal(library, box, SIGUSR1)) == 0);
    until_captured("User defined signal 1");
    CHECK(!strstr(captured[0], "\nshell got it"));
    CHECK(type(box, "exit 5\n", false) == 0);
    CHECK(await(MAYFLY_EVENT_STEP_END).exit_code == 5);
    close_box(box);
}

void control(void)
{
    only_what_runs_can_be_controlled();
    a_frozen_step_stands_still();
    what_is_frozen_can_be_killed();
    limits_change();
    limits_rise();
    input_arrives_and_ends();
    input_that_is_not_read_is_refused();
    signals_reach_the_group();
    a_terminal_is_one();
    signals_reach_the_foreground();
    printf("control passed\n");
}
