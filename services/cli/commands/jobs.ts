/** `mayfly run`, `submit`, `logs`, `cancel`, `jobs`, `languages`: what a tenant does from a shell. */
import { readFileSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { Client, JobRequest } from '../../client/client.js';
import { outputOf } from '../../client/events.js';
import { MayflyError } from '../../client/errors.js';
import { decodeContent, type Encoding } from '../../contract/encoding.js';
import type { Job, StreamContent } from '../../contract/job.js';
import { LANGUAGE_NAMES, languageOf, type LanguageName } from '../../contract/languages.js';
import { calling, clientOf } from '../job-client.js';
import { endText, exitCodeOf, lastStep } from '../job-text.js';
import { styleOf } from '../style.js';
import { CliError, show, table, type OutputOptions, type Terminal } from '../terminal.js';

interface RunOptions extends OutputOptions {
  readonly language?: LanguageName;
  readonly stdin?: string;
  readonly cpuMs?: number;
  readonly memoryMib?: number;
}

const MIB = 1024 * 1024;

function languageOfFile(path: string): LanguageName {
  const extension = extname(path);
  const found = LANGUAGE_NAMES.find((name) => extname(languageOf(name).sourceFile) === extension);
  if (found !== undefined && extension !== '') return found;
  throw new CliError(
    `The language of ${basename(path)} is not known by its name; say it with --language (${LANGUAGE_NAMES.join(', ')}).`,
  );
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path === '-' ? 0 : path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CliError(`${path} cannot be read: ${why}`, { cause: error });
  }
}

function positive(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('must be a whole number above 0');
}

function requestOf(path: string, args: readonly string[], options: RunOptions): JobRequest {
  const limits = {
    ...(options.cpuMs === undefined ? {} : { cpuTimeMs: options.cpuMs }),
    ...(options.memoryMib === undefined ? {} : { memoryBytes: options.memoryMib * MIB }),
  };
  const stdin = options.stdin === undefined ? null : readFile(options.stdin);
  return {
    language: options.language ?? languageOfFile(path),
    source: readFile(path).toString('utf8'),
    ...(args.length === 0 ? {} : { args: [...args] }),
    ...(stdin === null
      ? {}
      : { stdin: stdin.toString('base64'), stdinEncoding: 'base64' as const }),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
  };
}

function writeResult(job: Job, terminal: Terminal): void {
  const step = lastStep(job);
  if (step === null) return;
  const { stdout: out = '', stderr: err = '' } = step;
  terminal.write(shown(out, step.stdoutEncoding));
  terminal.writeError(shown(err, step.stderrEncoding));
}

/** What is too large to come with the job is told by its name. */
function shown(stream: StreamContent, encoding: Encoding): Buffer {
  if (typeof stream === 'string') return decodeContent({ content: stream, encoding });
  return Buffer.from(`[${stream.bytes} bytes: GET /v1/blobs/${stream.blob}]\n`);
}

/** The output as it comes; a service without events is waited for. */
async function follow(client: Client, jobId: string, terminal: Terminal): Promise<Job> {
  let streamed = false;
  try {
    for await (const event of client.events(jobId)) {
      const output = outputOf(event);
      if (output === null) continue;
      streamed = true;
      (output.stream === 'stdout' ? terminal.write : terminal.writeError)(output.bytes);
    }
  } catch (error) {
    const hasNone = error instanceof MayflyError && [404, 405].includes(error.status);
    if (!hasNone) throw error;
  }
  const job = await client.wait(jobId);
  if (!streamed) writeResult(job, terminal);
  return job;
}

function addRun(program: Command, terminal: Terminal): void {
  program
    .command('run <file> [args...]')
    .description('Run a program and show its output as it comes; exits as the program did.')
    .option('--language <name>', 'instead of by the name of the file')
    .option('--stdin <file>', 'what it reads; - is what this command reads')
    .option('--cpu-ms <n>', 'limit of its CPU time', positive)
    .option('--memory-mib <n>', 'limit of its memory', positive)
    .option('--json', 'the job, for machines')
    .action(async (path: string, args: string[], options: RunOptions) => {
      const client = clientOf(terminal);
      const request = requestOf(path, args, options);
      const job = await calling(
        options.json === true
          ? client.run(request)
          : client.submit(request).then(({ id }) => follow(client, id, terminal)),
      );
      if (options.json === true) show(terminal, options, job, '');
      else terminal.writeError(`${endText(job, styleOf(terminal))}\n`);
      terminal.exit?.(exitCodeOf(job));
    });
}

