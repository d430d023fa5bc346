/** A problem in the ICPC package format, as Kattis and DOMjudge have it, as the parts of judge jobs. */
import { parse } from 'yaml';
import { z } from 'zod';
import type { JobRequest } from '../client/client.js';
import { encodeContent } from '../contract/encoding.js';
import { JUDGE_CAPS } from '../contract/judge-request.js';
import { languageOf, LANGUAGE_NAMES, type LanguageName } from '../contract/languages.js';
import { openPackage, type PackageFile, type PackageFolder } from './problem-files.js';
import { CliError } from './terminal.js';

const MIB = 1024 * 1024;

type Tests = NonNullable<JobRequest['tests']>;
type Judge = Pick<NonNullable<JobRequest['judge']>, 'checker' | 'interactor'>;
type Checker = NonNullable<Judge['checker']>;
type Validator = NonNullable<Judge['interactor']>;

export interface Submission {
  /** Within the package or as it was named. */
  readonly path: string;
  readonly language: LanguageName;
  readonly source: string;
}

export interface Problem {
  readonly name: string;
  readonly limits: NonNullable<JobRequest['limits']>;
  readonly tests: Tests;
  /** Who says what came of a test: a checker of its output, or an interactor that it talks to. */
  readonly judge: Judge;
  /** Those under submissions/, by the folder that says what is expected of them. */
  readonly submissions: readonly { readonly expected: string; readonly path: string }[];
  readonly folder: PackageFolder;
}

const positive = z.number().positive();
const settingsSchema = z.looseObject({
  name: z.union([z.string(), z.record(z.string(), z.string())]).optional(),
  type: z.union([z.string(), z.array(z.string())]).nullish(),
  validation: z.string().nullish(),
  validator_flags: z.union([z.string(), z.number()]).nullish(),
  limits: z
    .looseObject({
      time_limit: positive.optional(),
      memory: positive.optional(),
      output: positive.optional(),
      validation_time: positive.optional(),
      validation_memory: positive.optional(),
    })
    .nullish(),
});

type Settings = z.infer<typeof settingsSchema>;

/** What the table of languages does not say: endings that mean the same. */
const ENDINGS: Readonly<Record<string, LanguageName>> = {
  cc: 'cpp',
  cxx: 'cpp',
  'c++': 'cpp',
  py3: 'python',
};

export function languageOfEnding(path: string): LanguageName | null {
  const ending = /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? '';
  const named = LANGUAGE_NAMES.find((name) => languageOf(name).sourceFile.endsWith(`.${ending}`));
  return ENDINGS[ending] ?? (ending === '' ? null : (named ?? null));
}

