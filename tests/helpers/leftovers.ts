/**
 * What nobody takes care of any more on this host: processes, control groups, mounts, temporary files, ipc objects. A
 * test notes it before and wants to find nothing more afterwards. What belongs to a supervisor that lives
 * under a living parent, in another run or another Mayfly, is somebody's and not counted.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 20;
const CGROUP_ROOT = '/sys/fs/cgroup';
const CGROUP_NAME = /^mayfly-/;
/** Scratch directories of tests, which remove them by themselves; others may be running just now. */
const OF_TESTS = /^mayfly-(test|redis|state|e2e|start|bench)-/;
/** Ids of boxes begin here. */
const BOX_IDS_MIN = 2 ** 31;
/** Deep enough for a hierarchy, a delegated group and ours. */
const CGROUP_DEPTH_MAX = 4;

export function leftovers(): Set<string> {
  return new Set([
    ...processes(),
    ...controlGroups(),
    ...mounts(),
    ...temporaryFiles(),
    ...ipcObjects(),
  ]);
}

/** Waits until nothing is there that was not there before, and says what is if that does not happen. */
export async function nothingLeft(before: ReadonlySet<string>, limitMs = 10_000): Promise<void> {
  const until = Date.now() + limitMs;
  for (;;) {
    const found = newLeftovers(before);
    if (found.length === 0) return;
    if (Date.now() > until) throw new Error(`left behind:\n${found.join('\n')}`);
    await sleep(POLL_MS);
  }
}

/** What there is now and was not before. */
export function newLeftovers(before: ReadonlySet<string>): string[] {
  return [...leftovers()].filter((name) => !before.has(name));
}

function processes(): string[] {
  const locked = lockedGroups();
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .filter((pid) => isOrphan(pid, locked) && !isZombie(pid))
    .map((pid) => `process ${pid} ${read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim()}`);
}

/** A supervisor or one of its helpers without a parent but us; or a program whose supervisor is gone. */
function isOrphan(pid: string, locked: ReadonlySet<string>): boolean {
  if (/mayfly-supervisor/.test(link(`/proc/${pid}/exe`))) {
    const parent = Number(/\) \S (\d+)/.exec(read(`/proc/${pid}/stat`))?.[1]);
    return parent === 1 || parent === process.pid;
  }
  const group = /\/(mayfly-[^/\n]+)/.exec(read(`/proc/${pid}/cgroup`))?.[1];
  return group !== undefined && !locked.has(group);
}

/** Orphans that pid 1 of the host does not reap are dead all the same. */
function isZombie(pid: string): boolean {
  const state = /\) (\S)/.exec(read(`/proc/${pid}/stat`))?.[1];
  return state === undefined || state === 'Z' || state === 'X';
}

function controlGroups(): string[] {
  const locked = lockedGroups();
  return groupPaths()
    .filter((path) => !locked.has(basename(path)))
    .map((path) => `cgroup ${path}`);
}

/** A supervisor holds a lock on its group in one of the hierarchies for as long as it lives. */
function lockedGroups(): Set<string> {
  const inodes = new Set(
    [...read('/proc/locks').matchAll(/FLOCK .*?:(\d+) 0 EOF/g)].map(([, inode]) => Number(inode)),
  );
  return new Set(
    groupPaths()
      .filter((path) => inodes.has(inodeOf(path)))
      .map((path) => basename(path)),
  );
}

function groupPaths(directory = CGROUP_ROOT, depth = 0): string[] {
  if (depth > CGROUP_DEPTH_MAX) return [];
  return directories(directory).flatMap((name) => {
    const path = join(directory, name);
    return CGROUP_NAME.test(name) ? [path] : groupPaths(path, depth + 1);
  });
}

function inodeOf(path: string): number {
  try {
    return statSync(path).ino;
  } catch {
    // Removed while we were looking.
    return -1;
  }
}

function mounts(): string[] {
  return read('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => /mayfly/.test(line))
    .map((line) => `mount ${line}`);
}

function temporaryFiles(): string[] {
  return ['/dev/shm', '/run', tmpdir()].flatMap((directory) =>
    readdirSync(directory)
      .filter((name) => /^\.?mayfly-/.test(name) && !OF_TESTS.test(name))
      .map((name) => `file ${join(directory, name)}`),
  );
}

/** Of the host's own namespace: those that belong to ids of boxes. Columns as proc_sysvipc(5) has them. */
function ipcObjects(): string[] {
  return ['shm', 'msg', 'sem'].flatMap((kind) => {
    const [head = '', ...rows] = read(`/proc/sysvipc/${kind}`).trim().split('\n');
    const owner = head.trim().split(/\s+/).indexOf('uid');
    return rows
      .map((row) => row.trim().split(/\s+/))
      .filter((columns) => Number(columns[owner]) >= BOX_IDS_MIN)
      .map(([key, id]) => `ipc ${kind} ${key} ${id}`);
  });
}

function directories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    // Removed while we were looking, which is what we hope for.
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The process has ended in the meantime.
    return '';
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // A kernel thread, or a process that has ended.
    return '';
  }
}
