/* Boxes that are joined by pipes: what goes through, how either side is told of the other's end, what is refused. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "harness.h"

static int descriptors(void)
{
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", supervisor);
    DIR *entries = opendir(path);
    CHECK(entries);
    while (readdir(entries))
        count++;
    closedir(entries);
    return count;
}

static void join(uint32_t from, uint32_t from_descriptor, uint32_t to, uint32_t to_descriptor,
                 uint32_t flags)
{
    const struct mayfly_join request = {sizeof request, from, from_descriptor, to,
                                        to_descriptor,  flags};
    CHECK(mayfly_join(library, &request) == 0);
}

/* Both ways, standard output to standard input. */
static void couple(uint32_t left, uint32_t right, uint32_t flags)
{
    join(left, 1, right, 0, flags);
    join(right, 1, left, 0, flags);
}

static void script(uint32_t box, struct mayfly_step step, const char *text)
{
    static uint8_t archive[8192];
    uint8_t *end = archive;
    put_record(&end, "/tmp/script", 0644, text, strlen(text));
    CHECK(mayfly_put(library, box, archive, (uint64_t)(end - archive)) == 0);
    ask_step(box, step, "/bin/bash /tmp/script", NULL);
}

struct ends {
    struct mayfly_event left, right;
};

static struct ends await_both(uint32_t left)
{
    struct mayfly_event first = await(MAYFLY_EVENT_STEP_END);
    struct mayfly_event second = await(MAYFLY_EVENT_STEP_END);
    return first.box == left ? (struct ends){first, second} : (struct ends){second, first};
}

/* Two boxes joined both ways, a script in each, and how they ended. */
static struct ends talk(uint32_t flags, struct mayfly_step step, const char *left_script,
                        const char *right_script)
{
    uint32_t left = open_box(), right = open_box();
    couple(left, right, flags);
    script(left, step, left_script);
    script(right, step, right_script);
    struct ends ends = await_both(left);
    close_box(left);
    close_box(right);
    return ends;
}

static void two_boxes_talk(void)
{
    for (uint32_t flags = 0; flags <= (MAYFLY_JOIN_TRANSCRIPT | MAYFLY_JOIN_HELD); flags++) {
        struct ends ends = talk(flags, defaults(),
                                "for i in 1 2 3; do echo $i; read x; done\n[ $x = 30 ]",
                                "while read x; do echo ${x}0; done");
        CHECK(ends.left.outcome == MAYFLY_OUTCOME_EXITED && ends.left.exit_code == 0);
        CHECK(ends.right.outcome == MAYFLY_OUTCOME_EXITED && ends.right.exit_code == 0);
        const bool told = flags & MAYFLY_JOIN_TRANSCRIPT;
        CHECK(strcmp(captured[2], told ? "1\n10\n2\n20\n3\n30\n" : "") == 0);
        CHECK(captured[0][0] == '\0');
    }
}

static void descriptors_have_the_numbers_that_were_asked_for(void)
{
    uint32_t left = open_box(), right = open_box();
    for (uint32_t i = 3; i <= 5; i++)
        join(left, i, right, 8 - i, 0);
    join(right, 15, left, 15, 0);
    script(left, defaults(),
           "echo three >&3; echo four >&4; echo five >&5; read x <&15\n"
           "[ \"$x\" = 'five four three' ] && echo /proc/self/fd/*");
    script(right, defaults(), "read a <&3; read b <&4; read c <&5; echo $a $b $c >&15");
    struct ends ends = await_both(left);
    CHECK(ends.left.exit_code == 0 && ends.right.exit_code == 0);
    /* and nothing else: 255 is the shell's own script */
    const char *fds = "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/15 /proc/self/fd/2 "
                      "/proc/self/fd/255 /proc/self/fd/3 /proc/self/fd/4 /proc/self/fd/5";
    CHECK(strncmp(captured[0], fds, strlen(fds)) == 0);
    close_box(left);
    close_box(right);
}

