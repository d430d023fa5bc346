/**
 * From a request to a job that can be run: the rules between fields, and the normal form that records
 * and tasks carry. In it every path is absolute, every limit is there, nothing is optional.
 */
import { z } from 'zod';
import { archivesOf, archiveSpecSchema } from './archives.js';
import type { CallbackRequest } from './callback.js';
import { terminalSizeSchema } from './control.js';
import { contentBytes, contentIssue, encodingSchema } from './encoding.js';
import { issuesOf } from './issues.js';
import { checkSource, fileSpecSchema, filesOf, type Refuse } from './job-files.js';
import { gradeOf } from './grade-spec.js';
import { judgeOf, judgeSpecSchema, programSpecSchema, type ProgramSpec } from './judge-spec.js';
import { IDLE_MS, jobRequestSchema, REQUEST_CAPS, type JobRequest } from './job-request.js';
import type { ProgramRequest } from './judge-request.js';
import { LANGUAGE_NAMES, languageOf, type LanguageName } from './languages.js';
import {
  LIMIT_MAXIMA,
  LIMIT_NAMES,
  limitsSchema,
  mapLimits,
  resolveLimits,
  type LimitsRequest,
} from './limits.js';
import { absolutePath, DEFAULT_CWD, imagePathIssue } from './paths.js';
import { PLAN_DEFAULTS, type PlanOfRequests } from './plan.js';
import type { Issue } from './problems.js';
import { graphOf, graphSpecSchema } from './process-spec.js';

const contentSpecSchema = z.strictObject({
  content: z.string(),
  encoding: encodingSchema,
  /** In place of content, which is empty then. */
  blob: z.string().optional(),
});

export const stepSpecSchema = z.strictObject({
  name: z.string(),
  argv: z.array(z.string()).min(1),
  stdin: contentSpecSchema,
  env: z.record(z.string(), z.string()),
  limits: limitsSchema,
});

export const jobSpecSchema = z.strictObject({
  language: z.enum(LANGUAGE_NAMES).nullable(),
  image: z.string(),
  cwd: z.string(),
  files: z.array(fileSpecSchema),
  archives: z.array(archiveSpecSchema).default([]),
  env: z.record(z.string(), z.string()),
  args: z.array(z.string()),
  stdin: contentSpecSchema,
  limits: limitsSchema,
  compile: z.strictObject({ args: z.array(z.string()), limits: limitsSchema }).nullable(),
  steps: z.array(stepSpecSchema).nullable(),
  /** In place of steps: processes that run at the same time. */
  graph: graphSpecSchema.nullable().default(null),
  onOutputLimit: z.enum(['kill', 'truncate']),
  mergeStderr: z.boolean(),
  /** Null: everything that its program will read comes with the job. */
  interactive: z
    .strictObject({ terminal: terminalSizeSchema.nullable(), idleTimeMs: z.number().int() })
    .nullable(),
  collect: z.array(z.string()),
  judge: judgeSpecSchema.nullable(),
  /** The harness that grades the program, which is compiled once and run as often as it says. */
  grade: programSpecSchema.nullable().default(null),
});

export type StepSpec = z.infer<typeof stepSpecSchema>;
export type JobSpec = z.infer<typeof jobSpecSchema>;

/** An accepted request: what is run, and what is only kept with the job. */
export interface AcceptedJob {
  readonly spec: JobSpec;
  readonly priority: number;
  readonly metadata: Record<string, unknown>;
  /** No part of the spec: no executor needs to know the secret. */
  readonly callback: CallbackRequest | null;
  /** What it names, and where. */
  readonly blobs: readonly NamedBlob[];
}

export interface NamedBlob {
  /** The field that names it. */
  readonly path: string;
  readonly sha256: string;
}

export type JobRequestResult =
  | { readonly ok: true; readonly job: AcceptedJob }
  | { readonly ok: false; readonly issues: readonly Issue[] };

const PRIORITY_DEFAULT = 5;

/** Validates a request body whole. Every refusal names a field and says what is allowed. */
export function parseJobRequest(
  body: unknown,
  plan: PlanOfRequests = PLAN_DEFAULTS,
): JobRequestResult {
  const parsed = jobRequestSchema.safeParse(body);
  if (!parsed.success) return { ok: false, issues: issuesOf(parsed.error) };
  const request = parsed.data;
  const issues: Issue[] = [];
  const refuse: Refuse = (path, message) => {
    issues.push({ path, message });
  };

  const spec =
    request.language === undefined
      ? specOfSteps(request, plan, refuse)
      : specOfLanguage(request, request.language, plan, refuse);
  if (spec !== null) {
    checkSizes(spec, refuse);
    checkImage(spec, plan, refuse);
    checkPaths(request, spec, refuse);
  }
  if (spec === null || issues.length > 0) return { ok: false, issues };
  return {
    ok: true,
    job: {
      spec,
      priority: request.priority ?? PRIORITY_DEFAULT,
      metadata: request.metadata ?? {},
      callback: request.callback ?? null,
      blobs: blobsOf(request),
    },
  };
}

