/**
 * The only importer of koffi: the functions of mayfly.h as typed functions. All calls are synchronous and
 * none blocks, so the buffers that are passed live as long as the call.
 */
import koffi, { type LibraryHandle } from 'koffi';
import {
  ABI,
  ABI_VERSION,
  COLLECT,
  CONFIG,
  EVENT,
  EVENT_DATA_BYTES_MAX,
  IMAGE_KEEP_READY,
  JOIN,
  LIMITS,
  LAYER,
  OPEN,
  NativeStruct,
  STEP,
  type Fields,
  type Struct,
} from './native-structs.js';

type Values<F extends Fields> = Omit<Struct<F>, 'size'>;

/** Functions that send return 0, or a negative errno when nothing was sent. */
export interface NativeLibrary extends MemoryCalls, ControlCalls {
  start(path: string, config: StartConfig): Started;
  reap(pid: number): { readonly result: number; readonly status: number };
  image(fd: number, image: number, keepReady: boolean, layerPaths: readonly string[]): number;
  layer(fd: number, request: Values<typeof LAYER>, path: string): number;
  warm(fd: number, image: number, request: StepRequest, strings: Buffer): number;
  forget(fd: number, image: number): number;
  open(fd: number, request: Values<typeof OPEN>): number;
  put(fd: number, box: number, archive: Buffer): number;
  join(fd: number, request: Values<typeof JOIN>): number;
  step(fd: number, request: StepRequest, strings: Buffer, input: Buffer): number;
  collect(fd: number, request: CollectRequest, patterns: Buffer): number;
  follow(fd: number, box: number): number;
  cancel(fd: number, box: number): number;
  close(fd: number, box: number): number;
  /** 1: `event` is one, and its data is in `data`. 0: there is none. Negative: the supervisor is gone. */
  receive(
    fd: number,
    data: Buffer,
  ): { readonly result: number; readonly event: NativeEvent | null };
  stageName(stage: number): string | null;
  outcomeName(outcome: number): string | null;
  watch(fd: number, onReady: () => void): Watch;
  /** Size and offsets of this side's structs, by their names in C. */
  layout(): Record<string, StructLayout>;
}

/** To a step that runs; answered by events. */
export interface ControlCalls {
  freeze(fd: number, box: number): number;
  thaw(fd: number, box: number): number;
  limits(fd: number, request: LimitsRequest): number;
  input(fd: number, box: number, data: Buffer, last: boolean): number;
  signal(fd: number, box: number, signal: number): number;
  resize(fd: number, box: number, rows: number, columns: number): number;
}

/** Return a negative errno when they fail. */
export interface MemoryCalls {
  /** A descriptor. */
  memory(): number;
  memoryAppend(memory: number, bytes: Buffer): number;
  /** How many bytes were copied. */
  memoryCopy(memory: number, source: number, offset: number, bytes: number): number;
  memorySeal(memory: number): number;
  putMemory(fd: number, box: number, memory: number): number;
  stepMemory(fd: number, request: StepRequest, strings: Buffer, memory: number): number;
}

export type NativeEvent = Struct<typeof EVENT>;
export type StepRequest = Values<typeof STEP>;
export type LimitsRequest = Values<typeof LIMITS>;
export type CollectRequest = Values<typeof COLLECT>;
export interface StartConfig {
  readonly boxesMax: number;
  readonly poolBoxes: number;
  readonly warmBytes: number;
}
export interface Started {
  /** The socket, or a negative errno. */
  readonly fd: number;
  readonly pid: number;
}
export interface Watch {
  /** Also (or no longer) call back when the descriptor can be written. */
  writable(wanted: boolean): void;
  close(): void;
}
export interface StructLayout {
  readonly bytes: number;
  readonly offsets: Record<string, number>;
}

const STRUCTS = {
  mayfly_config: new NativeStruct(CONFIG),
  mayfly_layer: new NativeStruct(LAYER),
  mayfly_open: new NativeStruct(OPEN),
  mayfly_step: new NativeStruct(STEP),
  mayfly_join: new NativeStruct(JOIN),
  mayfly_limits: new NativeStruct(LIMITS),
  mayfly_collect: new NativeStruct(COLLECT),
  mayfly_event: new NativeStruct(EVENT),
  mayfly_abi: new NativeStruct(ABI),
};
const config = STRUCTS.mayfly_config;
const layer = STRUCTS.mayfly_layer;
const open = STRUCTS.mayfly_open;
const step = STRUCTS.mayfly_step;
const join = STRUCTS.mayfly_join;
const limits = STRUCTS.mayfly_limits;
const collect = STRUCTS.mayfly_collect;