static void streams_can_be_opened_anew(void)
{
    struct ends ends = talk(MAYFLY_JOIN_HELD, defaults(),
                            "echo hi > /dev/stdout; read x < /dev/stdin; [ $x = ho ]",
                            "read x < /dev/stdin; [ $x = hi ] && echo ho > /dev/stdout");
    CHECK(ends.left.exit_code == 0 && ends.right.exit_code == 0);
}

static void either_side_is_told_that_the_other_closed(void)
{
    for (uint32_t flags = 0; flags <= (MAYFLY_JOIN_TRANSCRIPT | MAYFLY_JOIN_HELD); flags++) {
        struct ends ends = talk(flags, defaults(), "exit 3", "cat; exit 4");
        CHECK(ends.left.exit_code == 3 && ends.right.exit_code == 4);
        ends = talk(flags, defaults(), "exit 3", "exec yes");
        CHECK(ends.left.exit_code == 3);
        /* With a transcript its output is counted, too: more than its limit may have fitted into the pipes. */
        CHECK(ends.right.outcome == MAYFLY_OUTCOME_SIGNALED && ends.right.signal == SIGPIPE);
        if (flags & MAYFLY_JOIN_HELD)
            continue;
        ends = talk(flags, defaults(), "exec 1>&-; read x; [ $x = done ]", "cat; echo done");
        CHECK(ends.left.exit_code == 0 && ends.right.exit_code == 0);
    }
}

static void the_ends_of_held_pipes_are_in_order(void)
{
    for (int i = 0; i < 20; i++) {
        struct ends ends = talk(MAYFLY_JOIN_HELD, defaults(), "exit 3", "read x; exit 4");
        CHECK(ends.left.exit_code == 3 && ends.right.exit_code == 4);
        CHECK(ends.left.ended_at_us < ends.right.ended_at_us);
    }
}

static void who_waits_for_each_other_ends_by_limits(void)
{
    struct mayfly_step step = defaults();
    step.wall_time_us_max = 300000;
    struct ends ends = talk(MAYFLY_JOIN_HELD, step, "read x", "read x");
    const bool left_first = ends.left.ended_at_us < ends.right.ended_at_us;
    CHECK((left_first ? ends.left : ends.right).outcome == MAYFLY_OUTCOME_WALL_LIMIT);
    /* Nobody reads: both pipes are full. */
    ends = talk(MAYFLY_JOIN_TRANSCRIPT, step, "exec 2>/dev/null; sleep 10 & yes; wait",
                "exec sleep 10");
    CHECK(ends.left.outcome == MAYFLY_OUTCOME_WALL_LIMIT);
    CHECK(ends.right.outcome == MAYFLY_OUTCOME_WALL_LIMIT);
}

static void a_transcript_is_output(void)
{
    struct mayfly_step step = defaults();
    step.output_bytes_max = 10;
    struct ends ends = talk(MAYFLY_JOIN_TRANSCRIPT, step, "echo 12345678901; sleep 10", "read x");
    CHECK(ends.left.outcome == MAYFLY_OUTCOME_OUTPUT_LIMIT);
    CHECK(strcmp(captured[2], "1234567890") == 0);
    ends = talk(0, step, "echo 12345678901", "read x; [ $x = 12345678901 ]");
    CHECK(ends.left.outcome == MAYFLY_OUTCOME_EXITED && ends.right.exit_code == 0);
}

static void a_long_talk_is_told_whole_in_few_events(void)
{
    const int turns = 6000;
    size_t bytes = 0;
    for (int i = 0; i < turns; i++)
        bytes += 2 * (size_t)snprintf(NULL, 0, "%d\n", i);
    struct mayfly_step step = defaults();
    step.cpu_time_us_max *= slowness();
    step.wall_time_us_max *= slowness();
    struct ends ends = talk(MAYFLY_JOIN_TRANSCRIPT | MAYFLY_JOIN_HELD, step,
                            "for ((i = 0; i < 6000; i++)); do echo $i; read x; done",
                            "while read x; do echo $x; done");
    CHECK(ends.left.exit_code == 0 && ends.right.exit_code == 0);
    CHECK(strlen(captured[2]) == bytes);
    CHECK(strncmp(captured[2], "0\n0\n1\n1\n2\n2\n", 12) == 0);
    CHECK(captured_events >= 2 * 2048 && captured_events < 2 * 2048 + 8);
}

