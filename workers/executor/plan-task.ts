/** From a job to what its box has to do: a pure function of the job, its language and the tables. */
import type { ArchiveSpec } from '../../services/contract/archives.js';
import { decodeContent, type Content } from '../../services/contract/encoding.js';
import { COLLECT_CAPS } from '../../services/contract/job-request.js';
import type { JobSpec } from '../../services/contract/job-spec.js';
import { BASE_ENV, compileArgv, languageOf } from '../../services/contract/languages.js';
import type { Limits } from '../../services/contract/limits.js';
import { languageRun } from './language-run.js';
import type { BoxFile, BoxSpec, CollectSpec, StepSpec } from './sandbox.js';
import { warmImageOf } from './warm.js';

export interface Plan {
  readonly box: BoxSpec;
  /** Unpacked before the files are written. */
  readonly archives: readonly ArchiveSpec[];
  readonly files: readonly PlannedFile[];
  /** In this order, up to the first that does not exit with 0. */
  readonly steps: readonly [PlannedStep, ...PlannedStep[]];
  /** Null: nothing is to be returned. */
  readonly collect: CollectSpec | null;
  /** After which an interactive job that no client uses is ended; null for any other. */
  readonly idleTimeMs: number | null;
}

export interface PlannedStep {
  /** `compile` and `run` of a language, else the client's own name. */
  readonly name: string;
  readonly spec: StepSpec;
  /** The digest of the blob that is the input, in place of the one in `spec`. */
  readonly stdinBlob: string | null;
}

export interface PlannedFile extends BoxFile {
  /** The digest of the blob that is the content, in place of the one here. */
  readonly blob?: string;
}

/** How long a client may have a step stand still, in all: it keeps its slot, and pays for it. */
const FROZEN_TIME_MS_MAX = 600_000;

const EMPTY: Content = { content: '', encoding: 'utf8' };

export function planTask(spec: JobSpec): Plan {
  const [first, ...others] = spec.language === null ? ownSteps(spec) : languageSteps(spec);
  if (first === undefined) throw new Error('a job without steps');
  const steps = [first, ...others] as const;
  const largest = (of: (limits: Readonly<Limits>) => number): number =>
    Math.max(...steps.map((step) => of(step.spec.limits)));
  const files = spec.files.map((file) => ({
    path: file.path,
    mode: file.mode,
    content: decodeContent(file),
    ...(file.blob === undefined ? {} : { blob: file.blob }),
  }));
  return {
    box: {
      image: spec.image,
      warm: steps.length === 1 ? warmImageOf({ ...spec, files }, first.spec) : null,
      diskBytes: largest((limits) => limits.diskBytes),
      files: largest((limits) => limits.files),
    },
    archives: spec.archives,
    files,
    steps: [...steps],
    idleTimeMs: spec.interactive?.idleTimeMs ?? null,
    collect:
      spec.collect.length === 0
        ? null
        : {
            patterns: spec.collect,
            files: COLLECT_CAPS.files,
            fileBytes: COLLECT_CAPS.fileBytes,
            totalBytes: COLLECT_CAPS.totalBytes,
          },
  };
}

function languageSteps(spec: JobSpec): PlannedStep[] {
  if (spec.language === null) return [];
  const language = languageOf(spec.language);
  const env = { ...language.env, ...spec.env };
  const run = {
    name: 'run',
    spec: {
      ...stepSpec(spec, [], {}, spec.stdin, spec.limits),
      ...languageRun(language, spec.limits, spec.args, spec.env),
    },
    stdinBlob: spec.stdin.blob ?? null,
  };
  const argv = spec.compile === null ? null : compileArgv(language, spec.compile.args);
  if (spec.compile === null || argv === null) return [run];
  // Whoever types, types to the program.
  const alone = { ...spec, interactive: null };
  const compile = stepSpec(alone, argv, env, EMPTY, spec.compile.limits);
  return [{ name: 'compile', spec: compile, stdinBlob: null }, run];
}

function ownSteps(spec: JobSpec): PlannedStep[] {
  return (spec.steps ?? []).map(({ name, argv, env, stdin, limits }) => ({
    name,
    spec: stepSpec(spec, argv, { ...spec.env, ...env }, stdin, limits),
    stdinBlob: stdin.blob ?? null,
  }));
}

export function stepSpec(
  job: JobSpec,
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin: Content,
  limits: Limits,
): StepSpec {
  return {
    argv,
    env: { ...BASE_ENV, ...env },
    cwd: job.cwd,
    stdin: decodeContent(stdin),
    limits,
    truncateOutput: job.onOutputLimit === 'truncate',
    mergeStderr: job.mergeStderr,
    interactive: job.interactive !== null,
    terminal: job.interactive?.terminal ?? null,
    frozenTimeMs: FROZEN_TIME_MS_MAX,
  };
}