function blobsOf(request: JobRequest): NamedBlob[] {
  const named: NamedBlob[] = [];
  const add = (path: string, sha256: string | undefined): void => {
    if (sha256 !== undefined) named.push({ path, sha256 });
  };
  const addStdin = (path: string, stdin: JobRequest['stdin']): void => {
    add(path, typeof stdin === 'object' ? stdin.blob : undefined);
  };
  for (const [i, file] of request.files.entries()) add(`files[${i}].blob`, file.blob);
  for (const [i, { blob }] of (request.archives ?? []).entries()) add(`archives[${i}].blob`, blob);
  addStdin('stdin.blob', request.stdin);
  for (const [i, step] of (request.steps ?? []).entries()) {
    addStdin(`steps[${i}].stdin.blob`, step.stdin);
  }
  return named;
}

function specOfLanguage(
  request: JobRequest,
  name: (typeof LANGUAGE_NAMES)[number],
  plan: PlanOfRequests,
  refuse: Refuse,
): JobSpec {
  const language = languageOf(name);
  for (const field of ['steps', 'processes', 'pipes'] as const) {
    if (request[field] !== undefined) refuse(field, 'goes with image, not with language');
  }
  if (request.image !== undefined)
    refuse('image', 'goes with steps; a language names its own image');
  if (language.compile === null && request.compile !== undefined) {
    refuse('compile', `${name} is not compiled`);
  }
  const common = commonSpec(request, plan, refuse, language.limitDefaults);
  checkSource(request, common, absolutePath(language.sourceFile, common.cwd), refuse);
  return {
    ...common,
    language: name,
    image: language.image,
    args: request.args ?? [],
    stdin: stdinOf(request, 'stdin', refuse),
    compile: compileOf(request, name, 'compile.limits', plan, refuse),
    steps: null,
    graph: null,
    judge:
      request.grade !== undefined
        ? null
        : judgeOf(request, {
            cwd: common.cwd,
            refuse,
            limitsOf: (requested, at) =>
              limitsOf(requested, at, plan, refuse, language.limitDefaults),
            programOf: (program, at) => programOf(program, at, plan, refuse),
          }),
    grade: gradeOf(request, {
      cwd: common.cwd,
      refuse,
      programOf: (program, at, defaults) => programOf(program, at, plan, refuse, defaults),
    }),
  };
}

function compileOf(
  { compile }: Pick<JobRequest, 'compile'>,
  name: LanguageName,
  at: string,
  plan: PlanOfRequests,
  refuse: Refuse,
) {
  const language = languageOf(name);
  if (language.compile === null) return null;
  const defaults = language.compile.limitDefaults;
  return {
    args: compile?.args ?? [],
    limits: limitsOf(compile?.limits, at, plan, refuse, defaults),
  };
}

/** A program of the judge's own: as a job of its language, in the default work directory. */
function programOf(
  request: ProgramRequest,
  at: string,
  plan: PlanOfRequests,
  refuse: Refuse,
  defaults: LimitsRequest = {},
): ProgramSpec {
  const language = languageOf(request.language);
  const below: Refuse = (path, message) => {
    refuse(`${at}.${path}`, message);
  };
  if (language.compile === null && request.compile !== undefined) {
    below('compile', `${request.language} is not compiled`);
  }
  const common = { files: filesOf(request, DEFAULT_CWD, below) };
  checkSource(request, common, absolutePath(language.sourceFile, DEFAULT_CWD), below);
  return {
    language: request.language,
    image: language.image,
    cwd: DEFAULT_CWD,
    files: common.files,
    env: request.env ?? {},
    args: request.args ?? [],
    limits: limitsOf(request.limits, 'limits', plan, below, {
      ...language.limitDefaults,
      ...defaults,
    }),
    compile: compileOf(request, request.language, 'compile.limits', plan, below),
  };
}