function settingsOf(folder: PackageFolder): Settings {
  const text = folder.read('problem.yaml');
  if (text === null) throw new CliError('There is no problem.yaml: is it a problem package?');
  let content: unknown;
  try {
    content = parse(text.toString('utf8'), { maxAliasCount: 0 }) ?? {};
  } catch (error) {
    throw new CliError(`problem.yaml: ${String(error)}`, { cause: error });
  }
  const parsed = settingsSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new CliError(`problem.yaml: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
}

/** In seconds, from each of the places where packages have it. */
function timeLimitOf(folder: PackageFolder, settings: Settings): number | null {
  const ini = folder.read('domjudge-problem.ini')?.toString('utf8') ?? '';
  const said =
    settings.limits?.time_limit?.toString() ??
    /^\s*timelimit\s*=\s*['"]?([\d.]+)/m.exec(ini)?.[1] ??
    folder.read('.timelimit')?.toString('utf8').trim();
  if (said === undefined) return null;
  const seconds = Number(said);
  if (seconds > 0) return seconds;
  throw new CliError(`The time limit is no number of seconds: ${said}`);
}

function limitsOf(folder: PackageFolder, settings: Settings): Problem['limits'] {
  const seconds = timeLimitOf(folder, settings);
  const { memory, output } = settings.limits ?? {};
  return {
    ...(seconds === null ? {} : { cpuTimeMs: Math.ceil(seconds * 1_000) }),
    ...(memory === undefined ? {} : { memoryBytes: Math.ceil(memory * MIB) }),
    ...(output === undefined ? {} : { outputBytes: Math.ceil(output * MIB) }),
  };
}

function testsOf(folder: PackageFolder): Tests {
  let bytes = 0;
  const largest = { path: '', bytes: -1 };
  const contentOf = (path: string) => {
    const content = folder.read(path);
    if (content === null) throw new CliError(`${path} is missing.`);
    bytes += content.length;
    if (content.length > largest.bytes) Object.assign(largest, { path, bytes: content.length });
    return encodeContent(content);
  };
  const inputs = ['data/sample', 'data/secret'].flatMap((path) => folder.walk(path, '.in'));
  if (inputs.length === 0) throw new CliError('There are no tests in data/sample or data/secret.');
  if (inputs.length > JUDGE_CAPS.tests) {
    throw new CliError(`${inputs.length} tests are more than ${JUDGE_CAPS.tests}.`);
  }
  const tests = inputs.map((path) => {
    const input = contentOf(path);
    const answer = contentOf(path.replace(/in$/, 'ans'));
    const name = path.slice('data/'.length, -'.in'.length);
    return {
      name,
      stdin: input.content,
      stdinEncoding: input.encoding,
      expectedStdout: answer.content,
      expectedStdoutEncoding: answer.encoding,
    };
  });
  if (bytes <= JUDGE_CAPS.testsBytes) return tests;
  throw new CliError(
    `The tests are ${bytes} bytes; a job takes ${JUDGE_CAPS.testsBytes}. The largest is ${largest.path}, ${largest.bytes} bytes.`,
  );
}

/** The validator that every judge has, by its flags. */
function defaultChecker(flags: readonly string[]): Checker {
  const tolerance: { absolute?: number; relative?: number } = {};
  let exact = false;
  for (let at = 0; at < flags.length; at += 1) {
    const flag = flags[at] ?? '';
    if (flag === 'space_change_sensitive') exact = true;
    else if (flag.startsWith('float_')) {
      at += 1;
      const value = Number(flags[at]);
      if (!(value >= 0 && value <= 1)) throw new CliError(`${flag}: not from 0 to 1`);
      if (flag !== 'float_absolute_tolerance') tolerance.relative = value;
      if (flag !== 'float_relative_tolerance') tolerance.absolute = value;
    } else if (flag !== 'case_sensitive')
      throw new CliError(`validator_flags: ${flag} is not known`);
  }
  const isFloat = Object.keys(tolerance).length > 0;
  if (exact && isFloat) {
    throw new CliError('validator_flags: space_change_sensitive with a tolerance is not supported');
  }
  if (exact) return { kind: 'exact' };
  return isFloat ? { kind: 'floats', ...tolerance } : { kind: 'tokens' };
}

/** A validator of the problem's own: one file, or a folder with one program and what it includes. */
function ownValidator(
  folder: PackageFolder,
  settings: Settings,
  flags: readonly string[],
): Validator {
  const home = folder.isFolder('output_validator') ? 'output_validator' : 'output_validators';
  const top = folder.list(home).map((name) => `${home}/${name}`);
  const folders = top.filter((path) => folder.isFolder(path));
  const root = folders.length === 1 && top.length === 1 ? (folders[0] ?? '') : home;
  const files = folder.walk(root, '').flatMap((path): PackageFile[] => {
    const content = folder.read(path);
    return content === null ? [] : [{ path: path.slice(root.length + 1), content }];
  });
  const mains = files.filter(({ path }) => languageOfEnding(path) !== null);
  const [main] = mains;
  const language = main === undefined ? null : languageOfEnding(main.path);
  if (main === undefined || language === null || mains.length > 1) {
    throw new CliError(`${home}: expected one program, found ${mains.length}.`);
  }
  const { validation_time: seconds, validation_memory: memory } = settings.limits ?? {};
  const limits = {
    ...(seconds === undefined ? {} : { cpuTimeMs: Math.ceil(seconds * 1_000) }),
    ...(memory === undefined ? {} : { memoryBytes: Math.ceil(memory * MIB) }),
  };
  return {
    protocol: 'domjudge',
    language,
    source: main.content.toString('utf8'),
    files: files
      .filter((file) => file !== main)
      .map(({ path, content }) => ({ path, ...encodeContent(content) })),
    args: [...flags],
    limits,
  };
}

/** By either version of the format: `validation: custom interactive`, or `type: interactive`. */
function isInteractive({ type, validation }: Settings): boolean {
  const types = typeof type === 'string' ? type.split(/\s+/) : (type ?? []);
  const words = (validation ?? '').split(/\s+/);
  return types.includes('interactive') || (words[0] === 'custom' && words.includes('interactive'));
}

function judgeOf(folder: PackageFolder, settings: Settings): Judge {
  const flags = String(settings.validator_flags ?? '')
    .split(/\s+/)
    .filter((flag) => flag !== '');
  if (isInteractive(settings)) return { interactor: ownValidator(folder, settings, flags) };
  const words = (settings.validation ?? 'default').split(/\s+/);
  if (words[0] === 'custom') {
    return { checker: { kind: 'program', ...ownValidator(folder, settings, flags) } };
  }
  if (words[0] === 'default') return { checker: defaultChecker(flags) };
  throw new CliError(`problem.yaml: validation: ${words.join(' ')} is not known`);
}

export function readProblem(directory: string): Problem {
  const folder = openPackage(directory);
  const settings = settingsOf(folder);
  const { name } = settings;
  const named = typeof name === 'object' ? (name['en'] ?? Object.values(name)[0]) : name;
  return {
    name: named ?? directory,
    limits: limitsOf(folder, settings),
    tests: testsOf(folder),
    judge: judgeOf(folder, settings),
    submissions: folder.list('submissions').flatMap((expected) =>
      folder.list(`submissions/${expected}`).map((file) => {
        return { expected, path: `submissions/${expected}/${file}` };
      }),
    ),
    folder,
  };
}

export function jobOf(problem: Problem, { language, source }: Submission): JobRequest {
  return {
    language,
    source,
    limits: problem.limits,
    tests: problem.tests,
    judge: { ...problem.judge, report: { on: 'none' } },
  };
}
