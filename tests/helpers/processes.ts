/** What the kernel says of other processes. Nothing of one that is gone. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

export function childrenOf(pid: number): number[] {
  const text = readProc(pid, `task/${pid}/children`).trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

/** Of its command line, not `comm`: Node gives its main thread a name of its own. */
export function programOf(pid: number): string {
  return basename(readProc(pid, 'cmdline').split('\0', 1)[0] ?? '');
}

export function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
