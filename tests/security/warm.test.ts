/** Interpreters that were started ahead of their jobs: nothing is shared, and nothing is left of one for the next. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { warmImages, type WarmImage } from '../../workers/executor/warm.js';
import { MIB } from '../helpers/boxes.js';
import { runJob } from '../helpers/languages.js';
import { noting, onceWarm, startWarmSandbox } from '../helpers/warm.js';

const SECRETS = {
  python: 'import random; print(hash("x"), random.random(), id(object()))',
  // Node itself is not relocatable: what it uses is.
  javascript:
    'const maps = require("fs").readFileSync("/proc/self/maps", "utf8").split("\\n");\n' +
    'const at = (name) => maps.find((line) => line.includes(name)).split("-")[0];\n' +
    'console.log(Math.random(), at("[heap]"), at("libc.so"), at("[stack]"))',
} as const;
const LANGUAGES = Object.keys(SECRETS) as (keyof typeof SECRETS)[];

describe('a started interpreter', () => {
  let sandbox: NativeSandbox;
  beforeAll(async () => {
    sandbox = await startWarmSandbox();
  });
  afterAll(() => sandbox.stop());

  async function warm(language: string, source: string): Promise<string> {
    const done = await onceWarm(sandbox, 2, async () => {
      const noted = noting(sandbox);
      const { stdout } = await runJob(noted.sandbox, { language, source });
      return { end: stdout, warm: noted.warm[0] === true };
    });
    expect(done.warm).toBe(true);
    return done.end;
  }

  it.each(LANGUAGES)(
    'cannot be guessed from another: seeds and addresses of %s',
    async (language) => {
      const [one, other] = [
        await warm(language, SECRETS[language]),
        await warm(language, SECRETS[language]),
      ];
      for (const [at, secret] of one.trim().split(' ').entries()) {
        expect(secret).not.toBe(other.trim().split(' ')[at]);
      }
    },
  );

  it('cannot be guessed from another: where two are forks of one, they can', async () => {
    const forks =
      'import os\nfor i in range(2):\n    if os.fork() == 0: print(hash("x"), id(object()), flush=True); os._exit(0)\n    os.wait()';
    const [one, other] = (await warm('python', forks)).trim().split('\n');
    expect(one).toBe(other);
  });

  it('cannot leave anything to the next job', async () => {
    const leave =
      'import os, sys, builtins, subprocess\nbuiltins.print = None\nfor d in ("/box", "/tmp", "/dev/shm"): open(d + "/left", "w").write("x")\nsubprocess.Popen(["sleep", "1000"], start_new_session=True)\nsys.stdout.write("left\\n")';
    const look =
      'import os; print([d for d in ("/box", "/tmp", "/dev/shm") if os.path.exists(d + "/left")], sum(n.isdigit() for n in os.listdir("/proc")))';
    expect(await warm('python', leave)).toBe('left\n');
    expect(await warm('python', look)).toBe('[] 1\n');
  });

  it('cannot leave anything to the next job: in one box, it can', async () => {
    const python = warmImages().find(({ name }) => name === 'python') as WarmImage;
    const box = await sandbox.openBox({ image: 'base', diskBytes: 64 * MIB, files: 4_096 });
    const step = { ...python.step, argv: ['bash', '-c', 'ls /tmp; echo > /tmp/left'] };
    const said: string[] = [];
    for (let run = 0; run < 2; run += 1)
      await box.step(step, (_, chunk) => said.push(chunk.toString()));
    await box.close();
    expect(said.join('')).toBe('left\n');
  });
});
