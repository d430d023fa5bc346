/**
 * `npm run bench:pipes -- [--json] [--rounds N] [--lines N]`: two programs that answer each other line by line, in boxes joined by
 * pipes and as two plain processes, on the same cores, in turns of the same run.
 *
 * `talk` is the first program's own time from its first line to its last answer, `whole` that of whoever started both, with
 * two boxes or two spawns in it, `cpu` what the kernel says both used. The ratios are of medians.
 */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { resolveLimits } from '../../services/contract/limits.js';
import { runJoined, type Joint, type Member } from '../../workers/executor/joined-boxes.js';
import { checkWritten } from '../../workers/executor/judge/program.js';
import type { Sandbox } from '../../workers/executor/sandbox.js';
import { createOutput } from '../../workers/executor/step-result.js';
import { startTestSandbox } from '../helpers/boxes.js';
import { describeMachine } from './machine.js';
import { Samples } from './samples.js';

const FACTOR = 1.3;

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '9' },
    lines: { type: 'string', default: '100000' },
  },
});
const rounds = Number(options.rounds);
const lines = Number(options.lines);
if (!(rounds >= 1 && rounds <= 1_000 && lines >= 1)) {
  throw new Error('usage: [--json] [--rounds N] [--lines N]');
}

interface Cost {
  readonly talkMs: number;
  readonly wholeMs: number;
  readonly cpuMs: number;
}

type Pinning = readonly [ping: number, pong: number];
type Way = 'plain' | 'boxes' | 'transcript';

const US_PER_MS = 1_000;

/** Not synchronously: the boxes before it are still being closed, and who does not hear of that kills their supervisor. */
async function plain(program: string, [one, other]: Pinning): Promise<Cost> {
  const args = ['pair', String(lines), String(one), String(other)];
  const { stdout } = await promisify(execFile)(program, args);
  const [talk = Number.NaN, whole = Number.NaN, cpu = Number.NaN] = stdout
    .trim()
    .split(' ')
    .map(Number);
  return { talkMs: talk / US_PER_MS, wholeMs: whole / US_PER_MS, cpuMs: cpu / US_PER_MS };
}

const { limits } = resolveLimits({ cpuTimeMs: 60_000, outputBytes: 16 * 1024 * 1024 });

function member(content: Buffer, args: readonly string[]) {
  const output = createOutput();
  const of: Member = {
    box: { image: 'base', diskBytes: limits.diskBytes, files: limits.files },
    files: [{ path: '/box/ping-pong', mode: 0o755, content }],
    step: {
      argv: ['/box/ping-pong', ...args],
      env: {},
      cwd: '/box',
      stdin: Buffer.alloc(0),
      limits,
      truncateOutput: false,
      mergeStderr: false,
    },
    onOutput: output.add,
  };
  return { of, output };
}

async function boxes(
  sandbox: Sandbox,
  content: Buffer,
  [one, other]: Pinning,
  transcript: boolean,
): Promise<Cost> {
  const ping = member(content, ['ping', String(lines), String(one)]);
  const pong = member(content, ['pong', String(other)]);
  const between = (writer: number, reader: number): Joint => ({
    ...{ writer, reader, from: 1, to: 0, held: true },
    onPassed: transcript ? () => undefined : null,
  });
  const run = {
    sandbox,
    members: [ping.of, pong.of],
    joints: [between(0, 1), between(1, 0)],
    signal: new AbortController().signal,
    written: (place: number, end: Parameters<typeof checkWritten>[0]) =>
      checkWritten(end, [ping.of, pong.of][place]?.files ?? []),
  };
  const since = performance.now();
  return await runJoined(run, (ends) => {
    const wholeMs = performance.now() - since;
    const said = ping.output.bytesOf('stderr').toString();
    const failed = ends.find(({ outcome, exitCode }) => outcome !== 'exited' || exitCode !== 0);
    if (failed !== undefined)
      throw new Error(`${failed.outcome} ${failed.exitCode ?? ''}: ${said}`);
    const cpuMs = ends.reduce((sum, { cpuTimeUs }) => sum + cpuTimeUs / US_PER_MS, 0);
    return Promise.resolve({ talkMs: Number(said) / US_PER_MS, wholeMs, cpuMs });
  });
}

