/** Error numbers and signal numbers of the kernel in words. */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** Such as "ENOSPC: no space left on device". */
export function errnoText(errno: number): string {
  const known = getSystemErrorMap().get(-errno);
  return known === undefined ? `errno ${errno}` : `${known[0]}: ${known[1]}`;
}

const SIGNAL_NAMES: ReadonlyMap<number, string> = new Map(
  // SIGIOT and SIGPOLL are second names of SIGABRT and SIGIO; the first name of a number wins.
  Object.entries(constants.signals)
    .reverse()
    .map(([name, number]) => [number, name]),
);
const SIGRTMIN = 34; // as glibc counts: the kernel's 32 and 33 are taken by its threads

export function signalName(signal: number): string {
  const name = SIGNAL_NAMES.get(signal);
  if (name !== undefined) return name;
  return signal >= SIGRTMIN ? `SIGRTMIN+${signal - SIGRTMIN}` : `SIG${signal}`;
}
