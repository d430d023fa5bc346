#include "step.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "control.h"
#include "cpus.h"
#include "joints.h"
#include "link.h"
#include "mounts.h"
#include "output.h"
#include "packet.h"
#include "pool.h"
#include "relay.h"
#include "sys.h"
#include "warm.h"
#include "weaken.h"

/* How long pid 1 may take to reap a killed program before it is killed itself. */
#define KILL_GRACE_US 1000000u
/*
 * Shortest time between two looks at the CPU counter: a 200th of the limit, at least 1 ms. It bounds both the
 * overshoot and how often a program that mostly waits is looked at near its limit.
 */
#define CPU_CHECK_US_MIN 1000u
#define CPU_CHECK_PARTS 200u

/*
 * The earliest moment at which the limit can be reached. Two bounds hold: every CPU of the machine busy,
 * and the quota, which lets through what one period allows, plus the rest of the period before.
 */
uint64_t step_cpu_headroom_us(const struct mayfly_step *request, uint64_t left)
{
    uint64_t by_machine = left / cpus_count();
    uint64_t by_quota = left * 1000 / request->cpu_millis;
    by_quota = by_quota > 2 * CGROUP_CPU_PERIOD_US ? by_quota - 2 * CGROUP_CPU_PERIOD_US : 0;
    uint64_t headroom = by_machine > by_quota ? by_machine : by_quota;
    uint64_t least = request->cpu_time_us_max / CPU_CHECK_PARTS;
    if (least < CPU_CHECK_US_MIN)
        least = CPU_CHECK_US_MIN;
    return headroom > least ? headroom : least;
}

void step_release(struct box *box)
{
    cpus_give_back(&box->step.affinity);
}

int step_set_disk(struct box *box, uint64_t bytes, uint32_t files)
{
    struct statfs disk;
    uint64_t inodes = box->inodes_used + files;

    if (weak(WEAK_LIMITS) || (box->disk_bytes_max == bytes && box->files_max == files))
        return 0;
    if (fstatfs(box->disk, &disk) != 0)
        return -errno;
    /* What earlier steps left may exceed this step's limit: then nothing can be added. */
    uint64_t used = (uint64_t)(disk.f_blocks - disk.f_bfree) * (uint64_t)disk.f_bsize;
    uint64_t used_inodes = (uint64_t)(disk.f_files - disk.f_ffree);
    long error = mounts_resize(box->disk, bytes > used ? bytes : used,
                               inodes > used_inodes ? inodes : used_inodes);
    if (error)
        return (int)error;
    box->disk_bytes_max = bytes;
    box->files_max = files;
    return 0;
}

int step_set_limits(struct box *box, const struct box_limits *limits)
{
    if (weak(WEAK_LIMITS))
        return 0;
    int error = step_set_disk(box, limits->disk_bytes_max, limits->files_max);
    return error ? error : cgroup_limit(&box->leaf, &limits->cgroup);
}

static struct box_limits limits_of(const struct mayfly_step *request)
{
    return (struct box_limits){.cgroup = {.memory_bytes_max = request->memory_bytes_max,
                                          .processes_max = request->processes_max,
                                          .cpu_millis = request->cpu_millis},
                               .disk_bytes_max = request->disk_bytes_max,
                               .files_max = request->files_max};
}

int step_foresee(struct box *box, const struct mayfly_step *request)
{
    const struct box_limits limits = limits_of(request);
    return step_set_limits(box, &limits);
}