function specOfSteps(request: JobRequest, plan: PlanOfRequests, refuse: Refuse): JobSpec | null {
  const { image, steps, processes } = request;
  const what = processes === undefined ? 'steps' : 'processes';
  const asked = steps ?? processes;
  if (image === undefined && asked === undefined) {
    refuse('language', `is missing: one of ${LANGUAGE_NAMES.join(', ')}, or image and steps`);
    return null;
  }
  if (image === undefined) refuse('image', `is missing: ${what} need an image`);
  if (asked === undefined) refuse('steps', 'is missing: an image needs steps');
  if (steps !== undefined && processes !== undefined) refuse('processes', 'goes without steps');
  for (const field of ['tests', 'judge', 'grade'] as const) {
    if (request[field] !== undefined) refuse(field, 'goes with language');
  }
  for (const field of ['source', 'args', 'stdin', 'stdinEncoding', 'compile'] as const) {
    if (request[field] !== undefined) refuse(field, `goes with language; ${what} have their own`);
  }
  if (image === undefined || asked === undefined) return null;

  const names = new Set<string>();
  const common = commonSpec(request, plan, refuse, {});
  const graph = graphOf(request, {
    cwd: common.cwd,
    refuse,
    limitsOf: (requested, at) => limitsOf(requested, at, plan, refuse, {}),
  });
  return Object.assign(common, {
    language: null,
    image,
    args: [],
    stdin: { content: '', encoding: 'utf8' },
    compile: null,
    judge: null,
    grade: null,
    graph,
    steps:
      graph !== null
        ? null
        : (steps ?? []).map((step, index): StepSpec => {
            const at = `steps[${index}]`;
            if (names.has(step.name)) refuse(`${at}.name`, 'is used by an earlier step');
            names.add(step.name);
            if (step.argv[0] === '') refuse(`${at}.argv[0]`, 'must not be empty');
            return {
              name: step.name,
              argv: step.argv,
              stdin: stdinOf(step, `${at}.stdin`, refuse),
              env: step.env ?? {},
              limits: limitsOf(
                { ...request.limits, ...step.limits },
                `${at}.limits`,
                plan,
                refuse,
                {},
              ),
            };
          }),
  } satisfies Partial<JobSpec>);
}

function commonSpec(
  request: JobRequest,
  plan: PlanOfRequests,
  refuse: Refuse,
  defaults: LimitsRequest,
) {
  const cwd = request.cwd ?? DEFAULT_CWD;
  return {
    cwd,
    files: filesOf(request, cwd, refuse),
    archives: [...archivesOf(request.archives, cwd)],
    env: request.env ?? {},
    limits: limitsOf(request.limits, 'limits', plan, refuse, defaults),
    onOutputLimit: request.onOutputLimit ?? ('kill' as const),
    mergeStderr: request.mergeStderr ?? false,
    interactive: interactiveOf(request, refuse),
    collect: (request.collect ?? []).map((pattern) => absolutePath(pattern, cwd)),
  };
}

function interactiveOf(request: JobRequest, refuse: Refuse): JobSpec['interactive'] {
  const { interactive = false, terminal = null, idleTimeMs = IDLE_MS.default } = request;
  if (interactive) {
    // It goes through the executor's heap, in pieces, as what is typed does.
    const blobs = [request, ...(request.steps ?? [])].map(({ stdin }) => typeof stdin === 'object');
    if (blobs.includes(true))
      refuse('stdin', 'must be given with an interactive job, not as a blob');
    return { terminal, idleTimeMs };
  }
  if (terminal !== null) refuse('terminal', 'goes with interactive');
  if (request.idleTimeMs !== undefined) refuse('idleTimeMs', 'goes with interactive');
  return null;
}

function limitsOf(
  requested: LimitsRequest | undefined,
  at: string,
  { limitMaxima, limitDefaults }: PlanOfRequests,
  refuse: Refuse,
  defaults: LimitsRequest,
) {
  const maxima = mapLimits((name) => limitMaxima[name] ?? LIMIT_MAXIMA[name]);
  for (const name of LIMIT_NAMES) {
    const asked = requested?.[name] ?? 0;
    if (asked > maxima[name])
      refuse(`${at}.${name}`, `must be at most ${maxima[name]} by your plan`);
  }
  // A language knows its needs better than a plan that is made for all of them.
  const { limits, issues } = resolveLimits(requested, { ...limitDefaults, ...defaults }, maxima);
  for (const issue of issues) refuse(`${at}.${issue.name}`, issue.message);
  return limits;
}

