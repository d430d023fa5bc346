# Reads what `perf trace` wrote of `bench_box --only stages` and prints the median of each stage of a box. A line is
#   <ms since boot> (<ms it took> ms): <name>/<thread> <system call>(<arguments>) = <result>
# or, for a call that was interrupted by another line, one that ends with "..." and one "[continued]".
# Pooled and cold boxes take turns there, each kind with a supervisor of its own; the pooled one is the first.

function took(    text) {
    text = $0
    if (!match(text, /\( *[0-9.]+ ms\)/)) return 0
    text = substr(text, RSTART + 1, RLENGTH - 5)
    return text + 0
}

function note(stage, ms) {
    if (ms < 0) return
    value[stage, ++count[stage]] = ms * 1000
    if (!(stage in rank)) { rank[stage] = ++stages; name[stages] = stage }
}

function median(stage,    i, j, n, kept, sorted) {
    n = count[stage]
    for (i = 1; i <= n; i++) sorted[i] = value[stage, i]
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && sorted[j - 1] > sorted[j]; j--) {
            kept = sorted[j]; sorted[j] = sorted[j - 1]; sorted[j - 1] = kept
        }
    return sorted[int((n + 1) / 2)]
}

function finish() {
    if (limits && go && exec && exit_at && told) {
        note("the request reaches the supervisor", limits - asked)
        note("limits, affinity, first reading", go - limits)
        note("the waiter wakes, applies rlimits and directory", exec - go)
        note("exec", exec_end - exec)
        note("the program: loader, main, exit", exit_at - exec_end)
        note("the kernel ends it, pid 1 reaps and tells", told - exit_at)
        note("usage, outcome", reported - told)
        note("the report reaches the client", answered - reported)
        calls["limits, affinity, first reading"] = calls_before
        calls["usage, outcome"] = calls_after
    }
    asked = limits = go = exec = exit_at = told = reported = answered = 0
}

{
    at = $1 + 0
    end = at + took()
    fresh = !/continued/
    supervisor = 0
    if (match($0, /: mayfly-supervi\/[0-9]+ /)) {
        thread = substr($0, RSTART, RLENGTH)
        if (!first_thread) first_thread = thread
        supervisor = thread == first_thread
    }
    client = 0
    if (match($0, /: bench_box\/[0-9]+ (send|recv)msg\(fd: [0-9]+/)) {
        socket = substr($0, RSTART, RLENGTH)
        sub(/.*fd: /, "", socket)
        if (first_socket == "") first_socket = socket
        client = socket == first_socket
    }
}
client && / sendmsg\(/ && !asked { asked = at; calls_before = calls_after = 0 }
supervisor && / fstatfs\(/ && asked && !limits { limits = at }
supervisor && limits && !go && fresh && !/ epoll_wait\(/ { calls_before++ }
supervisor && / sendmsg\(/ && limits && !go { go = end }
/ execve\(/ && go && !exec { exec = at; exec_end = end }
/ execve\(/ && !fresh && exec && !exit_at && end > exec_end { exec_end = end }
/ exit_group\(/ && exec && !exit_at { exit_at = at }
supervisor && exit_at && !told && fresh && / recvmsg\(/ { told = at }
supervisor && told && !reported && fresh { calls_after++ }
supervisor && told && !reported && / sendmsg\(/ { reported = end }
client && / recvmsg\(.* = [0-9]+$/ && reported && !answered { answered = end; finish() }
# The request to close: the next one of this client asks for the next box.
client && / sendmsg\(/ && !limits && asked && at - asked > 5 { asked = at }

END {
    for (i = 1; i <= stages; i++) {
        what = name[i] (name[i] in calls ? " (" calls[name[i]] " system calls)" : "")
        printf "%8.0f us  %s (n=%d)\n", median(name[i]), what, count[name[i]]
        sum += median(name[i])
    }
    printf "%8.0f us  in all, traced\n", sum
}
