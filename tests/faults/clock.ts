/** The time of day of one process, which can be set: libfaketime, preloaded. Its monotonic clock goes on. */
import { existsSync, writeFileSync } from 'node:fs';

const LIBRARY = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/faketime/libfaketimeMT.so.1`;

/** The library makes shared memory, and who is killed leaves it behind. */
const IN_PRIVATE = 'mount -t tmpfs shm /dev/shm && exec "$0" "$@"';

export interface Clock {
  /** The command of a process that shall have this clock. */
  readonly of: (command: readonly string[]) => [string, ...string[]];
  /** How far it is from the true time, within a second. */
  set(seconds: number): void;
}

export function createClock(path: string): Clock {
  if (!existsSync(LIBRARY)) throw new Error(`${LIBRARY} is missing: infra/bootstrap --long`);
  const set = (seconds: number): void =>
    writeFileSync(path, `${seconds < 0 ? '' : '+'}${seconds}\n`);
  set(0);
  const settings = [
    `LD_PRELOAD=${LIBRARY}`,
    `FAKETIME_TIMESTAMP_FILE=${path}`,
    'FAKETIME_CACHE_DURATION=1',
    'FAKETIME_DONT_FAKE_MONOTONIC=1',
  ];
  return {
    of: (command) => ['unshare', '--mount', 'sh', '-c', IN_PRIVATE, 'env', ...settings, ...command],
    set,
  };
}
