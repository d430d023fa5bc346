/**
 * A program that is compiled once and run often: the submission, a checker. What its compile step leaves is a layer
 * under the boxes of its runs, found again by everything that reached the compile box.
 */
import { createHash } from 'node:crypto';
import { decodeContent } from '../../../services/contract/encoding.js';
import { SandboxFault } from '../../../services/contract/faults.js';
import type { ProgramSpec } from '../../../services/contract/judge-spec.js';
import {
  BASE_ENV,
  compileArgv,
  languageOf,
  runArgv,
} from '../../../services/contract/languages.js';
import type { Limits } from '../../../services/contract/limits.js';
import { epochMs } from '../../../services/platform/clock.js';
import { NO_LIVE, type LiveRun } from '../../../services/platform/live-run.js';
import type { RunObserver } from '../../../services/platform/run-telemetry.js';
import { withBox } from '../box-use.js';
import { INLINE_ONLY } from './capped-output.js';
import type { HeldLayer, LayerCache } from '../layer-cache.js';
import type { BoxFile, Sandbox, StepSpec } from '../sandbox.js';
import { stepReport } from '../step-report.js';
import {
  createOutput,
  stepResult,
  type FollowedOutput,
  type FullStepResult,
} from '../step-result.js';

export interface ProgramDeps {
  readonly sandbox: Sandbox;
  readonly layers: LayerCache;
  /** `<name>@<digest>` of an image by its name. */
  readonly imageVersion: (name: string) => string;
}

/** A program that can be run; release() when it will not be any more. */
export interface Program {
  readonly spec: ProgramSpec;
  readonly layer: string | null;
  /** What each box of it is given beside the layer. */
  readonly files: readonly BoxFile[];
  release(): void;
}

export type CompileResult = FullStepResult & { readonly cached: boolean };

export interface Prepared {
  /** Null: its compile step failed. */
  readonly program: Program | null;
  /** Null: the language has none. */
  readonly compile: CompileResult | null;
  readonly boxUs: number;
}

/** The work directory of every image; what is elsewhere is put into each box. */
const WORK_DIRECTORY = '/box';
/** More than any program's build; the disk of the compile box bounds it as well. */
const TREE_FILES_MAX = 65_536;

export interface PrepareContext {
  readonly tenantId: string;
  readonly signal: AbortSignal;
  readonly observer: RunObserver;
  /** Who listens hears the compiler. */
  readonly live?: LiveRun;
}

/** What a compile step said, with its layer: a hit tells it again. */
const results = new WeakMap<LayerCache, Map<string, FullStepResult>>();

export async function prepareProgram(
  deps: ProgramDeps,
  spec: ProgramSpec,
  context: PrepareContext,
): Promise<Prepared> {
  const files = spec.files.map((file) => ({
    path: file.path,
    mode: file.mode,
    content: decodeContent(file),
  }));
  const step = compileStep(spec);
  if (step === null) {
    const program = { spec, layer: null, files, release: () => undefined };
    return { program, compile: null, boxUs: 0 };
  }
  const known = resultsOf(deps.layers);
  const key = keyOf(deps, spec, step, context.tenantId);
  const held = deps.layers.find(key);
  const said = known.get(key);
  if (held !== null && said !== undefined) {
    context.live?.stepBegins('compile', outputOf(said));
    return { program: programOn(spec, files, held), compile: { ...said, cached: true }, boxUs: 0 };
  }
  held?.release();
  known.delete(key);
  const compiled = await compile(deps, spec, step, files, context);
  const { result, boxUs } = compiled;
  if (compiled.tree === null) {
    return { program: null, compile: { ...result, cached: false }, boxUs };
  }
  const layer = await deps.layers.add(key, compiled.tree);
  known.set(key, result);
  return { program: programOn(spec, files, layer), compile: { ...result, cached: false }, boxUs };
}

function resultsOf(layers: LayerCache): Map<string, FullStepResult> {
  const known = results.get(layers) ?? new Map<string, FullStepResult>();
  results.set(layers, known);
  return known;
}

