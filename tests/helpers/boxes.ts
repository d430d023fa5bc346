/** The real sandbox for tests, and one function that runs a program in a box of it. */
import type { TerminalSize } from '../../services/contract/control.js';
import { resolveLimits, type LimitsRequest } from '../../services/contract/limits.js';
import { readSlice } from '../../workers/executor/collected-files.js';
import { readImages } from '../../workers/executor/images.js';
import { loadNativeLibrary, type NativeLibrary } from '../../workers/executor/native-binding.js';
import { nativeProducts } from '../../workers/executor/native-products.js';
import {
  startNativeSandbox,
  type NativeSandbox,
  type NativeSandboxDeps,
} from '../../workers/executor/native-sandbox.js';
import type { SandboxImage } from '../../workers/executor/supervisor-connection.js';
import type {
  Box,
  BoxFile,
  CollectSpec,
  Collected,
  Sandbox,
  StepEnd,
  StepSpec,
} from '../../workers/executor/sandbox.js';
import { createOutput } from '../../workers/executor/step-result.js';
import { childrenOf } from './processes.js';
import { compileProgram } from './programs.js';

export const MIB = 1024 * 1024;
/** How many times slower than a real machine this one is: an emulated one multiplies limits in time. */
export const SLOWNESS = Number(process.env['MAYFLY_TEST_SLOWNESS'] ?? '1');
export const STATE_DIR = process.env['MAYFLY_STATE_DIR'] ?? '/var/lib/mayfly';

let library: NativeLibrary | null = null;

export function nativeLibrary(): NativeLibrary {
  library ??= loadNativeLibrary(nativeProducts(null).libraryPath);
  return library;
}

export interface TestSandboxOptions {
  readonly boxesMax?: number;
  readonly poolBoxes?: number;
  readonly warm?: NativeSandboxDeps['warm'];
  readonly supervisorPath?: string;
  readonly answerMs?: number;
  /** Default: those of the store. */
  readonly images?: readonly SandboxImage[];
}

export function sandboxDeps(options: TestSandboxOptions = {}): NativeSandboxDeps {
  return {
    library: nativeLibrary(),
    supervisorPath:
      options.supervisorPath ??
      process.env['MAYFLY_TEST_SUPERVISOR'] ??
      nativeProducts(null).supervisorPath,
    images: options.images ?? storedImages(),
    boxesMax: options.boxesMax ?? 32,
    poolBoxes: options.poolBoxes ?? 0,
    ...(options.warm === undefined ? {} : { warm: options.warm }),
    startMs: 10_000 * SLOWNESS,
    ...(options.answerMs === undefined ? {} : { answerMs: options.answerMs }),
    log: { info: () => undefined, error: () => undefined },
  };
}

/** Boxes that stand ready: pid 1 of each is a child of the supervisor's only child, the box maker. */
export function readyBoxes(sandbox: NativeSandbox): number {
  return childrenOf(sandbox.supervisorPid() ?? 0).flatMap(childrenOf).length;
}

export function startTestSandbox(options: TestSandboxOptions = {}): Promise<NativeSandbox> {
  return startNativeSandbox(sandboxDeps(options));
}

export function storedImages() {
  return readImages(STATE_DIR).map(({ manifest, layerPaths }) => ({
    name: manifest.name,
    layerPaths,
  }));
}

export interface Run {
  /** Default: base. */
  readonly image?: string;
  /** A program of tests/fixtures/programs that becomes /box/program, or nothing. */
  readonly program?: string;
  /** Default: ['/box/program', ...args]. */
  readonly argv?: readonly string[];
  readonly args?: readonly string[];
  readonly files?: readonly BoxFile[];
  readonly limits?: LimitsRequest;
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly truncateOutput?: boolean;
  readonly mergeStderr?: boolean;
  readonly interactive?: boolean;
  readonly terminal?: TerminalSize;
  readonly frozenTimeMs?: number;
  readonly collect?: readonly string[];
}

export interface CollectedContents {
  readonly files: readonly { readonly path: string; readonly content: Buffer }[];
  readonly omitted: readonly { readonly path: string; readonly reason: string }[];
}

export interface RunEnd extends StepEnd {
  readonly stdout: string;
  readonly stderr: string;
  readonly collected: CollectedContents | null;
}

export function stepOf(run: Run): StepSpec {
  const { limits } = resolveLimits(run.limits);
  return {
    argv: run.argv ?? ['/box/program', ...(run.args ?? [])],
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: '/box', LANG: 'C.UTF-8', ...run.env },
    cwd: run.cwd ?? '/box',
    stdin: Buffer.from(run.stdin ?? ''),
    limits: {
      ...limits,
      // What a test sets itself is what it is about.
      cpuTimeMs: run.limits?.cpuTimeMs ?? limits.cpuTimeMs * SLOWNESS,
      wallTimeMs: run.limits?.wallTimeMs ?? limits.wallTimeMs * SLOWNESS,
    },
    truncateOutput: run.truncateOutput ?? false,
    mergeStderr: run.mergeStderr ?? false,
    interactive: run.interactive ?? false,
    terminal: run.terminal ?? null,
    frozenTimeMs: run.frozenTimeMs ?? 0,
  };
}

export function filesOf({ program, files = [] }: Run): BoxFile[] {
  if (program === undefined) return [...files];
  return [{ path: '/box/program', mode: 0o755, content: compileProgram(program) }, ...files];
}

export function openBox(sandbox: Sandbox, run: Run = {}): Promise<Box> {
  const { diskBytes, files } = resolveLimits(run.limits).limits;
  return sandbox.openBox({ image: run.image ?? 'base', diskBytes, files });
}

/** Files and step back to back, as the executor sends them. */
export async function runInBox(sandbox: Sandbox, run: Run): Promise<RunEnd> {
  const box = await openBox(sandbox, run);
  try {
    const files = filesOf(run);
    const written = files.length === 0 ? Promise.resolve(null) : box.put(files);
    const output = createOutput();
    const ending = box.step(stepOf(run), output.add);
    const put = await written;
    if (put !== null) throw new Error(`file ${put.index}: errno ${put.errno}`);
    const end = await ending;
    const collected =
      run.collect === undefined ? null : await contents(box.collect(collectSpec(run.collect)));
    return {
      ...end,
      stdout: output.bytesOf('stdout').toString(),
      stderr: output.bytesOf('stderr').toString(),
      collected,
    };
  } finally {
    await box.close();
  }
}

export async function contents(collecting: Promise<Collected>): Promise<CollectedContents> {
  const { files, omitted, memory } = await collecting;
  try {
    const read = files.map(async ({ path, content }) => ({
      path,
      content: await readSlice(content),
    }));
    return { files: await Promise.all(read), omitted };
  } finally {
    memory.close();
  }
}

function collectSpec(patterns: readonly string[]): CollectSpec {
  return { patterns, files: 16, fileBytes: MIB, totalBytes: 2 * MIB };
}