class Costs {
  readonly #of = { talkMs: new Samples(), wholeMs: new Samples(), cpuMs: new Samples() };

  add(cost: Cost): void {
    for (const name of ['talkMs', 'wholeMs', 'cpuMs'] as const) this.#of[name].add(cost[name]);
  }

  medians(): Cost {
    const { talkMs, wholeMs, cpuMs } = this.#of;
    return {
      talkMs: talkMs.percentile(0.5),
      wholeMs: wholeMs.percentile(0.5),
      cpuMs: cpuMs.percentile(0.5),
    };
  }
}

async function measure(pinning: Pinning, program: string, sandbox: Sandbox) {
  const content = readFileSync(program);
  const costs = { plain: new Costs(), boxes: new Costs(), transcript: new Costs() };
  // The first of each is not counted.
  for (let round = -1; round < rounds; round += 1) {
    const got: Record<Way, Cost> = {
      plain: await plain(program, pinning),
      boxes: await boxes(sandbox, content, pinning, false),
      transcript: await boxes(sandbox, content, pinning, true),
    };
    if (round < 0) continue;
    for (const way of Object.keys(costs) as Way[]) costs[way].add(got[way]);
  }
  const medians = {
    plain: costs.plain.medians(),
    boxes: costs.boxes.medians(),
    transcript: costs.transcript.medians(),
  };
  const ratio = (way: Way, of: keyof Cost): number => medians[way][of] / medians.plain[of];
  const ratios = {
    talk: ratio('boxes', 'talkMs'),
    whole: ratio('boxes', 'wholeMs'),
    cpu: ratio('boxes', 'cpuMs'),
    talkWithTranscript: ratio('transcript', 'talkMs'),
  };
  return { pinning, ...medians, ratios, holds: ratios.whole <= FACTOR };
}

const scratch = mkdtempSync(join(tmpdir(), 'mayfly-bench-'));
const sandbox = await startTestSandbox({ boxesMax: 8, poolBoxes: 2 });
try {
  const program = join(scratch, 'ping-pong');
  const flags = ['-std=gnu11', '-D_GNU_SOURCE', '-O2', '-static'];
  execFileSync('gcc', [...flags, '-o', program, 'tests/bench/ping-pong.c']);
  const last = availableParallelism() - 1;
  const cores = {
    oneCore: await measure([last, last], program, sandbox),
    twoCores: last === 0 ? null : await measure([last - 1, last], program, sandbox),
  };
  const report = { machine: describeMachine(), lines, rounds, factor: FACTOR, ...cores };
  if (options.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else for (const [name, found] of Object.entries(cores)) print(name, found);
} finally {
  await sandbox.stop();
  rmSync(scratch, { recursive: true });
}

function print(name: string, found: Awaited<ReturnType<typeof measure>> | null): void {
  if (found === null) return;
  console.info(`${name}: CPUs ${found.pinning.join(' and ')}, ${lines} lines, ${rounds} rounds`);
  for (const way of ['plain', 'boxes', 'transcript'] as const) {
    const { talkMs, wholeMs, cpuMs } = found[way];
    const figures = [talkMs, wholeMs, cpuMs].map((ms) => ms.toFixed(0).padStart(6));
    console.info(
      `  ${way.padEnd(10)} talk ${figures.join(' ms, whole ')} ms`.replace(
        /whole( +\d+ ms)$/,
        'CPU$1',
      ),
    );
  }
  const { talk, whole, cpu, talkWithTranscript } = found.ratios;
  console.info(
    `  boxes / plain: talk ${talk.toFixed(2)}, whole ${whole.toFixed(2)}, CPU ${cpu.toFixed(2)}; ` +
      `with a transcript, talk ${talkWithTranscript.toFixed(2)}`,
  );
  console.info(`  whole ≤ ${FACTOR}: ${found.holds ? 'yes' : 'no'}`);
}
