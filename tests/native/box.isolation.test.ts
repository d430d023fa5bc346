import { readdirSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { NativeSandbox } from '../../workers/executor/native-sandbox.js';
import { runInBox, startTestSandbox } from '../helpers/boxes.js';
import { programSource } from '../helpers/programs.js';

const factsSchema = z.object({
  namespaces: z.record(z.string(), z.string()),
  uid: z.number(),
  euid: z.number(),
  gid: z.number(),
  groups: z.array(z.number()),
  status: z.record(z.string(), z.string()),
  interfaces: z.array(z.string()),
  hostname: z.string(),
  environment: z.record(z.string(), z.string()),
  processes: z.array(z.number()),
  mountinfo: z.string(),
  cgroup: z.string(),
  descriptors: z.array(z.number()),
  root: z.array(z.string()),
  above: z.array(z.string()),
  cwd: z.string(),
  box: z.array(z.string()),
  shadow: z.string(),
  init_environ: z.string(),
  init_root: z.array(z.string()).nullable(),
});
type Facts = z.infer<typeof factsSchema>;

const NAMESPACES = ['user', 'pid', 'net', 'mnt', 'ipc', 'uts', 'cgroup'];

describe('what a program sees of its box', () => {
  let sandbox: NativeSandbox;
  let boxes: [Facts, Facts];

  async function facts(): Promise<Facts> {
    const argv = ['python3', '-c', programSource('facts.py')];
    const end = await runInBox(sandbox, { argv, env: { A: '1' } });
    expect(end.stderr).toBe('');
    return factsSchema.parse(JSON.parse(end.stdout));
  }

  beforeAll(async () => {
    process.env['MAYFLY_TEST_SECRET'] = 'must not be seen';
    sandbox = await startTestSandbox();
    boxes = await Promise.all([facts(), facts()]);
  });
  afterAll(() => sandbox.stop());

  it.each(NAMESPACES)("has a %s namespace that is neither the host's nor another box's", (name) => {
    const ours = readlinkSync(`/proc/self/ns/${name}`);
    const theirs = boxes.map(({ namespaces }) => namespaces[name]);
    expect(theirs).not.toContain(undefined);
    expect(new Set([ours, ...theirs]).size).toBe(3);
  });

  it('is an ordinary user without a capability in any set', () => {
    const { uid, euid, gid, groups, status } = boxes[0];
    expect([uid, euid, gid]).toEqual([1_000, 1_000, 1_000]);
    expect(groups.filter((group) => group !== 1_000)).toEqual([]);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      expect(status[set], set).toBe('0000000000000000');
    }
  });

  it('can gain no privileges, and runs under a filter of system calls', () => {
    expect(boxes[0].status).toMatchObject({ NoNewPrivs: '1', Seccomp: '2' });
  });

  it('has only the loopback interface', () => {
    expect(boxes[0].interfaces).toEqual(['lo']);
  });

  it('cannot see the name, the environment or the processes of the host', () => {
    const [box] = boxes;
    expect(box.hostname).toBe('box');
    expect(box.hostname).not.toBe(hostname());
    expect(Object.keys(box.environment)).toEqual(
      expect.arrayContaining(['A', 'HOME', 'LANG', 'PATH']),
    );
    expect(Object.keys(box.environment).length).toBeLessThanOrEqual(6);
    expect(JSON.stringify(box)).not.toContain('must not be seen');
    // Its own, and pid 1 where that can be seen at all.
    expect(box.processes.filter((pid) => pid !== 1)).toEqual([2]);
    expect(box.init_environ).not.toContain('PATH');
  });

  it('cannot see files of the host, nor a path of the jail', () => {
    const [box] = boxes;
    const ofImages =
      /^(bin|boot|box|dev|etc|home|lib\w*|media|mnt|opt|proc|root|run|s\w+|tmp|usr|var)$/;
    const onlyHere = readdirSync('/').filter((name) => !ofImages.test(name));
    expect(box.above).toEqual(box.root);
    for (const name of onlyHere) expect(box.root).not.toContain(name);
    expect(box.shadow).toMatch(/^errno (2|13)$/);
    expect(box.mountinfo).not.toMatch(/jail|mayfly|\/var\/lib|layers/);
    expect(box.cwd).toBe('/box');
  });

  it('has a cgroup namespace whose root is its own group', () => {
    const lines = boxes[0].cgroup.trim().split('\n');
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line).toMatch(/^\d+:[^:]*:\/$/);
  });

  it('has no descriptor open but 0, 1 and 2', () => {
    expect(boxes[0].descriptors).toEqual([0, 1, 2]);
  });

  it('does not find what an earlier job wrote', async () => {
    const write = ['bash', '-c', 'echo secret > /box/left; echo secret > /tmp/left; ls /box /tmp'];
    const first = await runInBox(sandbox, { argv: write });
    expect(first.stdout).toContain('left');
    const second = await runInBox(sandbox, { argv: ['ls', '-A', '/box', '/tmp', '/dev/shm'] });
    expect(second.outcome).toBe('exited');
    expect(second.stdout).not.toContain('left');
  });
});
