/** The files of a job in normal form: absolute paths, each once, and the source among them. */
import { z } from 'zod';
import { contentIssue, encodingSchema } from './encoding.js';
import type { JobRequest } from './job-request.js';
import { absolutePath } from './paths.js';

export const fileSpecSchema = z.strictObject({
  path: z.string(),
  content: z.string(),
  encoding: encodingSchema,
  /** In place of content, which is empty then. */
  blob: z.string().optional(),
  mode: z.number().int(),
});

export type FileSpec = z.infer<typeof fileSpecSchema>;

/** Refuses the request: the field, and what is allowed there. */
export type Refuse = (path: string, message: string) => void;

/** Files in normal form; no two may name the same path, and none a directory of another. */
export function filesOf(
  request: Pick<JobRequest, 'files'>,
  cwd: string,
  refuse: Refuse,
): FileSpec[] {
  const files: FileSpec[] = [];
  const taken = new Set<string>();
  const directories = new Set<string>();
  for (const [index, file] of request.files.entries()) {
    const path = absolutePath(file.path, cwd);
    const parents = parentsOf(path);
    if (taken.has(path)) refuse(`files[${index}].path`, 'is given twice');
    if (directories.has(path) || parents.some((parent) => taken.has(parent))) {
      refuse(`files[${index}].path`, 'cannot be both a file and a directory');
    }
    taken.add(path);
    for (const parent of parents) directories.add(parent);
    files.push({
      path,
      content: file.content ?? '',
      ...(file.blob === undefined ? {} : { blob: file.blob }),
      encoding: file.encoding,
      mode: Number.parseInt(file.mode, 8),
    });
  }
  return files;
}

function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
    parents.push(path.slice(0, at));
  }
  return parents;
}

/** Puts `source` among the files, or sees that the main file is there already. */
export function checkSource(
  request: Pick<JobRequest, 'source'>,
  common: { files: FileSpec[] },
  mainPath: string,
  refuse: Refuse,
): void {
  const clash = common.files.some(
    (file) => file.path === mainPath || file.path.startsWith(`${mainPath}/`),
  );
  if (request.source === undefined) {
    if (!clash) refuse('source', `is missing: give source, or a file ${mainPath}`);
    return;
  }
  if (clash) refuse('source', `and files both give ${mainPath}`);
  const source = { content: request.source, encoding: 'utf8' as const };
  const message = contentIssue(source);
  if (message !== null) refuse('source', message);
  common.files.unshift({ ...source, path: mainPath, mode: 0o644 });
}
