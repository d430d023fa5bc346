/** Two boxes that are joined by pipes: nothing but bytes gets from one to the other, and neither holds the other's slot. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attackProgram, createRange, type Range, type Weakness } from '../helpers/attacks.js';
import { openBox, stepOf } from '../helpers/boxes.js';
import { eventually } from '../helpers/eventually.js';
import { leftovers, nothingLeft } from '../helpers/leftovers.js';
import type { Pipe, Sandbox, StepEnd } from '../../workers/executor/sandbox.js';
import type { LimitsRequest } from '../../services/contract/limits.js';

const HARM = /^harm: /m;
const HELD = /^held: /m;

const pipe = (descriptor: number): Pipe => ({
  from: descriptor,
  to: descriptor,
  held: true,
  onPassed: null,
});

interface Side {
  readonly argv: readonly string[];
  readonly limits?: LimitsRequest;
}

interface Ended {
  readonly end: StepEnd;
  readonly said: string;
}

/** The attacker begins when its peer has said that it is ready, and the peer is stopped when it has ended. */
async function joined(sandbox: Sandbox, peer: Side, attacker: Side): Promise<Ended> {
  const boxes = [await openBox(sandbox), await openBox(sandbox)] as const;
  const [theirs, own] = boxes;
  const files = [{ path: '/box/attacks', mode: 0o755, content: attackProgram() }];
  try {
    for (const box of boxes) await box.put(files);
    theirs.pipeTo(own, pipe(3));
    own.pipeTo(theirs, pipe(4));
    let ready = '';
    theirs.follow();
    const ending = theirs.step(stepOf(peer), (_stream, chunk) => (ready += chunk.toString()));
    await eventually(() => ready !== '');
    if (ready !== 'ready\n') throw new Error(`the peer said: ${ready}`);
    let said = '';
    const end = await own.step(stepOf(attacker), (_stream, chunk) => (said += chunk.toString()));
    theirs.cancel();
    await ending;
    return { end, said };
  } finally {
    await Promise.all(boxes.map((box) => box.close()));
  }
}

const attack = (...argv: string[]): Side => ({
  argv: ['/box/attacks', ...argv],
  limits: { processes: 16, openFiles: 1_024 },
});

describe('joined boxes', () => {
  const before = leftovers();
  let range: Range;
  beforeAll(() => {
    range = createRange();
  });
  afterAll(async () => {
    await range.stop();
    await nothingLeft(before);
  });

  it.each<[string, readonly string[], readonly string[], readonly Weakness[]]>([
    ['by a port', ['victim_listen', '21986'], ['reach', '127.0.0.1', '21986'], ['network']],
    ['by an abstract socket', ['victim_listen', '@joined'], ['reach', '@joined'], ['network']],
    ['by seeing its processes', ['victim_process'], ['see_process'], ['pid']],
    ['by a signal', ['victim_process'], ['signal_process'], ['ids', 'pid']],
    [
      'by a file',
      ['victim_file', '/dev/shm/secret'],
      ['open_path', '/dev/shm/secret', 'r'],
      ['shared'],
    ],
  ])('cannot reach each other but by their pipes: %s', async (_how, peer, own, control) => {
    const weak = await joined(await range.sandbox(control), attack(...peer), attack(...own));
    expect(weak.said, 'the control run').toMatch(HARM);
    const real = await joined(await range.sandbox([]), attack(...peer), attack(...own));
    expect(real.said).toMatch(HELD);
    expect(real.said).not.toMatch(HARM);
  });

  it('cannot send each other a descriptor', async () => {
    // The same attempt on a socket, for which it works, and on the pipe.
    const send = `
import array, os, socket
def attempt(fd):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0]))]
    try:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=os.dup(fd))
        return one.sendmsg([b'x'], rights) == 1
    except OSError:
        return False
mine, theirs = socket.socketpair()
print('control', attempt(mine.fileno()), 'pipe', attempt(4))
`;
    const sandbox = await range.sandbox([]);
    const { said } = await joined(sandbox, attack('victim_process'), {
      argv: ['python3', '-c', send],
    });
    expect(said).toBe('control True pipe False\n');
  });

  it('cannot keep a slot by filling a pipe that nobody reads', async () => {
    const fill = ['bash', '-c', 'exec yes >&4'];
    const limits = { wallTimeMs: 1_000 };
    const sleeper = { argv: ['bash', '-c', 'echo ready; exec sleep 60'] };
    const settled = async (weaknesses: readonly Weakness[]) => {
      const sandbox = await range.sandbox(weaknesses);
      const late = new Promise<'still there'>((resolve) =>
        setTimeout(() => resolve('still there'), 3_000),
      );
      const run = joined(sandbox, sleeper, { argv: fill, limits });
      run.catch(() => undefined);
      const first = await Promise.race([run, late]);
      return first === 'still there' ? first : first.end.outcome;
    };
    expect(await settled([])).toBe('wall_limit');
    // Last: the weak sandbox is stopped with what still runs in it.
    expect(await settled(['limits']), 'the control run').toBe('still there');
  });

  it('cannot keep the pipe from telling that they have ended', async () => {
    // Opened anew both ways, and held by a child that outlives its parent.
    const hold = 'exec 5</proc/self/fd/4 6>/proc/self/fd/4; (trap "" HUP TERM; sleep 60) & exit 3';
    const limits = { wallTimeMs: 2_000 };
    const told = async (weaknesses: readonly Weakness[]): Promise<string> => {
      const sandbox = await range.sandbox(weaknesses);
      const reader = await openBox(sandbox);
      const writer = await openBox(sandbox);
      try {
        writer.pipeTo(reader, { ...pipe(4), to: 0 });
        const argv = ['bash', '-c', 'cat; exit 7'];
        const reading = reader.step(stepOf({ argv, limits }), () => undefined);
        const written = await writer.step(stepOf({ argv: ['bash', '-c', hold] }), () => undefined);
        const { outcome, exitCode } = await reading;
        return `${written.exitCode ?? ''} ${outcome} ${exitCode ?? ''}`;
      } finally {
        await Promise.all([reader.close(), writer.close()]);
      }
    };
    expect(await told(['leftovers']), 'the control run').toBe('3 wall_limit ');
    expect(await told([])).toBe('3 exited 7');
  });
});
