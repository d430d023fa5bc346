/** Which paths a job may name, and what a relative one means. Lexical: the box resolves links itself. */

/** Absolute paths are allowed under these, in every image. */
const WORK_DIRECTORIES: readonly string[] = ['/box', '/tmp'];

/** What an image has beside them, made by its recipe. */
const IMAGE_WORK_DIRECTORIES: Readonly<Record<string, readonly string[]>> = {
  'python-data': ['/mnt/data'],
};

const ALL_WORK_DIRECTORIES = [...WORK_DIRECTORIES, ...Object.values(IMAGE_WORK_DIRECTORIES).flat()];

export const DEFAULT_CWD = '/box';

const PATH_BYTES_MAX = 4_096; // PATH_MAX
const SEGMENT_BYTES_MAX = 255; // NAME_MAX

function isUnder(path: string, directory: string): boolean {
  return path.startsWith(`${directory}/`);
}

function shapeIssue(path: string): string | null {
  if (path === '') return 'must not be empty';
  if (path.includes('\0')) return 'must not contain NUL';
  if (/\p{Surrogate}/u.test(path)) return 'must be valid UTF-8';
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
    return `must be at most ${PATH_BYTES_MAX} bytes`;
  }
  for (const segment of path.replace(/^\//, '').split('/')) {
    if (segment === '..') return 'must not contain ".."';
    if (segment === '' || segment === '.') {
      return 'must not contain empty or "." segments, nor end with "/"';
    }
    if (Buffer.byteLength(segment) > SEGMENT_BYTES_MAX) {
      return `each part must be at most ${SEGMENT_BYTES_MAX} bytes`;
    }
  }
  return null;
}

/** Why a path that is right by itself lies in no work directory of this image, or null. */
export function imagePathIssue(path: string, image: string): string | null {
  const directories = [...WORK_DIRECTORIES, ...(IMAGE_WORK_DIRECTORIES[image] ?? [])];
  if (directories.some((directory) => path === directory || isUnder(path, directory))) return null;
  return `must be under ${directories.join(' or ')}: the image ${image} has no other work directory`;
}

/** A file of the job, or a pattern of files to collect. */
export function pathIssue(path: string): string | null {
  const issue = shapeIssue(path);
  if (issue !== null) return issue;
  if (path.startsWith('/') && !ALL_WORK_DIRECTORIES.some((directory) => isUnder(path, directory))) {
    return `must be relative, or absolute under ${ALL_WORK_DIRECTORIES.join(' or ')}`;
  }
  return null;
}

/** The working directory: one of the work directories or below one. */
export function cwdIssue(path: string): string | null {
  if (ALL_WORK_DIRECTORIES.includes(path)) return null;
  const issue = shapeIssue(path);
  if (issue !== null) return issue;
  return ALL_WORK_DIRECTORIES.some((directory) => isUnder(path, directory))
    ? null
    : `must be absolute, under ${ALL_WORK_DIRECTORIES.join(' or ')}`;
}

/** A directory that a job names: as its files, or the working directory itself. */
export function directoryIssue(path: string): string | null {
  return path === '.' || ALL_WORK_DIRECTORIES.includes(path) ? null : pathIssue(path);
}

export function absolutePath(path: string, cwd: string): string {
  return path.startsWith('/') ? path : `${cwd}/${path}`;
}
