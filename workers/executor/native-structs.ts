/**
 * The structs of native/include/mayfly.h, field by field in their order, and the only way to fill and read one.
 * Pure; a test compares every offset with C's.
 */

export type FieldType = 'uint32_t' | 'int32_t' | 'uint64_t';
export type Fields = Readonly<Record<string, FieldType>>;
export type Struct<F extends Fields> = { [K in keyof F]: number };

export const ABI_VERSION = 6;

/** MAYFLY_IMAGE_KEEP_READY */
export const IMAGE_KEEP_READY = 1;

/** MAYFLY_INPUT_BYTES_MAX */
export const INPUT_BYTES_MAX = 65_536;

/** MAYFLY_EVENT_DATA_MAX */
export const EVENT_DATA_BYTES_MAX = 65_536;

export const CONFIG = {
  size: 'uint32_t',
  abi_version: 'uint32_t',
  boxes_max: 'uint32_t',
  pool_boxes: 'uint32_t',
  warm_bytes_max: 'uint64_t',
} as const satisfies Fields;

export const LAYER = {
  size: 'uint32_t',
  image: 'uint32_t',
  base: 'uint32_t',
  pooled: 'uint32_t',
} as const satisfies Fields;

export const OPEN = {
  size: 'uint32_t',
  box: 'uint32_t',
  image: 'uint32_t',
  files_max: 'uint32_t',
  disk_bytes_max: 'uint64_t',
  flags: 'uint32_t',
  reserved: 'uint32_t',
} as const satisfies Fields;

/** MAYFLY_OPEN_ALONE */
export const OPEN_ALONE = 1;

export const STEP = {
  size: 'uint32_t',
  box: 'uint32_t',
  cpu_time_us_max: 'uint64_t',
  wall_time_us_max: 'uint64_t',
  memory_bytes_max: 'uint64_t',
  output_bytes_max: 'uint64_t',
  disk_bytes_max: 'uint64_t',
  file_bytes_max: 'uint64_t',
  stack_bytes_max: 'uint64_t',
  frozen_time_us_max: 'uint64_t',
  files_max: 'uint32_t',
  processes_max: 'uint32_t',
  open_files_max: 'uint32_t',
  cpu_millis: 'uint32_t',
  flags: 'uint32_t',
  argv_count: 'uint32_t',
  env_count: 'uint32_t',
  strings_bytes: 'uint32_t',
  terminal_rows: 'uint32_t',
  terminal_columns: 'uint32_t',
} as const satisfies Fields;

export const JOIN = {
  size: 'uint32_t',
  from: 'uint32_t',
  from_descriptor: 'uint32_t',
  to: 'uint32_t',
  to_descriptor: 'uint32_t',
  flags: 'uint32_t',
} as const satisfies Fields;

export const LIMITS = {
  size: 'uint32_t',
  box: 'uint32_t',
  cpu_time_us_max: 'uint64_t',
  wall_time_us_max: 'uint64_t',
  memory_bytes_max: 'uint64_t',
  processes_max: 'uint32_t',
  cpu_millis: 'uint32_t',
} as const satisfies Fields;

export const COLLECT = {
  size: 'uint32_t',
  box: 'uint32_t',
  file_bytes_max: 'uint64_t',
  total_bytes_max: 'uint64_t',
  files_max: 'uint32_t',
  patterns_count: 'uint32_t',
  patterns_bytes: 'uint32_t',
  flags: 'uint32_t',
} as const satisfies Fields;

export const EVENT = {
  size: 'uint32_t',
  kind: 'uint32_t',
  box: 'uint32_t',
  stream: 'uint32_t',
  data_bytes: 'uint64_t',
  fd: 'int32_t',
  put_errno: 'int32_t',
  stage: 'uint32_t',
  fault_errno: 'int32_t',
  index: 'uint32_t',
  outcome: 'uint32_t',
  exit_code: 'int32_t',
  signal: 'int32_t',
  stdout_truncated: 'uint32_t',
  stderr_truncated: 'uint32_t',
  usage_of_init: 'uint32_t',
  counter_reads: 'uint32_t',
  cpu_time_us: 'uint64_t',
  cpu_user_us: 'uint64_t',
  cpu_system_us: 'uint64_t',
  wall_time_us: 'uint64_t',
  memory_bytes_peak: 'uint64_t',
  disk_bytes: 'uint64_t',
  io_read_bytes: 'uint64_t',
  io_write_bytes: 'uint64_t',
  context_switches: 'uint64_t',
  major_page_faults: 'uint64_t',
  processes_peak: 'uint32_t',
  oom_kills: 'uint32_t',
  box_us: 'uint64_t',
  asked_at_us: 'uint64_t',
  started_at_us: 'uint64_t',
  executed_at_us: 'uint64_t',
  ended_at_us: 'uint64_t',
  pool_ready: 'uint32_t',
  warm: 'uint32_t',
} as const satisfies Fields;