/** Buffers, with structs in them as well. */
const BYTES_IN = 'const uint8_t *';
const BYTES_OUT = 'uint8_t *';

export function loadNativeLibrary(path: string): NativeLibrary {
  const library = koffi.load(path);
  checkAbi(library);

  const call = declare(library);
  const eventBytes = Buffer.alloc(STRUCTS.mayfly_event.bytes);

  return {
    ...controlCalls(library),
    ...memoryCalls(library),
    start(supervisorPath, { boxesMax, poolBoxes, warmBytes }) {
      const values = {
        abi_version: ABI_VERSION,
        boxes_max: boxesMax,
        pool_boxes: poolBoxes,
        warm_bytes_max: warmBytes,
      };
      const pid = [0];
      const fd = call.start(supervisorPath, config.encode(values), pid) as number;
      return { fd, pid: pid[0] ?? 0 };
    },
    reap(pid) {
      const status = [0];
      const result = call.reap(pid, status) as number;
      return { result, status: status[0] ?? 0 };
    },
    image: (fd, image, keepReady, paths) =>
      call.image(fd, image, imageFlags(keepReady), paths.length, joined(paths)) as number,
    layer: (fd, request, path) => call.layer(fd, layer.encode(request), path) as number,
    warm: (fd, image, request, strings) =>
      call.warm(fd, image, step.encode(request), strings) as number,
    forget: (fd, image) => call.forget(fd, image) as number,
    open: (fd, request) => call.open(fd, open.encode(request)) as number,
    put: (fd, box, archive) => call.put(fd, box, archive, archive.length) as number,
    join: (fd, request) => call.join(fd, join.encode(request)) as number,
    step: (fd, request, strings, input) =>
      call.step(fd, step.encode(request), strings, input, input.length) as number,
    collect: (fd, request, patterns) =>
      call.collect(fd, collect.encode(request), patterns) as number,
    follow: (fd, box) => call.follow(fd, box) as number,
    cancel: (fd, box) => call.cancel(fd, box) as number,
    close: (fd, box) => call.close(fd, box) as number,
    receive(fd, data) {
      const result = call.receive(fd, eventBytes, data, data.length) as number;
      return { result, event: result === 1 ? STRUCTS.mayfly_event.decode(eventBytes) : null };
    },
    stageName: (stage) => call.stageName(stage) as string | null,
    outcomeName: (outcome) => call.outcomeName(outcome) as string | null,
    watch,
    layout: () =>
      Object.fromEntries(
        Object.entries(STRUCTS).map(([name, { bytes, offsets }]) => [name, { bytes, offsets }]),
      ),
  };
}

function controlCalls(library: LibraryHandle): ControlCalls {
  const int = 'int32_t';
  const call = {
    freeze: library.func('mayfly_freeze', int, [int, 'uint32_t']),
    thaw: library.func('mayfly_thaw', int, [int, 'uint32_t']),
    limits: library.func('mayfly_limits', int, [int, BYTES_IN]),
    input: library.func('mayfly_input', int, [int, 'uint32_t', BYTES_IN, 'uint32_t', 'uint32_t']),
    signal: library.func('mayfly_signal', int, [int, 'uint32_t', 'uint32_t']),
    resize: library.func('mayfly_resize', int, [int, 'uint32_t', 'uint32_t', 'uint32_t']),
  };
  return {
    freeze: (fd, box) => call.freeze(fd, box) as number,
    thaw: (fd, box) => call.thaw(fd, box) as number,
    limits: (fd, request) => call.limits(fd, limits.encode(request)) as number,
    input: (fd, box, data, last) => call.input(fd, box, data, data.length, last ? 1 : 0) as number,
    signal: (fd, box, signal) => call.signal(fd, box, signal) as number,
    resize: (fd, box, rows, columns) => call.resize(fd, box, rows, columns) as number,
  };
}