/* The boxes of one or both sides fail, and are gone. */
static void nonsense(uint32_t from_descriptor, uint32_t to_descriptor, uint32_t flags)
{
    uint32_t from = open_box(), to = open_box();
    join(from, from_descriptor, to, to_descriptor, flags);
    for (int closed = 0, faults = 0; closed < 2;) {
        struct mayfly_event event = next_event();
        if (event.kind == MAYFLY_EVENT_FAULT)
            CHECK(event.stage == MAYFLY_STAGE_PROTOCOL && event.fault_errno == EINVAL && ++faults);
        closed += event.kind == MAYFLY_EVENT_CLOSED;
        CHECK(closed <= faults);
    }
}

static void what_makes_no_sense_is_refused(void)
{
    nonsense(16, 0, 0);
    nonsense(1, 16, 0);
    nonsense(1, 0, 4);
    uint32_t box = open_box(), other = open_box();
    join(box, 1, other, 0, 0);
    join(box, 1, other, 3, 0);
    for (int closed = 0; closed < 2;)
        closed += next_event().kind == MAYFLY_EVENT_CLOSED;
    box = open_box();
    join(box, 1, box, 0, 0);
    CHECK(await(MAYFLY_EVENT_FAULT).box == box && await(MAYFLY_EVENT_CLOSED).box == box);
    /* Two inputs. */
    box = open_box(), other = open_box();
    join(other, 1, box, 0, 0);
    ask_step(box, defaults(), "/bin/cat", "input");
    CHECK(await(MAYFLY_EVENT_FAULT).box == box && await(MAYFLY_EVENT_CLOSED).box == box);
    /* Too late. */
    uint32_t running = open_box();
    ask_step(running, defaults(), "/bin/sleep 10", NULL);
    join(running, 1, other, 3, 0);
    for (int closed = 0; closed < 2;)
        closed += next_event().kind == MAYFLY_EVENT_CLOSED;
}

static void a_dead_peer_has_closed(void)
{
    uint32_t box = open_box();
    join(box, 3, 4000000, 0, MAYFLY_JOIN_HELD);
    join(4000000, 1, box, 0, MAYFLY_JOIN_HELD);
    script(box, defaults(), "read x || echo nothing >&3; echo not reached");
    struct mayfly_event end = await(MAYFLY_EVENT_STEP_END);
    CHECK(end.outcome == MAYFLY_OUTCOME_SIGNALED && end.signal == SIGPIPE);
    close_box(box);
}

static void nothing_is_left(void)
{
    const int rounds = 20, before = descriptors();
    for (int i = 0; i < rounds; i++) {
        uint32_t left = open_box(), right = open_box();
        couple(left, right, MAYFLY_JOIN_TRANSCRIPT | MAYFLY_JOIN_HELD);
        if (i % 2) { /* else neither begins */
            script(left, defaults(), "exec yes");
            script(right, defaults(), "exec sleep 10");
            await(MAYFLY_EVENT_PUT_END);
            await(MAYFLY_EVENT_PUT_END);
        }
        CHECK(mayfly_close(library, left) == 0 && mayfly_close(library, right) == 0);
        for (int closed = 0; closed < 2;)
            closed += next_event().kind == MAYFLY_EVENT_CLOSED;
    }
    /* Pooled boxes come and go; of a leak it would be four each time. */
    for (int i = 0; descriptors() > before + 2 * rounds; i++) {
        CHECK(i < 1000 * (int)slowness());
        usleep(1000);
    }
}

void graphs(void)
{
    two_boxes_talk();
    descriptors_have_the_numbers_that_were_asked_for();
    streams_can_be_opened_anew();
    either_side_is_told_that_the_other_closed();
    the_ends_of_held_pipes_are_in_order();
    who_waits_for_each_other_ends_by_limits();
    a_transcript_is_output();
    a_long_talk_is_told_whole_in_few_events();
    what_makes_no_sense_is_refused();
    a_dead_peer_has_closed();
    nothing_is_left();
}