export const ABI = {
  abi_version: 'uint32_t',
  config_bytes: 'uint32_t',
  layer_bytes: 'uint32_t',
  open_bytes: 'uint32_t',
  step_bytes: 'uint32_t',
  collect_bytes: 'uint32_t',
  event_bytes: 'uint32_t',
  limits_bytes: 'uint32_t',
  join_bytes: 'uint32_t',
} as const satisfies Fields;

export const EVENT_KINDS = {
  1: 'ready',
  2: 'image',
  3: 'put_end',
  4: 'output',
  5: 'step_end',
  6: 'collect_end',
  7: 'closed',
  8: 'fault',
  9: 'control_end',
} as const satisfies Record<number, string>;
export type EventKind = (typeof EVENT_KINDS)[keyof typeof EVENT_KINDS];

/** MAYFLY_PIPED: a stream of neither kind. */
export const PIPED = 3;

export const STREAMS = { 1: 'stdout', 2: 'stderr' } as const satisfies Record<number, string>;

export const STEP_FLAGS = {
  truncate: 1,
  mergeStderr: 2,
  keepStdout: 4,
  interactive: 8,
  terminal: 16,
} as const;
export const JOIN_FLAGS = { transcript: 1, held: 2 } as const;
export const COLLECT_FLAGS = { tree: 1 } as const;

/** enum mayfly_omitted, as the API names it. */
export const OMITTED = {
  1: 'not_regular',
  2: 'too_large',
  3: 'total_too_large',
  4: 'too_many',
  5: 'unreadable',
  6: 'missing',
} as const satisfies Record<number, string>;

/** What a number of C means; a number that is not in the table is an error and never a default. */
export function meaningOf<T extends Readonly<Record<number, string>>>(
  table: T,
  value: number,
  what: string,
): T[keyof T] {
  if (!Object.hasOwn(table, value)) throw new Error(`unknown ${what} ${value}`);
  return table[value as keyof T];
}

const RANGES: Record<FieldType, readonly [min: number, max: number]> = {
  int32_t: [-(2 ** 31), 2 ** 31 - 1],
  uint32_t: [0, 2 ** 32 - 1],
  uint64_t: [0, Number.MAX_SAFE_INTEGER],
};

const BYTES: Record<FieldType, number> = { int32_t: 4, uint32_t: 4, uint64_t: 8 };
const HIGH_WORD = 2 ** 32;

/**
 * A struct as bytes, little-endian and laid out as C does it: each field at a multiple of its own size. Given as an
 * object, koffi would look up every field by its name, which took longer than the system call behind it.
 */
export class NativeStruct<F extends Fields> {
  readonly bytes: number;
  readonly offsets: Readonly<Record<string, number>>;
  readonly #fields: readonly { name: string; type: FieldType; at: number }[];

  constructor(fields: F) {
    let end = 0;
    this.#fields = Object.entries(fields).map(([name, type]) => {
      const at = aligned(end, BYTES[type]);
      end = at + BYTES[type];
      return { name, type, at };
    });
    this.bytes = aligned(end, Math.max(...Object.values(fields).map((type) => BYTES[type])));
    this.offsets = Object.fromEntries(this.#fields.map(({ name, at }) => [name, at]));
  }

  /** A field that is missing, no integer, or out of range is an error, and never a default. */
  encode(values: Readonly<Omit<Struct<F>, 'size'>>): Buffer {
    const buffer = Buffer.alloc(this.bytes);
    for (const { name, type, at } of this.#fields) {
      const value = name === 'size' ? this.bytes : (values as Record<string, unknown>)[name];
      const [min, max] = RANGES[type];
      if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
        throw new RangeError(`${name} must be a ${type}, not ${String(value)}`);
      }
      buffer.writeUInt32LE(value >>> 0, at);
      if (type === 'uint64_t') buffer.writeUInt32LE(Math.floor(value / HIGH_WORD), at + 4);
    }
    return buffer;
  }

  /** Counters of a box never get to where a number is not exact. */
  decode(buffer: Buffer): Struct<F> {
    const struct: Record<string, number> = {};
    for (const { name, type, at } of this.#fields) {
      const low = type === 'int32_t' ? buffer.readInt32LE(at) : buffer.readUInt32LE(at);
      struct[name] = type === 'uint64_t' ? low + HIGH_WORD * buffer.readUInt32LE(at + 4) : low;
    }
    return struct as Struct<F>;
  }
}

function aligned(at: number, bytes: number): number {
  return Math.ceil(at / bytes) * bytes;
}