int step_make_input(int *memory)
{
    char path[32];
    *memory = memfd_create("mayfly", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*memory < 0)
        return -errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", *memory);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Of a step that is given none: like any other's, and empty for good. */
static int make_no_input(void)
{
    int memory, fd = step_make_input(&memory);
    if (fd >= 0 && fcntl(memory, F_ADD_SEALS, MEMORY_SEALS) != 0)
        box_close_descriptor(&fd);
    box_close_descriptor(&memory);
    return fd;
}

/* Descriptor 0 of the step, where it is not the end of a pipe to another box. False after a fault. */
static bool settle_input(struct box *box, const struct mayfly_step *request, int *input)
{
    const bool interactive = (request->flags & MAYFLY_STEP_INTERACTIVE) != 0;
    if (joints_feed(box)) {
        if (*input >= 0 || interactive) {
            box_close_descriptor(input);
            box_fault(box, MAYFLY_STAGE_PROTOCOL, EINVAL, 13); /* two inputs */
            return false;
        }
        return true;
    }
    if (interactive) {
        box_close_descriptor(input);
        *input = control_connect(box);
    } else if (*input < 0 && !box->warm) { /* the input of a warm one is there */
        *input = make_no_input();
    } else {
        return true;
    }
    if (*input < 0)
        box_fault(box, interactive ? MAYFLY_STAGE_TERMINAL : MAYFLY_STAGE_WAITER, -*input, 1);
    return *input >= 0;
}

struct go step_go(const struct mayfly_step *request)
{
    return (struct go){.argv_count = request->argv_count,
                       .env_count = request->env_count,
                       .strings_bytes = request->strings_bytes,
                       .merge_stderr = (request->flags & MAYFLY_STEP_MERGE_STDERR) != 0,
                       .terminal = (request->flags & MAYFLY_STEP_TERMINAL) != 0,
                       .open_files_max = request->open_files_max,
                       .file_bytes_max = request->file_bytes_max,
                       .stack_bytes_max = request->stack_bytes_max};
}

void step_start(struct box *box, const struct mayfly_step *request, const char *strings, int input,
                uint64_t asked_us)
{
    struct step *step = &box->step;
    const struct box_limits limits = limits_of(request);

    *step = (struct step){.request = *request, .asked_us = asked_us, .kept = -1};
    snprintf(step->directory, sizeof step->directory, "%s", strings);
    snprintf(step->named, sizeof step->named, "%s", strings + strlen(strings) + 1);
    if (box->steps == 1 && !box->image->warm)
        box->image->usual = limits;
    int error = step_set_limits(box, &limits);
    if (!error && (request->flags & MAYFLY_STEP_KEEP_STDOUT)) {
        step->kept = memfd_create("mayfly-stdout", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        error = step->kept < 0 ? -errno : 0;
    }
    if (!error)
        error = cgroup_cpu_us(&box->leaf, &step->cpu_base_us);
    if (error) {
        box_close_descriptor(&input);
        box_fault(box, MAYFLY_STAGE_CGROUP, -error, 2);
        return;
    }
    if (!settle_input(box, request, &input))
        return;
    struct go go = step_go(request);
    if (box->core != CGROUP_NO_CORE)
        cpus_take_reserved((uint32_t)box->core, &step->affinity);
    else
        cpus_take((request->cpu_millis + 999) / 1000, box->cpu, &step->affinity);
    go.affinity_holds = box->steps == 1 && CPU_COUNT(&step->affinity) == 1 &&
                        CPU_ISSET(box->cpu, &step->affinity);
    memcpy(go.affinity, &step->affinity, sizeof go.affinity);
    step->started_us = now_us();
    step->cpu_check_us = step->started_us + step_cpu_headroom_us(request, request->cpu_time_us_max);
    box->state = BOX_RUNNING;
    int given[GIVEN_MAX];
    if (input >= 0)
        given[go.given_count++] = input; /* as descriptor 0 */
    joints_give(box, &go, given);
    long sent = box->warm
                    ? warm_feed(box, input)
                    : packet_send(box->waiter_socket, &go, sizeof go, strings,
                                  request->strings_bytes, given, (int)go.given_count, MSG_DONTWAIT);
    if (box->warm)
        step->executed_us = now_us();
    box_close_descriptor(&input);
    joints_given(box);
    if (sent)
        box_fault(box, MAYFLY_STAGE_WAITER, (int)-sent, 4);
}

void step_waiter(struct box *box)
{
    struct waiter_report report;
    while (box->waiter_socket >= 0) {
        long length = packet_receive(box->waiter_socket, &report, sizeof report, NULL, NULL,
                                     MSG_DONTWAIT);
        if (length == -EAGAIN)
            return;
        if (length == sizeof report && report.stage != 0 && box->state != BOX_RUNNING) {
            box_fault(box, report.stage, report.error, report.index); /* before it was needed */
            return;
        }
        if (length == sizeof report) {
            if (report.stage != 0)
                box->step.failure = report;
            continue;
        }
        if (box->state == BOX_RUNNING && box->step.failure.stage == 0)
            box->step.executed_us = now_us();
        box_close_descriptor(&box->waiter_socket);
        if (box->state == BOX_WARMING)
            warm_executed(box);
    }
}

void step_out_of_memory(struct box *box)
{
    if (cgroup_out_of_memory(&box->leaf))
        step_kill(box, MAYFLY_OUTCOME_MEMORY_LIMIT);
}

void step_kill(struct box *box, enum mayfly_outcome reason)
{
    struct step *step = &box->step;

    if (box->state != BOX_RUNNING || step->reason != 0)
        return;
    step->reason = reason;
    step->kill_until_us = now_us() + KILL_GRACE_US;
    cgroup_kill(&box->leaf);
    /* Its death lets pid 1 kill whatever was forked behind the pass over the leaf. */
    SYS4(SYS_pidfd_send_signal, box->program_pidfd, SIGKILL, 0, 0);
}

/* Files that cannot be executed, or directories that cannot be entered, are the program's doing. */
static bool exec_error_is_programs(const struct waiter_report *failure)
{
    switch (failure->error) {
    case ENFILE:
    case EMFILE:
    case ENOMEM:
    case EAGAIN:
    case EIO:
    case EINTR:
    case ENOSYS:
        return false;
    default:
        return failure->stage == MAYFLY_STAGE_EXEC;
    }
}

/* As a shell does: 127 when there is no such file, 126 when it cannot be run, and a line that says so. */
static int explain_exec_failure(struct box *box)
{
    struct step *step = &box->step;
    bool entering = step->failure.index == 1;
    char line[512];
    int length = snprintf(line, sizeof line, "mayfly: cannot %s '%.200s': %s\n",
                          entering ? "enter" : "run", entering ? step->directory : step->named,
                          strerror(step->failure.error));
    bool merged = (step->request.flags & MAYFLY_STEP_MERGE_STDERR) != 0;
    uint64_t count = (uint64_t)length;
    if (count > step->request.output_bytes_max)
        count = step->request.output_bytes_max;
    output_say(box, merged ? 0 : 1, line, count);
    return step->failure.error == ENOENT || step->failure.error == ENOTDIR ? 127 : 126;
}

struct ending {
    struct cgroup_usage usage;
    struct statfs disk;
    bool out_of_memory;
    bool killed_with_init; /* pid 1 died too: there is no status */
    int status;
};

uint64_t step_wall_us(const struct step *step, uint64_t now)
{
    uint64_t since = step->executed_us ? step->executed_us : step->started_us;
    uint64_t frozen_us = step->frozen_us + (step->frozen_at_us ? now - step->frozen_at_us : 0);
    return now - since - frozen_us;
}

static enum mayfly_outcome decide(const struct step *step, const struct ending *end,
                                  uint64_t wall_us)
{
    if (step->reason != 0)
        return step->reason;
    if (end->out_of_memory || end->usage.oom_kills > 0)
        return MAYFLY_OUTCOME_MEMORY_LIMIT;
    if (end->usage.cpu_us >= step->request.cpu_time_us_max)
        return MAYFLY_OUTCOME_CPU_LIMIT;
    if (wall_us >= step->request.wall_time_us_max)
        return MAYFLY_OUTCOME_WALL_LIMIT;
    bool succeeded = WIFEXITED(end->status) && WEXITSTATUS(end->status) == 0;
    if (!succeeded && (end->disk.f_bfree == 0 || end->disk.f_ffree == 0))
        return MAYFLY_OUTCOME_DISK_LIMIT;
    return WIFEXITED(end->status) ? MAYFLY_OUTCOME_EXITED : MAYFLY_OUTCOME_SIGNALED;
}

static void fill_status(struct box *box, struct mayfly_event *event, const struct ending *end)
{
    event->exit_code = -1;
    if (end->killed_with_init)
        event->signal = SIGKILL;
    else if (box->step.failure.stage != 0)
        event->exit_code = explain_exec_failure(box);
    else if (WIFEXITED(end->status))
        event->exit_code = WEXITSTATUS(end->status);
    else
        event->signal = WTERMSIG(end->status);
}

static void fill_usage(const struct box *box, struct mayfly_event *event, const struct ending *end)
{
    uint64_t blocks = (uint64_t)(end->disk.f_blocks - end->disk.f_bfree);
    event->cpu_time_us = end->usage.cpu_us;
    event->cpu_user_us = end->usage.cpu_user_us;
    event->cpu_system_us = end->usage.cpu_system_us;
    event->memory_bytes_peak = end->usage.memory_bytes_peak;
    event->io_read_bytes = end->usage.io_read_bytes;
    event->io_write_bytes = end->usage.io_write_bytes;
    event->processes_peak = end->usage.processes_peak;
    event->oom_kills = end->usage.oom_kills;
    event->disk_bytes = blocks > box->blocks_used
                            ? (blocks - box->blocks_used) * (uint64_t)end->disk.f_bsize
                            : 0;
}

/* Takes what was used before "go" off the counter, keeping the parts' shares. */
static void take_off_base(struct cgroup_usage *usage, uint64_t base_us)
{
    uint64_t own = usage->cpu_us > base_us ? usage->cpu_us - base_us : 0;
    usage->cpu_user_us = usage->cpu_us > 0 ? usage->cpu_user_us * own / usage->cpu_us : 0;
    usage->cpu_us = own;
    usage->cpu_system_us = own - usage->cpu_user_us;
}

/* Sends the end with what was kept of stdout, which nobody can change any more. */
static bool hand_over_kept(struct box *box, struct mayfly_event *event)
{
    struct step *step = &box->step;
    if (step->kept >= 0 && step->kept_error == 0 &&
        fcntl(step->kept, F_ADD_SEALS, MEMORY_SEALS) != 0)
        step->kept_error = errno;
    if (step->kept_error != 0) {
        box_fault(box, MAYFLY_STAGE_FILES, step->kept_error, 3);
        return false;
    }
    event->data_bytes = step->kept >= 0 ? (uint64_t)lseek(step->kept, 0, SEEK_CUR) : 0;
    link_send(event, NULL, 0, step->kept);
    step->kept = -1; /* link_send closes it */
    return true;
}

/* Of the program's time by wait4(2), as a share of the rest: without what it took to get warm. */
static uint64_t own_time(const struct box *box, uint64_t us, bool user)
{
    const uint64_t before = user ? box->start_up.cpu_user_us : box->start_up.cpu_system_us;
    return box->warm ? (us > before ? us - before : 0) : us;
}

void step_ended(struct box *box, const struct init_report *report)
{
    struct step *step = &box->step;
    struct ending end = {.killed_with_init = report == NULL, .status = report ? report->status : 0};
    uint64_t now = now_us(), executed_us = step->executed_us;

    step_waiter(box);
    step->executed_us = executed_us; /* seen only now, it says nothing about when */
    output_drain(box);
    end.out_of_memory = cgroup_out_of_memory(&box->leaf);
    int error = cgroup_usage(&box->leaf, own_time(box, report ? report->cpu_user_us : 0, true),
                             own_time(box, report ? report->cpu_system_us : 0, false), &end.usage);
    if (!error && fstatfs(box->disk, &end.disk) != 0)
        error = -errno;
    if (error) {
        box_fault(box, MAYFLY_STAGE_CGROUP, -error, 3);
        return;
    }
    take_off_base(&end.usage, step->cpu_base_us);
    /* Our kill may come before the kernel's own, which then counts none. */
    if ((end.out_of_memory || step->reason == MAYFLY_OUTCOME_MEMORY_LIMIT) &&
        end.usage.oom_kills == 0)
        end.usage.oom_kills = 1;
    uint64_t wall_us = step_wall_us(step, now);
    if (step->failure.stage != 0 && step->reason == 0 && !end.out_of_memory &&
        !exec_error_is_programs(&step->failure)) {
        box_fault(box, step->failure.stage, step->failure.error, step->failure.index);
        return;
    }
    if (report == NULL && step->reason == 0) {
        box_fault(box, MAYFLY_STAGE_INIT, ECHILD, 6);
        return;
    }
    if (report && report->index && step->reason == 0) { /* it never got its program */
        box_fault(box, MAYFLY_STAGE_WAITER, ECHILD, 11);
        return;
    }
    struct mayfly_event event = {.kind = MAYFLY_EVENT_STEP_END,
                                 .box = box->client,
                                 .outcome = decide(step, &end, wall_us),
                                 .wall_time_us = wall_us,
                                 .stdout_truncated = step->truncated[0],
                                 .stderr_truncated = step->truncated[1],
                                 .counter_reads = step->counter_reads,
                                 .usage_of_init = report != NULL,
                                 .context_switches = report ? report->context_switches : 0,
                                 .major_page_faults = report ? report->major_page_faults : 0};
    event.asked_at_us = step->asked_us;
    event.started_at_us = step->started_us;
    event.executed_at_us = step->executed_us;
    event.ended_at_us = now;
    const struct image *cold = box->image->warm ? images_find(box->image->warm->step.box) : NULL;
    event.pool_ready = pool_ready(cold ? cold : box->image);
    event.warm = box->warm;
    event.box_us = (step->executed_us ? step->executed_us : step->started_us) - step->asked_us;
    fill_usage(box, &event, &end);
    fill_status(box, &event, &end);
    output_tell(box);
    relay_tell(box->client);
    if (!hand_over_kept(box, &event))
        return;
    box_step_over(box);
}

uint64_t step_tick(struct box *box, uint64_t now)
{
    struct step *step = &box->step;
    uint64_t output_due = output_wake(box, now), typed_due = control_type(box, now);
    if (typed_due < output_due)
        output_due = typed_due;
    if (step->kill_until_us != 0) {
        if (now >= step->kill_until_us)
            box_kill(box); /* pid 1 did not manage; its death takes everything with it */
        return now >= step->kill_until_us ? now + KILL_GRACE_US : step->kill_until_us;
    }
    if (weak(WEAK_LIMITS))
        return output_due;
    uint64_t wall_us = step_wall_us(step, now);
    uint64_t wall_end = step->frozen_at_us ? step->frozen_at_us + step->request.frozen_time_us_max -
                                                 step->frozen_us
                                           : now + step->request.wall_time_us_max - wall_us;
    if (step->frozen_at_us ? now >= wall_end : wall_us >= step->request.wall_time_us_max) {
        step_kill(box, MAYFLY_OUTCOME_WALL_LIMIT);
        return step->kill_until_us;
    }
    if (step->frozen_at_us)
        return wall_end < output_due ? wall_end : output_due;
    if (now >= step->cpu_check_us) {
        uint64_t used;
        step->counter_reads++;
        if (cgroup_cpu_us(&box->leaf, &used) != 0 ||
            used - step->cpu_base_us >= step->request.cpu_time_us_max) {
            step_kill(box, MAYFLY_OUTCOME_CPU_LIMIT);
            return step->kill_until_us;
        }
        uint64_t left = step->request.cpu_time_us_max - (used - step->cpu_base_us);
        step->cpu_check_us = now + step_cpu_headroom_us(&step->request, left);
    }
    uint64_t due = wall_end < step->cpu_check_us ? wall_end : step->cpu_check_us;
    return due < output_due ? due : output_due;
}
