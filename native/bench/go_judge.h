/*
 * go-judge over its own HTTP API, on one connection that is kept. The hello is uploaded once and copied into
 * each run, as it would be after a compilation; the other programs are the server's own files.
 */
#ifndef MAYFLY_BENCH_GO_JUDGE_H
#define MAYFLY_BENCH_GO_JUDGE_H

/* `url`: http://host:port, where it listens. */
void go_judge_use(const char *url);
double go_judge_run(int program);

#endif
