/** `mayfly judge`: a problem package and submissions to it, by judge jobs. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { Client } from '../../client/client.js';
import type { Job, TestResult } from '../../contract/job.js';
import { languageOf } from '../../contract/languages.js';
import { isAsExpected, isKnown } from '../expectations.js';
import { calling, clientOf } from '../job-client.js';
import { pathInside } from '../problem-files.js';
import {
  jobOf,
  languageOfEnding,
  readProblem,
  type Problem,
  type Submission,
} from '../problem-package.js';
import { styleOf } from '../style.js';
import { CliError, show, table, type OutputOptions, type Terminal } from '../terminal.js';

interface JudgeOptions extends OutputOptions {
  readonly verify?: boolean;
  readonly skipMissing?: boolean;
}

/** What came of one submission of a package. */
interface Verified {
  readonly submission: string;
  readonly expected: string;
  /** `missing_image`, `unknown_language` and `unknown_folder`: it was not run. */
  readonly got: string;
  readonly asExpected: boolean;
  readonly cpuTimeMsMax: number | null;
  readonly memoryBytesMax: number | null;
  readonly note: string;
}

const MIB = 1024 * 1024;
const POLL_MS = 300;
const NOT_AS_EXPECTED = 1;
const NOT_RUN = 'missing_image';

const isFinal = ({ status }: Job): boolean => status !== 'queued' && status !== 'running';

