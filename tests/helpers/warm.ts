/** Jobs on interpreters that were started ahead of them, and the same jobs on ones that were not. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import type { Box, Sandbox } from '../../workers/executor/sandbox.js';
import { warmImages, type WarmImage } from '../../workers/executor/warm.js';
import { MIB, startTestSandbox, storedImages } from './boxes.js';
import { eventually } from './eventually.js';
import { childrenOf, programOf, readProc } from './processes.js';

/** Kept ready of each language. */
const READY = 1;
const HEARD_MS = 30;
const ATTEMPTS = 5;
const INTERPRETERS = ['python3', 'node'];

export function startWarmSandbox(
  images: readonly WarmImage[] = warmImages(),
): Promise<NativeSandbox> {
  return startTestSandbox({
    poolBoxes: READY,
    images: storedImages().map((image) => ({ ...image, keepReady: image.name === 'base' })),
    warm: { images, bytesMax: 512 * MIB },
  });
}

/** Processes that are blocked in read(2), as an interpreter is that has opened the pipe. */
export function waitingInterpreters(sandbox: NativeSandbox): number[] {
  const inits = childrenOf(sandbox.supervisorPid() ?? 0).flatMap(childrenOf);
  return inits
    .flatMap(childrenOf)
    .filter((pid) => INTERPRETERS.includes(programOf(pid)))
    .filter((pid) => readProc(pid, 'syscall').startsWith('0 '));
}

/**
 * What `run` gives when its interpreter had started. On a busy machine one that waits may not have been seen to do so
 * yet; then the job went the cold way, rightly, and is run again.
 */
export async function onceWarm<T>(
  sandbox: NativeSandbox,
  languages: number,
  run: () => Promise<{ readonly warm: boolean; readonly end: T }>,
): Promise<{ readonly warm: boolean; readonly end: T }> {
  for (let attempt = 1; ; attempt += 1) {
    await allWarm(sandbox, languages);
    const done = await run();
    if (done.warm || attempt === ATTEMPTS) return done;
  }
}

/** All that are kept ready wait, and their supervisor has had time to hear of it. */
export async function allWarm(
  sandbox: NativeSandbox,
  languages = INTERPRETERS.length,
): Promise<void> {
  await eventually(() => waitingInterpreters(sandbox).length === languages * READY, 30_000);
  await sleep(HEARD_MS);
}

/** The same sandbox, which also notes of each step whether it was warm. */
export function noting(sandbox: Sandbox): { readonly sandbox: Sandbox; readonly warm: boolean[] } {
  const warm: boolean[] = [];
  const openBox = async (spec: Parameters<Sandbox['openBox']>[0]): Promise<Box> => {
    const box = await sandbox.openBox(spec);
    const step = box.step.bind(box);
    box.step = async (...request) => {
      const end = await step(...request);
      warm.push(end.warm);
      return end;
    };
    return box;
  };
  return { sandbox: { ...sandbox, openBox }, warm };
}