function programOn(spec: ProgramSpec, files: readonly BoxFile[], layer: HeldLayer): Program {
  const elsewhere = files.filter(({ path }) => !path.startsWith(`${WORK_DIRECTORY}/`));
  return { spec, layer: layer.path, files: elsewhere, release: () => layer.release() };
}

/** The same again, for those who listen now. */
function outputOf(said: FullStepResult): FollowedOutput {
  const output = createOutput();
  for (const stream of ['stdout', 'stderr'] as const) {
    const content = said[stream];
    if (typeof content !== 'string') continue;
    output.add(stream, decodeContent({ content, encoding: said[`${stream}Encoding`] }));
  }
  return output;
}

/** Of everything that reaches the compile box, and of whose it is. */
function keyOf(deps: ProgramDeps, spec: ProgramSpec, step: StepSpec, tenantId: string): string {
  const { argv, env, cwd, limits } = step;
  const hash = createHash('sha256');
  const image = deps.imageVersion(spec.image);
  hash.update(JSON.stringify([tenantId, image, argv, env, cwd, limits]));
  for (const { path, mode, content, encoding } of spec.files) {
    hash.update(JSON.stringify([path, mode, encoding, content.length]));
    hash.update(content);
  }
  return hash.digest('hex');
}

async function compile(
  { sandbox }: ProgramDeps,
  spec: ProgramSpec,
  step: StepSpec,
  files: readonly BoxFile[],
  { signal, observer, live = NO_LIVE }: PrepareContext,
) {
  const { limits } = step;
  const box = { image: spec.image, diskBytes: limits.diskBytes, files: limits.files };
  return await withBox(sandbox, box, signal, async (open) => {
    const written = open.put(files);
    const output = createOutput(() => live.wrote());
    live.stepBegins('compile', output);
    live.onListened(() => open.follow());
    const askedMs = epochMs();
    const ending = open.step(step, output.add);
    checkWritten(await written, files);
    const end = await ending;
    observer.step(stepReport('compile', spec.image, askedMs, end));
    const result = await stepResult(end, output, INLINE_ONLY);
    const succeeded = end.outcome === 'exited' && end.exitCode === 0;
    const caps = { files: TREE_FILES_MAX, totalBytes: limits.diskBytes };
    const tree = succeeded
      ? await open.packTree({ directory: WORK_DIRECTORY, ...caps }).catch(blameJob)
      : null;
    return { result, tree, boxUs: end.boxUs };
  });
}

/** What cannot be kept is the job's doing, and would be again. */
function blameJob(thrown: unknown): never {
  if (thrown instanceof SandboxFault && thrown.stage === 'files') {
    const detail = `what the compile step left cannot be kept: ${thrown.detail}`;
    const { stage, errno } = thrown;
    throw new SandboxFault({ stage, errno, detail, retryable: false }, { cause: thrown });
  }
  throw thrown;
}

const EMPTY = Buffer.alloc(0);

function envOf(spec: ProgramSpec): Record<string, string> {
  return { ...BASE_ENV, ...languageOf(spec.language).env, ...spec.env };
}

function compileStep(spec: ProgramSpec): StepSpec | null {
  if (spec.compile === null) return null;
  const argv = compileArgv(languageOf(spec.language), spec.compile.args);
  if (argv === null) return null;
  const { cwd } = spec;
  const { limits } = spec.compile;
  return {
    argv,
    env: envOf(spec),
    cwd,
    stdin: EMPTY,
    limits,
    truncateOutput: false,
    mergeStderr: false,
  };
}

export function runStep(
  spec: ProgramSpec,
  limits: Readonly<Limits>,
  args: readonly string[],
): Omit<StepSpec, 'stdin' | 'truncateOutput'> {
  const argv = runArgv(languageOf(spec.language), limits, args);
  return { argv, env: envOf(spec), cwd: spec.cwd, limits, mergeStderr: false };
}

export function checkWritten(
  end: { readonly errno: number; readonly index: number } | null,
  files: readonly { readonly path: string }[],
): void {
  if (end === null) return;
  const path = files[end.index]?.path ?? `file ${end.index}`;
  const detail = `${path} cannot be written: errno ${end.errno}`;
  throw new SandboxFault({ stage: 'files', errno: end.errno, detail, retryable: false });
}
