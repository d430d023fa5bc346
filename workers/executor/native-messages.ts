/** What a request and an event mean, between the port's words and the numbers of mayfly.h. */
import type { LiveLimits } from '../../services/contract/control.js';
import { SandboxFault } from '../../services/contract/faults.js';
import { OUTCOMES, type Outcome } from '../../services/contract/outcomes.js';
import { errnoText } from './errno.js';
import type { LimitsRequest, NativeEvent, StepRequest } from './native-binding.js';
import { ownMemory } from './native-memory.js';
import { STEP_FLAGS } from './native-structs.js';
import type { StepStrings } from './native-archives.js';
import type { StepEnd, StepSpec } from './sandbox.js';

const US_PER_MS = 1_000;
const MILLIS_PER_CPU = 1_000;

export function stepRequest(box: number, step: StepSpec, packed: StepStrings): StepRequest {
  const { limits } = step;
  return {
    box,
    cpu_time_us_max: limits.cpuTimeMs * US_PER_MS,
    wall_time_us_max: limits.wallTimeMs * US_PER_MS,
    memory_bytes_max: limits.memoryBytes,
    output_bytes_max: limits.outputBytes,
    disk_bytes_max: limits.diskBytes,
    file_bytes_max: limits.fileBytes,
    stack_bytes_max: limits.stackBytes,
    frozen_time_us_max: (step.frozenTimeMs ?? 0) * US_PER_MS,
    files_max: limits.files,
    processes_max: limits.processes,
    open_files_max: limits.openFiles,
    cpu_millis: Math.round(limits.cpus * MILLIS_PER_CPU),
    flags:
      (step.truncateOutput ? STEP_FLAGS.truncate : 0) |
      (step.mergeStderr ? STEP_FLAGS.mergeStderr : 0) |
      (step.keepStdout === true ? STEP_FLAGS.keepStdout : 0) |
      (step.interactive === true ? STEP_FLAGS.interactive : 0) |
      ((step.terminal ?? null) === null ? 0 : STEP_FLAGS.terminal),
    argv_count: packed.argvCount,
    env_count: packed.envCount,
    strings_bytes: packed.strings.length,
    terminal_rows: step.terminal?.rows ?? 0,
    terminal_columns: step.terminal?.columns ?? 0,
  };
}

/** Zero leaves a limit as it is. */
export function limitsRequest(box: number, limits: LiveLimits): LimitsRequest {
  return {
    box,
    cpu_time_us_max: (limits.cpuTimeMs ?? 0) * US_PER_MS,
    wall_time_us_max: (limits.wallTimeMs ?? 0) * US_PER_MS,
    memory_bytes_max: limits.memoryBytes ?? 0,
    processes_max: limits.processes ?? 0,
    cpu_millis: Math.round((limits.cpus ?? 0) * MILLIS_PER_CPU),
  };
}

function isOutcome(name: string | null): name is Outcome {
  return name !== null && Object.hasOwn(OUTCOMES, name);
}

export function stepEnd(event: NativeEvent, outcome: string | null): StepEnd {
  if (!isOutcome(outcome)) throw new Error(`unknown outcome ${event.outcome}`);
  const ofInit = event.usage_of_init === 1;
  return {
    outcome,
    exitCode: event.exit_code < 0 ? null : event.exit_code,
    signal: event.signal === 0 ? null : event.signal,
    stdoutTruncated: event.stdout_truncated !== 0,
    stderrTruncated: event.stderr_truncated !== 0,
    ...(event.fd < 0 ? {} : { kept: ownMemory(event.fd, event.data_bytes) }),
    cpuTimeUs: event.cpu_time_us,
    cpuUserUs: event.cpu_user_us,
    cpuSystemUs: event.cpu_system_us,
    wallTimeUs: event.wall_time_us,
    memoryBytesPeak: event.memory_bytes_peak,
    processesPeak: event.processes_peak,
    oomKills: event.oom_kills,
    diskBytes: event.disk_bytes,
    ioReadBytes: event.io_read_bytes,
    ioWriteBytes: event.io_write_bytes,
    contextSwitches: ofInit ? event.context_switches : null,
    majorPageFaults: ofInit ? event.major_page_faults : null,
    counterReads: event.counter_reads,
    boxUs: event.box_us,
    askedAtUs: event.asked_at_us,
    startedAtUs: event.started_at_us,
    executedAtUs: event.executed_at_us === 0 ? null : event.executed_at_us,
    endedAtUs: event.ended_at_us,
    warm: event.warm !== 0,
    poolReady: event.pool_ready,
  };
}

/** What the supervisor said, with the number of the layer, mount or file it was about. */
export function faultOf(event: NativeEvent, stageName: string | null): SandboxFault {
  const stage = stageName ?? 'protocol';
  const what = stageName === null ? `unknown stage ${event.stage}` : `number ${event.index}`;
  const detail = `${what}: ${errnoText(event.fault_errno)}`;
  return new SandboxFault({ stage, errno: event.fault_errno, detail });
}