function memoryCalls(library: LibraryHandle): MemoryCalls {
  const int = 'int32_t';
  const call = {
    memory: library.func('mayfly_memory', int, []),
    append: library.func('mayfly_memory_append', int, [int, BYTES_IN, 'uint64_t']),
    copy: library.func('mayfly_memory_copy', 'int64_t', [int, int, 'uint64_t', 'uint64_t']),
    seal: library.func('mayfly_memory_seal', int, [int]),
    put: library.func('mayfly_put_memory', int, [int, 'uint32_t', int]),
    step: library.func('mayfly_step_memory', int, [int, BYTES_IN, BYTES_IN, int]),
  };
  return {
    memory: () => call.memory() as number,
    memoryAppend: (memory, content) => call.append(memory, content, content.length) as number,
    memoryCopy: (memory, source, offset, count) => Number(call.copy(memory, source, offset, count)),
    memorySeal: (memory) => call.seal(memory) as number,
    putMemory: (fd, box, memory) => call.put(fd, box, memory) as number,
    stepMemory: (fd, request, strings, memory) =>
      call.step(fd, step.encode(request), strings, memory) as number,
  };
}

/** The functions of mayfly.h by name. */
function declare(library: LibraryHandle) {
  const int = 'int32_t';
  return {
    start: library.func('mayfly_start', int, ['str', BYTES_IN, '_Out_ int32_t *']),
    reap: library.func('mayfly_reap', int, [int, '_Out_ int32_t *']),
    image: library.func('mayfly_image', int, [int, 'uint32_t', 'uint32_t', 'uint32_t', BYTES_IN]),
    layer: library.func('mayfly_layer', int, [int, BYTES_IN, 'str']),
    warm: library.func('mayfly_warm', int, [int, 'uint32_t', BYTES_IN, BYTES_IN]),
    forget: library.func('mayfly_forget', int, [int, 'uint32_t']),
    open: library.func('mayfly_open', int, [int, BYTES_IN]),
    put: library.func('mayfly_put', int, [int, 'uint32_t', BYTES_IN, 'uint64_t']),
    join: library.func('mayfly_join', int, [int, BYTES_IN]),
    step: library.func('mayfly_step', int, [int, BYTES_IN, BYTES_IN, BYTES_IN, 'uint64_t']),
    collect: library.func('mayfly_collect', int, [int, BYTES_IN, BYTES_IN]),
    follow: library.func('mayfly_follow', int, [int, 'uint32_t']),
    cancel: library.func('mayfly_cancel', int, [int, 'uint32_t']),
    close: library.func('mayfly_close', int, [int, 'uint32_t']),
    receive: library.func('mayfly_receive', int, [int, BYTES_OUT, BYTES_OUT, 'uint64_t']),
    stageName: library.func('mayfly_stage_name', 'str', ['uint32_t']),
    outcomeName: library.func('mayfly_outcome_name', 'str', ['uint32_t']),
  };
}

/** A library of another build would read every field from the wrong place: refuse it at once. */
function checkAbi(library: LibraryHandle): void {
  const fill = library.func('mayfly_abi', 'void', [BYTES_OUT]);
  const raw = Buffer.alloc(STRUCTS.mayfly_abi.bytes);
  fill(raw);
  const theirs = STRUCTS.mayfly_abi.decode(raw);
  const ours: Struct<typeof ABI> = {
    abi_version: ABI_VERSION,
    config_bytes: config.bytes,
    layer_bytes: layer.bytes,
    open_bytes: open.bytes,
    step_bytes: step.bytes,
    collect_bytes: collect.bytes,
    event_bytes: STRUCTS.mayfly_event.bytes,
    limits_bytes: limits.bytes,
    join_bytes: join.bytes,
  };
  for (const name of Object.keys(ABI) as (keyof typeof ABI)[]) {
    if (theirs[name] !== ours[name]) {
      throw new Error(`libmayfly is of another build: ${name} ${theirs[name]}, not ${ours[name]}`);
    }
  }
}

/**
 * koffi calls back from the bare event loop, where promises that were settled would wait for whatever
 * comes next and a thrown error would vanish. setImmediate runs in the same turn and has neither flaw.
 */
function watch(fd: number, onReady: () => void): Watch {
  const later = (): void => void setImmediate(onReady);
  const handle = koffi.node.poll(fd, { readable: true }, later);
  return {
    writable(wanted) {
      handle.start({ readable: true, writable: wanted }, later);
    },
    close() {
      handle.close();
    },
  };
}

/** Room for the data of one event. */
export function createEventBuffer(): Buffer {
  return Buffer.alloc(EVENT_DATA_BYTES_MAX);
}

function imageFlags(keepReady: boolean): number {
  return keepReady ? IMAGE_KEEP_READY : 0;
}

function joined(paths: readonly string[]): Buffer {
  return Buffer.from(`${paths.join('\0')}\0`);
}
