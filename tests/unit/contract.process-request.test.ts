import { describe, expect, it } from 'vitest';
import { parseJobRequest } from '../../services/contract/job-spec.js';
import { PLAN_DEFAULTS } from '../../services/contract/plan.js';

const two = [
  { name: 'a', argv: ['cat'] },
  { name: 'b', argv: ['cat'] },
];
const aToB = { from: { process: 'a' }, to: { process: 'b' } };
const request = (more: object) => ({ image: 'base', processes: two, pipes: [aToB], ...more });

function problems(body: object): string[] {
  const parsed = parseJobRequest(body);
  return parsed.ok ? [] : parsed.issues.map(({ path, message }) => `${path} ${message}`);
}

describe('a job of processes', () => {
  it('has them and their pipes in normal form', () => {
    const parsed = parseJobRequest(
      request({
        limits: { cpuTimeMs: 100 },
        files: [{ path: 'shared', content: 'x' }],
        processes: [
          { ...two[0], files: [{ path: 'own', content: 'y' }], limits: { memoryBytes: 8_388_608 } },
          { ...two[1], env: { A: '1' } },
        ],
        pipes: [
          { ...aToB, transcript: true },
          { from: { process: 'b', descriptor: 3 }, to: { process: 'a', descriptor: 15 } },
        ],
      }),
    );
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
    const { spec } = parsed.job;
    expect(spec).toMatchObject({ image: 'base', language: null, steps: null, judge: null });
    expect(spec.files.map(({ path }) => path)).toEqual(['/box/shared']);
    expect(spec.graph?.pipes).toEqual([
      { from: { process: 0, descriptor: 1 }, to: { process: 1, descriptor: 0 }, transcript: true },
      {
        from: { process: 1, descriptor: 3 },
        to: { process: 0, descriptor: 15 },
        transcript: false,
      },
    ]);
    expect(spec.graph?.processes).toMatchObject([
      {
        name: 'a',
        files: [{ path: '/box/own' }],
        limits: { cpuTimeMs: 100, memoryBytes: 8_388_608 },
      },
      { name: 'b', files: [], env: { A: '1' }, limits: { cpuTimeMs: 100 } },
    ]);
  });

  it('may have no pipes at all', () => {
    expect(problems({ image: 'base', processes: two })).toEqual([]);
  });

  it.each<[string, object]>([
    ['processes must be at least 2 processes', { processes: two.slice(1) }],
    [
      'processes must be at most 4 processes',
      { processes: [1, 2, 3, 4, 5].map((n) => ({ name: `p${n}`, argv: ['cat'] })) },
    ],
    ['processes[1].name is used by an earlier one', { processes: [two[0], two[0]], pipes: [] }],
    ['processes[0].argv[0] must not be empty', { processes: [{ name: 'a', argv: [''] }, two[1]] }],
    ['processes[0].name must be 1 to 64', { processes: [{ name: 'a b', argv: ['x'] }, two[1]] }],
    [
      'processes[1].stdin is the end of a pipe already',
      {
        processes: [two[0], { ...two[1], stdin: '' }],
      },
    ],
    [
      'processes[0].stdin must be base64',
      {
        processes: [{ ...two[0], stdin: '!', stdinEncoding: 'base64' }, two[1]],
      },
    ],
    [
      'processes[1].files[0].path is given twice',
      {
        files: [{ path: 'x', content: '' }],
        processes: [two[0], { ...two[1], files: [{ path: 'x', content: '' }] }],
      },
    ],
    [
      'processes[0].files[0].path must be under /box or /tmp',
      {
        processes: [{ ...two[0], files: [{ path: '/mnt/data/x', content: '' }] }, two[1]],
      },
    ],
    [
      'processes[0].files[0].blob does not go with processes',
      {
        processes: [{ ...two[0], files: [{ path: 'x', blob: '0'.repeat(64) }] }, two[1]],
      },
    ],
    ['files[0].blob does not go with processes', { files: [{ path: 'x', blob: '0'.repeat(64) }] }],
    [
      'processes[0].limits.diskBytes must be below memoryBytes',
      {
        processes: [
          { ...two[0], limits: { memoryBytes: 8_388_608, diskBytes: 8_388_608 } },
          two[1],
        ],
      },
    ],
    [
      'pipes[0].from.process must be the name of a process',
      {
        pipes: [{ from: { process: 'c' }, to: { process: 'b' } }],
      },
    ],
    [
      'pipes[0].to.process must be another process',
      {
        pipes: [{ from: { process: 'a' }, to: { process: 'a' } }],
      },
    ],
    ['pipes[1].from.descriptor is an end of an earlier pipe', { pipes: [aToB, aToB] }],
    [
      'pipes[1].to.descriptor is an end of an earlier pipe',
      {
        pipes: [
          { from: { process: 'a', descriptor: 5 }, to: { process: 'b', descriptor: 5 } },
          { from: { process: 'b' }, to: { process: 'a', descriptor: 5 } },
        ],
      },
    ],
    [
      'pipes[0].from.descriptor must be 1 to 15',
      {
        pipes: [{ from: { process: 'a', descriptor: 0 }, to: { process: 'b' } }],
      },
    ],
    [
      'pipes[0].to.descriptor must be 0, or 3 to 15',
      {
        pipes: [{ from: { process: 'a' }, to: { process: 'b', descriptor: 16 } }],
      },
    ],
    [
      'pipes[0].transcript goes with standard output',
      {
        pipes: [{ from: { process: 'a', descriptor: 2 }, to: { process: 'b' }, transcript: true }],
      },
    ],
    [
      'pipes must be at most 8 ends at one process',
      {
        pipes: [3, 4, 5, 6, 7, 8, 9, 10, 11].map((descriptor) => ({
          from: { process: 'a', descriptor },
          to: { process: 'b', descriptor },
        })),
      },
    ],
    ['pipes goes with processes', { processes: undefined, steps: [{ name: 'x', argv: ['x'] }] }],
    ['processes goes without steps', { steps: [{ name: 'x', argv: ['x'] }] }],
    ['processes goes with image, not with language', { image: undefined, language: 'c' }],
    ['image is missing: processes need an image', { image: undefined }],
    ['stdin goes with language; processes have their own', { stdin: '' }],
    ['collect does not go with processes', { collect: ['x'] }],
    ['mergeStderr does not go with processes', { mergeStderr: true }],
    ['interactive does not go with processes', { interactive: true }],
    ['tests goes with language', { tests: [{}] }],
    [
      'processes[0].argv args and env must be at most',
      {
        processes: [{ name: 'a', argv: ['x', 'y'.repeat(100_000)] }, two[1]],
      },
    ],
  ])('is refused: %s', (message, more) => {
    expect(problems(request(more)).join('\n')).toContain(message);
  });

  it("is held to the tenant's plan, process by process", () => {
    const body = request({ processes: [two[0], { ...two[1], limits: { cpus: 2 } }] });
    const parsed = parseJobRequest(body, { ...PLAN_DEFAULTS, limitMaxima: { cpus: 1 } });
    expect(parsed.ok ? [] : parsed.issues).toMatchObject([{ path: 'processes[1].limits.cpus' }]);
  });
});
