/** The harness of a grade job in normal form, and what does not go with one. */
import { contentBytes } from './encoding.js';
import type { Refuse } from './job-files.js';
import { REQUEST_CAPS, type JobRequest } from './job-request.js';
import type { ProgramRequest } from './judge-request.js';
import type { ProgramSpec } from './judge-spec.js';
import { LIMIT_MAXIMA, type LimitsRequest } from './limits.js';
import { absolutePath, DEFAULT_CWD, imagePathIssue } from './paths.js';

export interface GradeContext {
  readonly cwd: string;
  readonly refuse: Refuse;
  readonly programOf: (request: ProgramRequest, at: string, defaults: LimitsRequest) => ProgramSpec;
}

/** It mostly waits for the program, and says a lot: as much of both as the plan allows. */
const HARNESS_DEFAULTS: LimitsRequest = {
  wallTimeMs: LIMIT_MAXIMA.wallTimeMs,
  outputBytes: LIMIT_MAXIMA.outputBytes,
};

const NOT_WITH_GRADE = [
  'tests',
  'judge',
  'interactive',
  'collect',
  'archives',
  'mergeStderr',
] as const;

/** Null when the request has no harness. */
export function gradeOf(request: JobRequest, context: GradeContext): ProgramSpec | null {
  const { grade } = request;
  const { cwd, refuse, programOf } = context;
  if (grade === undefined) return null;
  for (const field of NOT_WITH_GRADE) {
    if (request[field] !== undefined) refuse(field, 'does not go with grade');
  }
  for (const field of ['stdin', 'stdinEncoding', 'args'] as const) {
    if (request[field] !== undefined) refuse(field, 'is given by the harness, with each run');
  }
  refuseBlobs(request.files, 'files', refuse);
  refuseBlobs(grade.files, 'grade.files', refuse);
  // What the compile step leaves there is what the runs are given.
  if (cwd !== '/box' && !cwd.startsWith('/box/')) {
    refuse('cwd', 'must be /box or below it, with grade');
  }
  const harness = programOf(grade, 'grade', HARNESS_DEFAULTS);
  for (const [index, { path }] of grade.files.entries()) {
    const issue = imagePathIssue(absolutePath(path, DEFAULT_CWD), harness.image);
    if (issue !== null) refuse(`grade.files[${index}].path`, issue);
  }
  const bytes = harness.files.reduce((sum, file) => sum + contentBytes(file), 0);
  if (bytes > REQUEST_CAPS.filesBytes) {
    refuse('grade.files', `must be at most ${REQUEST_CAPS.filesBytes} bytes in all`);
  }
  return harness;
}

function refuseBlobs(
  files: readonly { readonly blob?: string | undefined }[],
  at: string,
  refuse: Refuse,
): void {
  for (const [index, { blob }] of files.entries()) {
    if (blob !== undefined) refuse(`${at}[${index}].blob`, 'does not go with grade: give content');
  }
}
