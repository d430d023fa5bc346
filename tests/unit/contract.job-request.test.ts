import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REQUEST_CAPS } from '../../services/contract/job-request.js';
import { jobSpecSchema, parseJobRequest } from '../../services/contract/job-spec.js';

const python = { language: 'python', source: 'print(1)' };
const steps = { image: 'base', steps: [{ name: 'run', argv: ['/bin/true'] }] };
const file = (path: string, more: object = {}) => ({ path, content: 'x', ...more });

function paths(body: unknown): string[] {
  const parsed = parseJobRequest(body);
  return parsed.ok ? [] : parsed.issues.map(({ path }) => path);
}

function messages(body: unknown): string {
  const parsed = parseJobRequest(body);
  return parsed.ok ? '' : parsed.issues.map(({ message }) => message).join('; ');
}

function spec(body: object) {
  const parsed = parseJobRequest(body);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  expect(jobSpecSchema.safeParse(parsed.job.spec).success).toBe(true);
  return parsed.job.spec;
}

describe('a refusal names the field', () => {
  it.each<[string, unknown, string]>([
    ['no object', 5, ''],
    ['null', null, ''],
    ['an empty body', {}, 'language'],
    ['an unknown language', { language: 'cobol', source: 'x' }, 'language'],
    ['a language that is no text', { language: 1, source: 'x' }, 'language'],
    ['a name every object has', { language: 'constructor', source: 'x' }, 'language'],
    ['a missing source', { language: 'python' }, 'source'],
    ['files without the main one', { language: 'c', files: [file('util.c')] }, 'source'],
    ['source and main file', { ...python, files: [file('main.py')] }, 'source'],
    ['source and main file, absolute', { ...python, files: [file('/box/main.py')] }, 'source'],
    ['half a surrogate pair', { ...python, source: '\ud800' }, 'source'],
    ['an empty path', { ...python, files: [file('')] }, 'files[0].path'],
    ['a path with ..', { ...python, files: [file('a/../b')] }, 'files[0].path'],
    ['.. at the end', { ...python, files: [file('a/..')] }, 'files[0].path'],
    ['a path with .', { ...python, files: [file('./a')] }, 'files[0].path'],
    ['an empty segment', { ...python, files: [file('a//b')] }, 'files[0].path'],
    ['a directory', { ...python, files: [file('a/')] }, 'files[0].path'],
    ['an absolute path', { ...python, files: [file('a'), file('/etc/passwd')] }, 'files[1].path'],
    ['the root', { ...python, files: [file('/')] }, 'files[0].path'],
    ['a work directory itself', { ...python, files: [file('/tmp')] }, 'files[0].path'],
    ['a neighbour of one', { ...python, files: [file('/tmpx/a')] }, 'files[0].path'],
    ['NUL in a path', { ...python, files: [file('a\0b')] }, 'files[0].path'],
    ['a long name', { ...python, files: [file('a'.repeat(256))] }, 'files[0].path'],
    ['a long path', { ...python, files: [file('ab/'.repeat(1_400) + 'x')] }, 'files[0].path'],
    ['a file twice', { ...python, files: [file('a'), file('/box/a')] }, 'files[1].path'],
    ['a file as a directory', { ...python, files: [file('a'), file('a/b')] }, 'files[1].path'],
    ['a directory as a file', { ...python, files: [file('a/b'), file('a')] }, 'files[1].path'],
    ['a mode', { ...python, files: [file('a', { mode: '4755' })] }, 'files[0].mode'],
    ['an encoding', { ...python, files: [file('a', { encoding: 'hex' })] }, 'files[0].encoding'],
    ['no base64', { ...python, files: [file('a', { encoding: 'base64' })] }, 'files[0].content'],
    ['a terminal alone', { ...python, terminal: { rows: 1, columns: 1 } }, 'terminal'],
    ['idle time alone', { ...python, idleTimeMs: 5_000 }, 'idleTimeMs'],
    [
      'stdin that is a blob, typed',
      { ...python, interactive: true, stdin: { blob: 'f'.repeat(64) } },
      'stdin',
    ],
    [
      'too many files',
      { ...python, files: Array.from({ length: 1_025 }, (_, i) => file(`f${i}`)) },
      'files',
    ],
    ['stdin encoding', { ...python, stdin: 'x', stdinEncoding: 'utf16' }, 'stdinEncoding'],
    ['stdin base64', { ...python, stdin: 'QR==', stdinEncoding: 'base64' }, 'stdin'],
    ['NUL in args', { ...python, args: ['ok', '\0'] }, 'args[1]'],
    ['NUL in env', { ...python, env: { A: '\0' } }, 'env.A'],
    ['an env name', { ...python, env: { '1A': 'x' } }, 'env.1A'],
    ['= in an env name', { ...python, env: { 'A=B': 'x' } }, 'env.A=B'],
    ['too much of args', { ...python, args: ['x'.repeat(REQUEST_CAPS.argvEnvBytes)] }, 'args'],
    ['cwd relative', { ...python, cwd: 'sub' }, 'cwd'],
    ['cwd elsewhere', { ...python, cwd: '/etc' }, 'cwd'],
    ['cwd with ..', { ...python, cwd: '/box/../etc' }, 'cwd'],
    ['limit zero', { ...python, limits: { wallTimeMs: 0 } }, 'limits.wallTimeMs'],
    ['limit too high', { ...python, limits: { processes: 513 } }, 'limits.processes'],
    ['an unknown limit', { ...python, limits: { network: 1 } }, 'limits.network'],
    [
      'disk as memory',
      { ...python, limits: { memoryBytes: 2 ** 26, diskBytes: 2 ** 26 } },
      'limits.diskBytes',
    ],
    [
      'compile limit',
      { ...python, language: 'c', compile: { limits: { cpus: 9 } } },
      'compile.limits.cpus',
    ],
    [
      'compile disk',
      { ...python, language: 'c', compile: { limits: { diskBytes: 2 ** 30 } } },
      'compile.limits.diskBytes',
    ],
    ['compile of python', { ...python, compile: {} }, 'compile'],
    ['onOutputLimit', { ...python, onOutputLimit: 'stop' }, 'onOutputLimit'],
    ['mergeStderr', { ...python, mergeStderr: 'yes' }, 'mergeStderr'],
    ['collect elsewhere', { ...python, collect: ['/etc/*'] }, 'collect[0]'],
    ['collect with ..', { ...python, collect: ['../*'] }, 'collect[0]'],
    ['priority', { ...python, priority: 10 }, 'priority'],
    ['a fraction of priority', { ...python, priority: 1.5 }, 'priority'],
    ['metadata too large', { ...python, metadata: { a: 'x'.repeat(4_096) } }, 'metadata'],
    ['metadata that is no object', { ...python, metadata: [1] }, 'metadata'],
    ['a field of a later version', { ...python, tests: [] }, 'tests'],
    ['any other field', { ...python, 'x y': 1 }, 'x y'],
    ['steps without image', { steps: steps.steps }, 'image'],
    ['image without steps', { image: 'base' }, 'steps'],
    ['no steps', { image: 'base', steps: [] }, 'steps'],
    ['language and steps', { ...python, ...steps }, 'steps'],
    ['language and image', { ...python, image: 'base' }, 'image'],
    ['an image name', { ...steps, image: '../base' }, 'image'],
    ['source with steps', { ...steps, source: 'x' }, 'source'],
    ['stdin with steps', { ...steps, stdin: 'x' }, 'stdin'],
    ['no argv', { image: 'base', steps: [{ name: 'a', argv: [] }] }, 'steps[0].argv'],
    ['an empty command', { image: 'base', steps: [{ name: 'a', argv: [''] }] }, 'steps[0].argv[0]'],
    ['a step name', { image: 'base', steps: [{ name: 'a b', argv: ['x'] }] }, 'steps[0].name'],
    ['a step name twice', { ...steps, steps: [...steps.steps, ...steps.steps] }, 'steps[1].name'],
    [
      'a step disk',
      { image: 'base', steps: [{ name: 'a', argv: ['x'], limits: { diskBytes: 2 ** 30 } }] },
      'steps[0].limits.diskBytes',
    ],
  ])('%s', (_what, body, path) => {
    expect(paths(body)).toContain(path);
    expect(messages(body)).not.toBe('');
  });

  it('and what is allowed', () => {
    expect(messages({ language: 'cobol', source: '' })).toMatch(
      /^must be one of python, c, cpp, .*, java, go, rust, /,
    );
    expect(messages({ ...python, limits: { cpuTimeMs: 0 } })).toBe('must be from 1 to 60000 ms');
  });

  it('with a bounded number of issues of bounded length, whatever was sent', () => {
    const body = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`${i}`.repeat(500), 1]));
    const parsed = parseJobRequest(body);
    expect(parsed.ok).toBe(false);
    if (parsed.ok) return;
    expect(parsed.issues.length).toBeLessThanOrEqual(32);
    for (const { path } of parsed.issues) expect(path.length).toBeLessThan(210);
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.object({ maxDepth: 3 }), fc.jsonValue(), (more, any) => {
        expect(parseJobRequest(any).ok).toBe(false);
        parseJobRequest({ ...python, ...more });
      }),
    );
  });
});

