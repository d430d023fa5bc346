/** Processes and pipes in normal form, as records and tasks carry them, and the rules between their fields. */
import { z } from 'zod';
import { contentIssue, encodingSchema } from './encoding.js';
import { fileSpecSchema, filesOf, type FileSpec, type Refuse } from './job-files.js';
import type { JobRequest } from './job-request.js';
import { limitsSchema, type Limits, type LimitsRequest } from './limits.js';
import { PIPE_CAPS, type PipeRequest, type ProcessRequest } from './process-request.js';

export const processSpecSchema = z.strictObject({
  name: z.string(),
  argv: z.array(z.string()).min(1),
  stdin: z.strictObject({ content: z.string(), encoding: encodingSchema }),
  env: z.record(z.string(), z.string()),
  /** Of its own, beside the job's. */
  files: z.array(fileSpecSchema),
  limits: limitsSchema,
});

const end = z.strictObject({ process: z.number().int(), descriptor: z.number().int() });

/** Between processes, by their places. */
export const pipeSpecSchema = z.strictObject({ from: end, to: end, transcript: z.boolean() });

export const graphSpecSchema = z.strictObject({
  processes: z.array(processSpecSchema).min(2),
  pipes: z.array(pipeSpecSchema),
});

export type ProcessSpec = z.infer<typeof processSpecSchema>;
export type PipeSpec = z.infer<typeof pipeSpecSchema>;
export type GraphSpec = z.infer<typeof graphSpecSchema>;

export interface GraphContext {
  readonly cwd: string;
  readonly refuse: Refuse;
  /** By the tenant's plan. */
  readonly limitsOf: (requested: LimitsRequest, at: string) => Limits;
}

/** What a graph has each process say for itself, or does not go with it. */
const NOT_WITH_PROCESSES = ['collect', 'archives', 'interactive', 'mergeStderr'] as const;

/** Null when the request has no processes. */
export function graphOf(request: JobRequest, context: GraphContext): GraphSpec | null {
  const { processes, pipes = [] } = request;
  const { refuse } = context;
  if (processes === undefined) {
    if (request.pipes !== undefined) refuse('pipes', 'goes with processes');
    return null;
  }
  for (const field of NOT_WITH_PROCESSES) {
    if (request[field] !== undefined) refuse(field, 'does not go with processes');
  }
  for (const [index, { blob }] of request.files.entries()) {
    if (blob !== undefined) refuse(`files[${index}].blob`, NO_BLOBS);
  }
  const names = processes.map(({ name }) => name);
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) < index)
      refuse(`processes[${index}].name`, 'is used by an earlier one');
  }
  const joined = pipes.map((pipe, index) => pipeOf(pipe, `pipes[${index}]`, names, refuse));
  checkEnds(joined, refuse);
  return {
    processes: processes.map((own, index) => {
      const at = `processes[${index}]`;
      const isFed = joined.some(({ to }) => to.process === index && to.descriptor === 0);
      if (isFed && own.stdin !== undefined) refuse(`${at}.stdin`, 'is the end of a pipe already');
      return processOf(request, own, at, context);
    }),
    pipes: joined,
  };
}

const NO_BLOBS = 'does not go with processes: give content';

function processOf(
  job: JobRequest,
  own: ProcessRequest,
  at: string,
  { cwd, refuse, limitsOf }: GraphContext,
): ProcessSpec {
  const { name, argv, env = {}, files = [] } = own;
  if (argv[0] === '') refuse(`${at}.argv[0]`, 'must not be empty');
  const stdin = { content: own.stdin ?? '', encoding: own.stdinEncoding ?? 'utf8' };
  const message = contentIssue(stdin);
  if (message !== null) refuse(`${at}.stdin`, message);
  for (const [index, { blob }] of files.entries()) {
    if (blob !== undefined) refuse(`${at}.files[${index}].blob`, NO_BLOBS);
  }
  // Together with the job's, whose own issues have been told already.
  const common = job.files.length;
  const all = filesOf({ files: [...job.files, ...files] }, cwd, (path, issue) => {
    const [, place = '', field = ''] = /^files\[([0-9]+)\](.*)$/.exec(path) ?? [];
    if (Number(place) >= common) refuse(`${at}.files[${Number(place) - common}]${field}`, issue);
  });
  return {
    name,
    argv,
    stdin,
    env,
    files: all.slice(common),
    limits: limitsOf({ ...job.limits, ...own.limits }, `${at}.limits`),
  };
}

function pipeOf(
  { from, to, transcript = false }: PipeRequest,
  at: string,
  names: readonly string[],
  refuse: Refuse,
): PipeSpec {
  const place = (name: string, side: 'from' | 'to'): number => {
    const found = names.indexOf(name);
    if (found < 0) refuse(`${at}.${side}.process`, 'must be the name of a process');
    return found;
  };
  if (from.process === to.process) refuse(`${at}.to.process`, 'must be another process');
  if (transcript && (from.descriptor ?? 1) !== 1) {
    refuse(`${at}.transcript`, 'goes with standard output, descriptor 1');
  }
  return {
    from: { process: place(from.process, 'from'), descriptor: from.descriptor ?? 1 },
    to: { process: place(to.process, 'to'), descriptor: to.descriptor ?? 0 },
    transcript,
  };
}

function checkEnds(pipes: readonly PipeSpec[], refuse: Refuse): void {
  const ends = new Map<number, Set<number>>();
  for (const [index, pipe] of pipes.entries()) {
    for (const side of ['from', 'to'] as const) {
      const { process, descriptor } = pipe[side];
      const taken = ends.get(process) ?? new Set<number>();
      if (taken.has(descriptor)) {
        refuse(`pipes[${index}].${side}.descriptor`, 'is an end of an earlier pipe');
      }
      ends.set(process, taken.add(descriptor));
    }
  }
  if ([...ends.values()].some(({ size }) => size > PIPE_CAPS.ends)) {
    refuse('pipes', `must be at most ${PIPE_CAPS.ends} ends at one process`);
  }
}

/** The files of a process: the job's, and its own. */
export function filesOfProcess(common: readonly FileSpec[], { files }: ProcessSpec): FileSpec[] {
  return [...common, ...files];
}
