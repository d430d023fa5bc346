/* Prints the size and the offset of every field of every struct in mayfly.h, as JSON. */
#include <stddef.h>
#include <stdio.h>

#include "mayfly.h"

#define CONFIG_FIELDS(F, S)                                                                        \
    F(S, size) F(S, abi_version) F(S, boxes_max) F(S, pool_boxes) F(S, warm_bytes_max)
#define LAYER_FIELDS(F, S) F(S, size) F(S, image) F(S, base) F(S, pooled)
#define OPEN_FIELDS(F, S)                                                                          \
    F(S, size) F(S, box) F(S, image) F(S, files_max) F(S, disk_bytes_max) F(S, flags) F(S, reserved)
#define STEP_FIELDS(F, S)                                                                          \
    F(S, size)                                                                                     \
    F(S, box)                                                                                      \
    F(S, cpu_time_us_max)                                                                          \
    F(S, wall_time_us_max)                                                                         \
    F(S, memory_bytes_max)                                                                         \
    F(S, output_bytes_max)                                                                         \
    F(S, disk_bytes_max)                                                                           \
    F(S, file_bytes_max)                                                                           \
    F(S, stack_bytes_max)                                                                          \
    F(S, frozen_time_us_max)                                                                       \
    F(S, files_max)                                                                                \
    F(S, processes_max)                                                                            \
    F(S, open_files_max)                                                                           \
    F(S, cpu_millis)                                                                               \
    F(S, flags)                                                                                    \
    F(S, argv_count)                                                                               \
    F(S, env_count)                                                                                \
    F(S, strings_bytes)                                                                            \
    F(S, terminal_rows)                                                                            \
    F(S, terminal_columns)
#define JOIN_FIELDS(F, S)                                                                          \
    F(S, size) F(S, from) F(S, from_descriptor) F(S, to) F(S, to_descriptor) F(S, flags)
#define LIMITS_FIELDS(F, S)                                                                        \
    F(S, size)                                                                                     \
    F(S, box)                                                                                      \
    F(S, cpu_time_us_max)                                                                          \
    F(S, wall_time_us_max)                                                                         \
    F(S, memory_bytes_max)                                                                         \
    F(S, processes_max)                                                                            \
    F(S, cpu_millis)
#define COLLECT_FIELDS(F, S)                                                                       \
    F(S, size)                                                                                     \
    F(S, box)                                                                                      \
    F(S, file_bytes_max)                                                                           \
    F(S, total_bytes_max)                                                                          \
    F(S, files_max)                                                                                \
    F(S, patterns_count)                                                                           \
    F(S, patterns_bytes)                                                                           \
    F(S, flags)
#define EVENT_FIELDS(F, S)                                                                         \
    F(S, size)                                                                                     \
    F(S, kind)                                                                                     \
    F(S, box)                                                                                      \
    F(S, stream)                                                                                   \
    F(S, data_bytes)                                                                               \
    F(S, fd)                                                                                       \
    F(S, put_errno)                                                                                \
    F(S, stage)                                                                                    \
    F(S, fault_errno)                                                                              \
    F(S, index)                                                                                    \
    F(S, outcome)                                                                                  \
    F(S, exit_code)                                                                                \
    F(S, signal)                                                                                   \
    F(S, stdout_truncated)                                                                         \
    F(S, stderr_truncated)                                                                         \
    F(S, usage_of_init)                                                                            \
    F(S, counter_reads)                                                                            \
    F(S, cpu_time_us)                                                                              \
    F(S, cpu_user_us)                                                                              \
    F(S, cpu_system_us)                                                                            \
    F(S, wall_time_us)                                                                             \
    F(S, memory_bytes_peak)                                                                        \
    F(S, disk_bytes)                                                                               \
    F(S, io_read_bytes)                                                                            \
    F(S, io_write_bytes)                                                                           \
    F(S, context_switches)                                                                         \
    F(S, major_page_faults)                                                                        \
    F(S, processes_peak)                                                                           \
    F(S, oom_kills)                                                                                \
    F(S, box_us)                                                                                   \
    F(S, asked_at_us)                                                                              \
    F(S, started_at_us)                                                                            \
    F(S, executed_at_us)                                                                           \
    F(S, ended_at_us)                                                                              \
    F(S, pool_ready)                                                                               \
    F(S, warm)
#define ABI_FIELDS(F, S)                                                                           \
    F(S, abi_version)                                                                              \
    F(S, config_bytes)                                                                             \
    F(S, layer_bytes)                                                                              \
    F(S, open_bytes)                                                                               \
    F(S, step_bytes)                                                                               \
    F(S, collect_bytes)                                                                            \
    F(S, event_bytes)                                                                              \
    F(S, limits_bytes)                                                                             \
    F(S, join_bytes)

#define PRINT_FIELD(S, field)                                                                      \
    printf("%s\"%s\": %zu", separator, #field, offsetof(struct S, field));                         \
    separator = ", ";

#define PRINT_STRUCT(S, FIELDS, end)                                                               \
    do {                                                                                           \
        const char *separator = "";                                                                \
        printf("  \"%s\": {\"bytes\": %zu, \"offsets\": {", #S, sizeof(struct S));                 \
        FIELDS(PRINT_FIELD, S)                                                                     \
        printf("}}%s\n", end);                                                                     \
    } while (0)

int main(void)
{
    printf("{\n");
    PRINT_STRUCT(mayfly_config, CONFIG_FIELDS, ",");
    PRINT_STRUCT(mayfly_layer, LAYER_FIELDS, ",");
    PRINT_STRUCT(mayfly_open, OPEN_FIELDS, ",");
    PRINT_STRUCT(mayfly_step, STEP_FIELDS, ",");
    PRINT_STRUCT(mayfly_join, JOIN_FIELDS, ",");
    PRINT_STRUCT(mayfly_limits, LIMITS_FIELDS, ",");
    PRINT_STRUCT(mayfly_collect, COLLECT_FIELDS, ",");
    PRINT_STRUCT(mayfly_event, EVENT_FIELDS, ",");
    PRINT_STRUCT(mayfly_abi, ABI_FIELDS, "");
    printf("}\n");
    return 0;
}