describe('an accepted job', () => {
  it('has its source as the main file, and everything filled in', () => {
    expect(spec(python)).toMatchObject({
      language: 'python',
      image: 'base',
      cwd: '/box',
      files: [{ path: '/box/main.py', content: 'print(1)', encoding: 'utf8', mode: 0o644 }],
      stdin: { content: '', encoding: 'utf8' },
      compile: null,
      steps: null,
      onOutputLimit: 'kill',
      mergeStderr: false,
    });
  });

  it('resolves relative paths in its working directory', () => {
    const { files, collect } = spec({
      ...python,
      cwd: '/tmp/work',
      files: [
        file('data/a', { mode: '755' }),
        file('/box/b', { content: 'AA==', encoding: 'base64' }),
      ],
      collect: ['out/**/*.json', '/tmp/x'],
    });
    expect(files.map(({ path }) => path)).toEqual([
      '/tmp/work/main.py',
      '/tmp/work/data/a',
      '/box/b',
    ]);
    expect(files[1]?.mode).toBe(0o755);
    expect(collect).toEqual(['/tmp/work/out/**/*.json', '/tmp/x']);
  });

  it('may bring its main file among the files', () => {
    expect(spec({ language: 'c', files: [file('main.c')] }).files).toHaveLength(1);
  });

  it('gives each step its own limits over those of the job', () => {
    const { steps: made } = spec({
      image: 'base',
      limits: { cpuTimeMs: 100, processes: 3 },
      steps: [
        { name: 'a', argv: ['x'] },
        { name: 'b', argv: ['y'], limits: { processes: 5 } },
      ],
    });
    expect(made?.map(({ limits }) => [limits.cpuTimeMs, limits.processes])).toEqual([
      [100, 3],
      [100, 5],
    ]);
  });

  it('carries metadata as given, names of prototypes included', () => {
    const body: unknown = JSON.parse(
      '{"language":"python","source":"","metadata":{"constructor":{"a":null}}}',
    );
    const parsed = parseJobRequest(body);
    expect(parsed.ok && parsed.job.metadata).toEqual({ constructor: { a: null } });
    expect(parsed.ok && parsed.job.priority).toBe(5);
  });

  it('cannot reach the prototypes of this process', () => {
    const keys = '{"__proto__":{"polluted":1},"ok":1}';
    const body: unknown = JSON.parse(`{"language":"python","source":"","metadata":${keys}}`);
    const parsed = parseJobRequest(body);
    expect(parsed.ok && Object.getPrototypeOf(parsed.job.metadata)).toBe(Object.prototype);
    expect(parsed.ok && parsed.job.metadata.ok).toBe(1);
    expect(paths(JSON.parse('{"language":"python","source":"","__proto__":{"a":1}}'))).toEqual([
      '__proto__',
    ]);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  it('may have NUL in what it reads, but not in what the kernel takes as text', () => {
    expect(spec({ ...python, stdin: 'a\0b' }).stdin.content).toBe('a\0b');
  });
});