function addSubmit(program: Command, terminal: Terminal): void {
  program
    .command('submit <job.json>')
    .description('Submit a job as the API takes it; - reads it from standard input.')
    .option('--wait', 'until it has ended')
    .option('--json', 'for machines')
    .action(async (path: string, options: OutputOptions & { readonly wait?: boolean }) => {
      const client = clientOf(terminal);
      let request: JobRequest;
      try {
        request = JSON.parse(readFile(path).toString('utf8')) as JobRequest;
      } catch (error) {
        if (error instanceof CliError) throw error;
        throw new CliError(`${path} is not JSON: ${String(error)}`, { cause: error });
      }
      const job = await calling(
        options.wait === true ? client.run(request) : client.submit(request),
      );
      show(
        terminal,
        options,
        job,
        options.wait === true ? endText(job, styleOf(terminal)) : job.id,
      );
    });
}

function addLogs(program: Command, terminal: Terminal): void {
  program
    .command('logs <job>')
    .description('What a job has written.')
    .option('-f, --follow', 'go on until it ends')
    .option('--json', 'the job, for machines')
    .action(async (id: string, options: OutputOptions & { readonly follow?: boolean }) => {
      const client = clientOf(terminal);
      const job = await calling(
        options.follow === true && options.json !== true
          ? follow(client, id, terminal)
          : client.get(id),
      );
      if (options.json === true) show(terminal, options, job, '');
      else if (options.follow !== true) writeResult(job, terminal);
      if (options.json !== true) terminal.writeError(`${endText(job, styleOf(terminal))}\n`);
    });
}

function addCancel(program: Command, terminal: Terminal): void {
  program
    .command('cancel <job...>')
    .description('Cancel jobs: what waits never starts, what runs is killed.')
    .option('--json', 'for machines')
    .action(async (ids: string[], options: OutputOptions) => {
      const client = clientOf(terminal);
      const jobs: Job[] = [];
      for (const id of ids) jobs.push(await calling(client.cancel(id)));
      show(terminal, options, jobs, jobs.map((job) => `${job.id} ${job.status}`).join('\n'));
    });
}

function addList(program: Command, terminal: Terminal): void {
  program
    .command('jobs')
    .description('Your jobs, newest first.')
    .option('--status <status>', 'only these')
    .option('--limit <n>', 'how many', positive, 20)
    .option('--json', 'for machines')
    .action(
      async (
        options: OutputOptions & { readonly status?: Job['status']; readonly limit: number },
      ) => {
        const { status, limit } = options;
        const page = await calling(
          clientOf(terminal).list({ limit, ...(status === undefined ? {} : { status }) }),
        );
        const rows = page.jobs.map((job) => [
          job.id,
          job.status,
          job.language ?? '-',
          job.createdAt,
        ]);
        show(terminal, options, page, table(['job', 'status', 'language', 'created'], rows));
      },
    );
}

function addLanguages(program: Command, terminal: Terminal): void {
  program
    .command('languages')
    .description('What can be run.')
    .option('--json', 'for machines')
    .action(async (options: OutputOptions) => {
      const languages = await calling(clientOf(terminal).languages());
      const rows = languages.map((each) => [
        each.name,
        each.title,
        each.version ?? '-',
        each.image,
      ]);
      show(terminal, options, languages, table(['name', 'language', 'version', 'image'], rows));
    });
}

export function addJobCommands(program: Command, terminal: Terminal): void {
  addRun(program, terminal);
  addSubmit(program, terminal);
  addLogs(program, terminal);
  addCancel(program, terminal);
  addList(program, terminal);
  addLanguages(program, terminal);
}
