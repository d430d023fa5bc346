/**
 * Which jobs an interpreter that has started already may be given (docs/adr/0024). The supervisor compares what is
 * executed; here is what only the program and its files can tell: whether a cold start would have read anything
 * before the program, or the program in another way than once from its beginning to its end.
 */
import { isUtf8 } from 'node:buffer';
import { isDeepStrictEqual } from 'node:util';
import {
  LANGUAGES,
  LANGUAGE_NAMES,
  languageOf,
  type LanguageName,
} from '../../services/contract/languages.js';
import { resolveLimits } from '../../services/contract/limits.js';
import { DEFAULT_CWD } from '../../services/contract/paths.js';
import { languageRun } from './language-run.js';
import type { BoxFile, StepSpec } from './sandbox.js';

/** An image of the sandbox's own: `image`, with the command of `step` started in its pooled boxes. */
export interface WarmImage {
  readonly name: string;
  readonly image: string;
  readonly step: StepSpec;
}

/** MAYFLY_WARM_PROGRAM_BYTES_MAX */
const PROGRAM_BYTES_MAX = 65_536;

/** One for each language that can be warm: its command as most jobs have it. */
export function warmImages(): WarmImage[] {
  return LANGUAGE_NAMES.filter((name) => languageOf(name).warm !== undefined).map((name) => {
    const { image, limitDefaults } = languageOf(name);
    const { limits } = resolveLimits({}, limitDefaults);
    const step = {
      ...languageRun(LANGUAGES[name], limits, [], {}),
      cwd: DEFAULT_CWD,
      stdin: Buffer.alloc(0),
      limits,
      truncateOutput: false,
      mergeStderr: false,
    };
    return { name, image, step };
  });
}

interface WarmFile extends Pick<BoxFile, 'path' | 'content'> {
  readonly blob?: string;
}

export interface WarmCandidate {
  readonly language: LanguageName | null;
  readonly image: string;
  readonly files: readonly WarmFile[];
  readonly archives: readonly unknown[];
}

const WARM_IMAGES: ReadonlyMap<string, WarmImage> = new Map(
  warmImages().map((image) => [image.name, image]),
);

/** Limits that are the interpreter's from its exec on, or that it sizes itself by. */
const AT_EXEC = ['stackBytes', 'openFiles', 'fileBytes'] as const;

/** As the supervisor compares them, which has the last word: here so that none is killed for nothing. */
function isSameExec(step: StepSpec, warm: StepSpec): boolean {
  const executed = ({ argv, env, cwd }: StepSpec) => [argv, Object.entries(env), cwd];
  return (
    isDeepStrictEqual(executed(step), executed(warm)) &&
    AT_EXEC.every((name) => step.limits[name] === warm.limits[name]) &&
    step.limits.cpus <= 1 &&
    !step.mergeStderr &&
    step.interactive !== true
  );
}

/** The name of the warm image that the job's only step may have, if a box of it is ready; null: none. */
export function warmImageOf(
  { language, image, files, archives }: WarmCandidate,
  step: StepSpec,
): string | null {
  const started = language === null ? undefined : WARM_IMAGES.get(language);
  if (language === null || started === undefined || archives.length > 0) return null;
  if (image !== started.image || !isSameExec(step, started.step)) return null;
  const { warm, sourceFile } = languageOf(language);
  const [program, ...others] = files.filter(({ path }) => path === `${step.cwd}/${sourceFile}`);
  if (program === undefined || others.length > 0 || program.blob !== undefined) return null;
  const { content } = program;
  if (content.length >= PROGRAM_BYTES_MAX || !isUtf8(content)) return null;
  if (files.some(({ path }) => warm?.readBefore.test(path) === true)) return null;
  return warm?.readAgain?.test(content.toString()) === true ? null : language;
}