function stdinOf(
  from: { stdin?: JobRequest['stdin']; stdinEncoding?: 'utf8' | 'base64' | undefined },
  at: string,
  refuse: Refuse,
) {
  if (typeof from.stdin === 'object') {
    return { content: '', encoding: 'utf8' as const, blob: from.stdin.blob };
  }
  const stdin = { content: from.stdin ?? '', encoding: from.stdinEncoding ?? ('utf8' as const) };
  const message = contentIssue(stdin);
  if (message !== null) refuse(at, message);
  else if (contentBytes(stdin) > REQUEST_CAPS.stdinBytes) {
    refuse(at, `must be at most ${REQUEST_CAPS.stdinBytes} bytes`);
  }
  return stdin;
}

function checkImage(spec: JobSpec, { images }: PlanOfRequests, refuse: Refuse): void {
  if (images === null) return;
  const checker = spec.judge?.checker;
  if (checker?.kind === 'program' && !images.includes(checker.program.image)) {
    refuse('judge.checker.language', `needs the image ${checker.program.image}`);
  }
  if (spec.grade !== null && !images.includes(spec.grade.image)) {
    refuse('grade.language', `needs the image ${spec.grade.image}`);
  }
  const interactor = spec.judge?.interactor?.program.image;
  if (interactor !== undefined && !images.includes(interactor)) {
    refuse('judge.interactor.language', `needs the image ${interactor}`);
  }
  if (images.includes(spec.image)) return;
  const allowed = `your plan allows ${images.join(', ') || 'none'}`;
  if (spec.language === null) refuse('image', `is not allowed: ${allowed}`);
  else refuse('language', `needs the image ${spec.image}: ${allowed}`);
}

/** Each path has been found to lie in a work directory of some image: now it has to be of this one. */
function checkPaths(request: JobRequest, spec: JobSpec, refuse: Refuse): void {
  const check = (at: string, path: string): void => {
    const message = imagePathIssue(path, spec.image);
    if (message !== null) refuse(at, message);
  };
  check('cwd', spec.cwd);
  for (const [index, { path }] of request.files.entries()) {
    check(`files[${index}].path`, absolutePath(path, spec.cwd));
  }
  for (const [index, { files }] of (spec.graph?.processes ?? []).entries()) {
    for (const [place, { path }] of files.entries()) {
      check(`processes[${index}].files[${place}].path`, path);
    }
  }
  for (const [index, { path }] of spec.archives.entries()) check(`archives[${index}].path`, path);
  for (const [index, path] of spec.collect.entries()) check(`collect[${index}]`, path);
}

function checkSizes(spec: JobSpec, refuse: Refuse): void {
  const processes = spec.graph?.processes ?? [];
  const contents = [...spec.files, ...spec.archives, ...processes.flatMap(({ files }) => files)];
  const filesBytes = contents.reduce((sum, content) => sum + contentBytes(content), 0);
  if (filesBytes > REQUEST_CAPS.filesBytes) {
    refuse('files', `must be at most ${REQUEST_CAPS.filesBytes} bytes in all`);
  }
  const message = `args and env must be at most ${REQUEST_CAPS.argvEnvBytes} bytes in all`;
  const tooLong = (argv: readonly string[], env: Record<string, string>): boolean =>
    argvEnvBytes(argv, { ...spec.env, ...env }) > REQUEST_CAPS.argvEnvBytes;
  if (tooLong(spec.args, {})) refuse('args', message);
  if (spec.compile !== null && tooLong(spec.compile.args, {})) refuse('compile.args', message);
  if (
    spec.grade !== null &&
    argvEnvBytes(spec.grade.args, spec.grade.env) > REQUEST_CAPS.argvEnvBytes
  ) {
    refuse('grade.args', message);
  }
  for (const [index, test] of (spec.judge?.tests ?? []).entries()) {
    if (tooLong(test.args ?? [], {})) refuse(`tests[${index}].args`, message);
  }
  for (const [index, step] of (spec.steps ?? []).entries()) {
    if (tooLong(step.argv, step.env)) refuse(`steps[${index}].argv`, message);
  }
  for (const [index, { argv, env, stdin }] of processes.entries()) {
    if (tooLong(argv, env)) refuse(`processes[${index}].argv`, message);
    if (contentBytes(stdin) > REQUEST_CAPS.stdinBytes) {
      refuse(`processes[${index}].stdin`, `must be at most ${REQUEST_CAPS.stdinBytes} bytes`);
    }
  }
}

/** As the kernel counts: each string with its NUL, and the pointer to it. */
export function argvEnvBytes(argv: readonly string[], env: Record<string, string>): number {
  const strings = [...argv, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];
  return strings.reduce((sum, text) => sum + Buffer.byteLength(text) + 1 + 8, 0);
}
