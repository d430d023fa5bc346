/** The yardstick: a small C program that spawns another, so that Node's own cost is not in the figure. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const SOURCE = 'tests/bench/spawn.c';

export interface Spawner {
  /** Milliseconds of one plain posix_spawn of the program, until it has been waited for. */
  measure(): Promise<number>;
  stop(): Promise<void>;
}

export async function startSpawner(program: string): Promise<Spawner> {
  const directory = mkdtempSync(join(tmpdir(), 'mayfly-bench-'));
  const executable = join(directory, 'spawn');
  execFileSync('gcc', ['-O2', '-static', '-o', executable, SOURCE]);
  const child = spawn(executable, [program], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child, 'spawn');
  rmSync(directory, { recursive: true });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async measure() {
      child.stdin.write('\n');
      const { value, done } = await lines.next();
      if (done === true) throw new Error('the spawner ended');
      return Number(value) / 1_000;
    },
    async stop() {
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}