/** Tells people how far it is while it waits. */
async function follow(client: Client, terminal: Terminal, id: string, name: string, of: number) {
  for (;;) {
    const job = await client.get(id, { include: ['tests', 'stderr'] });
    if (isFinal(job)) return job;
    if (terminal.isTerminal === true) {
      terminal.writeError(`\r\u001b[K${name}: ${job.tests?.length ?? 0} of ${of} tests`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function judge(client: Client, terminal: Terminal, problem: Problem, what: Submission) {
  const work = async (): Promise<Job> => {
    const { id } = await client.submit(jobOf(problem, what));
    return await follow(client, terminal, id, what.path, problem.tests.length);
  };
  const job = await calling(work());
  if (terminal.isTerminal === true) terminal.writeError('\r\u001b[K');
  return job;
}

const usages = (job: Job) =>
  (job.tests ?? []).flatMap(({ run }) => (run === null ? [] : [run.usage]));

function worst(job: Job, of: 'cpuTimeMs' | 'memoryBytesPeak'): number | null {
  const values = usages(job).map((usage) => usage[of]);
  return values.length === 0 ? null : Math.max(...values);
}

const msText = (ms: number | null): string => (ms === null ? '-' : ms.toFixed(1));
const mibText = (bytes: number | null): string => (bytes === null ? '-' : (bytes / MIB).toFixed(1));
const oneLine = (text: string): string =>
  text
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, 80);

function testRow({ name, verdict, run, message }: TestResult): string[] {
  return [
    name,
    verdict,
    msText(run?.usage.cpuTimeMs ?? null),
    msText(run?.usage.wallTimeMs ?? null),
    mibText(run?.usage.memoryBytesPeak ?? null),
    oneLine(message),
  ];
}

function jobText(job: Job, terminal: Terminal): string {
  const { good, bad } = styleOf(terminal);
  if (job.status !== 'finished') return bad(`${job.status}: ${job.problem?.detail ?? ''}`);
  if (job.verdict === 'compile_error') {
    const { stderr = '' } = job.compile ?? {};
    return `${typeof stderr === 'string' ? stderr : ''}\n${bad('compile_error')}`;
  }
  const head = ['TEST', 'VERDICT', 'CPU MS', 'WALL MS', 'MEMORY MIB', 'MESSAGE'];
  const end = (job.verdict === 'accepted' ? good : bad)(job.verdict ?? '-');
  const points = `${job.points ?? 0} of ${job.pointsMax ?? 0} points`;
  return `${table(head, (job.tests ?? []).map(testRow))}\n\n${end} · ${points}`;
}

function problemOf(path: string): Submission['language'] {
  const language = languageOfEnding(path);
  if (language === null) throw new CliError(`The language of ${path} is not known by its ending.`);
  return language;
}

async function unavailable(client: Client): Promise<ReadonlySet<string>> {
  const languages = await calling(client.languages());
  return new Set(languages.flatMap(({ name, available }) => (available ? [] : [name])));
}

function remedy(language: Submission['language']): string {
  const { image, title } = languageOf(language);
  return `${title} needs the image ${image}, which is not built: mayfly images build ${image}`;
}

async function judgeOne(
  terminal: Terminal,
  directory: string,
  path: string,
  options: JudgeOptions,
) {
  const client = clientOf(terminal);
  const problem = readProblem(directory);
  const language = problemOf(path);
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (error) {
    throw new CliError(`${path} cannot be read: ${String(error)}`, { cause: error });
  }
  if ((await unavailable(client)).has(language)) throw new CliError(remedy(language));
  const what = { path: pathInside(directory, path) ?? path, language, source };
  const job = await judge(client, terminal, problem, what);
  show(terminal, options, job, jobText(job, terminal));
  terminal.exit?.(job.verdict === 'accepted' ? 0 : NOT_AS_EXPECTED);
}

async function verifyOne(
  {
    client,
    terminal,
    missing,
  }: { client: Client; terminal: Terminal; missing: ReadonlySet<string> },
  problem: Problem,
  { expected, path }: Problem['submissions'][number],
): Promise<Verified> {
  const nothing = { cpuTimeMsMax: null, memoryBytesMax: null, asExpected: false };
  const base = { submission: path, expected };
  const notRun = (got: string, note: string) => ({ ...base, ...nothing, got, note });
  if (!isKnown(expected)) return notRun('unknown_folder', 'what is expected of it is not known');
  const content = problem.folder.read(path);
  if (content === null) return notRun('unknown_language', 'submissions of many files are not run');
  const language = languageOfEnding(path);
  if (language === null) return notRun('unknown_language', 'not known by its ending');
  if (missing.has(language)) return notRun(NOT_RUN, remedy(language));
  const what = { path, language, source: content.toString('utf8') };
  const job = await judge(client, terminal, problem, what);
  const failed = job.tests?.find(
    ({ verdict, message }) => verdict !== 'accepted' && message !== '',
  );
  return {
    ...base,
    got: job.verdict ?? job.status,
    asExpected: isAsExpected(expected, job),
    cpuTimeMsMax: worst(job, 'cpuTimeMs'),
    memoryBytesMax: worst(job, 'memoryBytesPeak'),
    note: oneLine(job.problem?.detail ?? failed?.message ?? ''),
  };
}

function verifiedText(problem: Problem, results: readonly Verified[], terminal: Terminal): string {
  const { good, bad } = styleOf(terminal);
  const head = ['', 'SUBMISSION', 'GOT', 'CPU MS', 'MEMORY MIB', 'NOTE'];
  const rows = results.map((each) => [
    each.asExpected ? 'ok' : each.got === NOT_RUN ? '--' : 'NO',
    oneLine(each.submission.slice('submissions/'.length)),
    each.got,
    msText(each.cpuTimeMsMax),
    mibText(each.memoryBytesMax),
    each.note,
  ]);
  const right = results.filter(({ asExpected }) => asExpected).length;
  const skipped = results.filter(({ got }) => got === NOT_RUN).length;
  const notes = skipped === 0 ? '' : `, ${skipped} not run for want of an image`;
  const end = `${right} of ${results.length} submissions as expected${notes}`;
  const all = right + skipped === results.length;
  return `${table(head, rows)}\n\n${oneLine(problem.name)}: ${(all ? good : bad)(end)}`;
}

async function verify(terminal: Terminal, directory: string, options: JudgeOptions) {
  const client = clientOf(terminal);
  const problem = readProblem(directory);
  if (problem.submissions.length === 0) throw new CliError('There is nothing in submissions/.');
  const context = { client, terminal, missing: await unavailable(client) };
  const results: Verified[] = [];
  // One after another: a submission's times are not its neighbours'.
  for (const each of problem.submissions) results.push(await verifyOne(context, problem, each));
  show(terminal, options, results, verifiedText(problem, results, terminal));
  const excused = ({ got }: Verified): boolean => options.skipMissing === true && got === NOT_RUN;
  const whole = results.every((each) => each.asExpected || excused(each));
  terminal.exit?.(whole ? 0 : NOT_AS_EXPECTED);
}

export function addJudgeCommand(program: Command, terminal: Terminal): void {
  program
    .command('judge <problem> [submission]')
    .description('Judge a submission to a problem package; exits with 0 when it is accepted.')
    .option('--verify', "judge the package's own submissions: do they come out as it says?")
    .option('--skip-missing', 'with --verify: languages whose image is not built are no failure')
    .option('--json', 'for machines')
    .action(async (directory: string, submission: string | undefined, options: JudgeOptions) => {
      if ((submission !== undefined) === (options.verify === true)) {
        throw new CliError('Name a submission, or say --verify.');
      }
      if (submission === undefined) await verify(terminal, directory, options);
      else await judgeOne(terminal, directory, submission, options);
    });
}
