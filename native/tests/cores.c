/* Boxes that have a core alone: where they run, and where no other does meanwhile. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "harness.h"

static const char grasp[] = "python3 -c 'import os\n"
                            "os.sched_setaffinity(0, range(1024))\n"
                            "print(*sorted(os.sched_getaffinity(0)), end=\"\")'\n"
                            "grep -v ':/$' /proc/self/cgroup >&2\n";

static uint32_t open_alone(void)
{
    struct mayfly_open request = {.size = sizeof request,
                                  .box = next_box++,
                                  .image = 1,
                                  .files_max = 4096,
                                  .disk_bytes_max = 64 * MIB,
                                  .flags = MAYFLY_OPEN_ALONE};
    CHECK(mayfly_open(library, &request) == 0);
    return request.box;
}

/* The CPUs that a program gets which wants them all, as text. */
static void cpus_of(uint32_t box, char text[128])
{
    static uint8_t archive[4096];
    uint8_t *end = archive;
    put_record(&end, "/tmp/grasp", 0644, grasp, strlen(grasp));
    CHECK(mayfly_put(library, box, archive, (uint64_t)(end - archive)) == 0);
    ask_step(box, defaults(), "/bin/bash /tmp/grasp", NULL);
    struct mayfly_event step = await(MAYFLY_EVENT_STEP_END);
    CHECK(step.outcome == MAYFLY_OUTCOME_EXITED);
    CHECK(captured[1][0] == '\0'); /* no line of its control groups says more than "/" */
    snprintf(text, 128, "%.100s", captured[0]);
}

void cores(void)
{
    char all[128], own[128], others[128], later[128];
    uint32_t before = open_box();
    cpus_of(before, all);
    CHECK(strchr(all, ' ')); /* on one CPU there is nothing to be had */

    uint32_t alone = open_alone();
    cpus_of(alone, own);
    CHECK(own[0] && !strchr(own, ' '));
    uint32_t after = open_box();
    cpus_of(before, others);
    cpus_of(after, later);
    CHECK(strcmp(others, later) == 0 && strlen(others) < strlen(all));
    char *list = strdup(others), *place = NULL;
    for (char *cpu = strtok_r(list, " ", &place); cpu; cpu = strtok_r(NULL, " ", &place))
        CHECK(strcmp(cpu, own) != 0);
    free(list);
    cpus_of(alone, later); /* in its next step, too */
    CHECK(strcmp(later, own) == 0);
    close_box(alone);
    cpus_of(before, later);
    CHECK(strcmp(later, all) == 0);
    close_box(before);
    close_box(after);
    printf("cores passed\n");
}
