/** Files of a problem package, which may come from anyone: nothing outside of its folder is read. */
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { CliError } from './terminal.js';

export interface PackageFile {
  /** Within the package, with `/` between the parts. */
  readonly path: string;
  readonly content: Buffer;
}

export interface PackageFolder {
  /** Null: it is not there. */
  read(path: string): Buffer | null;
  /** The names in a folder, sorted; none when it is not there. */
  list(path: string): readonly string[];
  isFolder(path: string): boolean;
  /** The files under a path that have such an ending, folder by folder. */
  walk(path: string, ending: string): readonly string[];
}

function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

export function openPackage(directory: string): PackageFolder {
  const root = realPath(directory);
  if (root === null || !statSync(root).isDirectory()) {
    throw new CliError(`${directory} is not a folder.`);
  }

  /** Where links lead to, as long as it is in the package. */
  function locate(path: string): string | null {
    const found = realPath(join(root ?? '', path));
    if (found !== null && found !== root && !found.startsWith(`${root ?? ''}${sep}`)) {
      throw new CliError(`${path} leads out of the package.`);
    }
    return found;
  }

  function isFolder(path: string): boolean {
    const found = locate(path);
    return found !== null && statSync(found).isDirectory();
  }

  function list(path: string): readonly string[] {
    return isFolder(path) ? readdirSync(locate(path) ?? '').sort() : [];
  }

  function walk(path: string, ending: string, depth = 0): readonly string[] {
    // A link to a folder above would never end.
    if (depth > 16) throw new CliError(`${path} is too deep.`);
    const inside = list(path).map((name) => `${path}/${name}`);
    const files = inside.filter((each) => each.endsWith(ending) && !isFolder(each));
    const folders = inside.filter(isFolder);
    return [...files, ...folders.flatMap((each) => walk(each, ending, depth + 1))];
  }

  return {
    read(path) {
      const found = locate(path);
      return found === null || statSync(found).isDirectory() ? null : readFileSync(found);
    },
    list,
    isFolder,
    walk,
  };
}

/** A path as a part of a package when it lies in it, or null. */
export function pathInside(directory: string, path: string): string | null {
  const inside = relative(realPath(directory) ?? directory, realPath(path) ?? path);
  return inside === '' || inside.startsWith('..') ? null : inside.split(sep).join('/');
}
