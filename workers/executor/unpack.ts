/**
 * Runs mayfly-unpack, which turns what a box left into a directory, or such a directory into nothing. Paths
 * are ours; what lies below them is a tenant's, and only that confined process ever touches it.
 */
import { spawn } from 'node:child_process';
import { chown, mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxFault } from '../../services/contract/faults.js';

/** The work directory of every image, and whose it is in the box. */
const WORK_DIRECTORY = 'box';
const BOX_USER = 1000;
/** A second beyond the program's own limit of CPU time would be a hang. */
const UNPACK_MS_MAX = 120_000;

/** What mayfly-unpack exits with when it is not the archive's doing. */
const EXIT_REFUSED = 2;

/** A layer at `path` with the archive's entries as its work directory. On a fault nothing is left of it. */
export async function unpackLayer(program: string, archiveFd: number, path: string): Promise<void> {
  const work = join(path, WORK_DIRECTORY);
  await mkdir(path, { mode: 0o755 });
  await mkdir(work, { mode: 0o755 });
  await chown(work, BOX_USER, BOX_USER);
  try {
    await run(program, ['unpack', work], archiveFd);
  } catch (fault) {
    await removeLayer(program, path);
    throw fault;
  }
}

export async function removeLayer(program: string, path: string): Promise<void> {
  const work = join(path, WORK_DIRECTORY);
  await run(program, ['remove', work], 'ignore');
  await rmdir(work);
  await rmdir(path);
}

function run(program: string, args: readonly string[], stdin: number | 'ignore'): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: [stdin, 'ignore', 'pipe'],
      env: {},
      timeout: UNPACK_MS_MAX,
      killSignal: 'SIGKILL',
    });
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(0, 500);
    });
    child.once('error', (cause) => {
      reject(
        new SandboxFault({ stage: 'files', detail: `${program}: ${cause.message}` }, { cause }),
      );
    });
    child.once('close', (code, signal) => {
      if (code === 0) {
        resolve();
        return;
      }
      const detail = said.trim() || `mayfly-unpack ended with ${code ?? signal ?? 'nothing'}`;
      reject(new SandboxFault({ stage: 'files', detail, retryable: code !== EXIT_REFUSED }));
    });
  });
}
