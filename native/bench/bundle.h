/* An OCI bundle for each program: what crun and runc are told. */
#ifndef MAYFLY_BENCH_BUNDLE_H
#define MAYFLY_BENCH_BUNDLE_H

void bundles_make(void);
const char *bundle_path(int program);

#endif
