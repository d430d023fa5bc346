/** Requests that want more than a client may have, each with an honest twin that is accepted. */

export interface ApiAttack {
  /** "cannot ..." */
  readonly title: string;
  /** Raw JSON, since some of it is none that JSON.stringify would write. */
  readonly evil: string;
  readonly honest: string;
  /** Statuses that refuse it; default 400. */
  readonly status?: readonly number[];
}

const job = { language: 'bash', source: 'true' };
const json = (more: object): string => JSON.stringify({ ...job, ...more });

/** `field` with a value that is refused, beside one that is not. */
function field(title: string, evil: object, honest: object): ApiAttack {
  return { title: `cannot ${title}`, evil: json(evil), honest: json(honest) };
}

/** As text, in the place of the last value. */
function raw(title: string, evil: string, honest: string): ApiAttack {
  return { title: `cannot ${title}`, evil, honest };
}

const file = (path: string): object => ({ files: [{ path, content: 'x' }] });

const paths: readonly ApiAttack[] = [
  ['climb out of the directory', '../evil'],
  ['climb out from below', 'a/../../evil'],
  ['climb within an absolute path', '/box/../etc/evil'],
  ['write to /etc', '/etc/evil'],
  ['write to /proc', '/proc/self/mem'],
  ['write to /dev', '/dev/shm/evil'],
  ['write to a directory that only starts alike', '/boxes/evil'],
  ['name a file with NUL', 'a\0b'],
  ['name a file with an empty part', 'a//b'],
  ['name a file with a dot part', './a'],
  ['name a file as a directory', 'a/'],
  ['name a file longer than a name may be', 'n'.repeat(256)],
  ['name a file with half a surrogate', 'a\ud800'],
].map(([title = '', path = '']) => field(title, file(path), file('a/b')));

const collects: readonly ApiAttack[] = [
  ['collect from above', '../*'],
  ['collect from /etc', '/etc/*'],
  ['collect through ..', '/box/../etc/passwd'],
  ['collect with NUL', 'a\0*'],
].map(([title = '', pattern = '']) => field(title, { collect: [pattern] }, { collect: ['*'] }));

const directories: readonly ApiAttack[] = ['/', '/etc', '/box/..', '/proc/self/fd/5', 'box'].map(
  (cwd) => field(`start in ${cwd}`, { cwd }, { cwd: '/tmp' }),
);

const strings: readonly ApiAttack[] = [
  field('end an argument with NUL', { args: ['a\0-x'] }, { args: ['a-x'] }),
  field('end an environment value with NUL', { env: { A: 'a\0B=b' } }, { env: { A: 'aB=b' } }),
  field('smuggle a variable in a name', { env: { 'A=B': 'c' } }, { env: { A: 'B=c' } }),
  field('name a variable with NUL', { env: { 'A\0B': 'c' } }, { env: { AB: 'c' } }),
  field('take a language from the prototype', { language: 'constructor' }, {}),
  field('take a language named __proto__', { language: '__proto__' }, {}),
  raw(
    'set a prototype of the request',
    '{"language":"bash","source":"true","__proto__":{"image":"x"}}',
    json({}),
  ),
  raw(
    'set a constructor of the request',
    '{"language":"bash","source":"true","constructor":{"prototype":{}}}',
    json({}),
  ),
  raw(
    'name an image by a path',
    '{"image":"../base","steps":[{"name":"a","argv":["true"]}]}',
    '{"image":"base","steps":[{"name":"a","argv":["true"]}]}',
  ),
  raw(
    'write a log line by the name of a step',
    '{"image":"base","steps":[{"name":"a\\nb","argv":["true"]}]}',
    '{"image":"base","steps":[{"name":"a_b","argv":["true"]}]}',
  ),
];

const numbers: readonly ApiAttack[] = [
  '"5000"',
  '1e999',
  '-1',
  '0',
  '1.5',
  '9007199254740993',
  'true',
  'null',
  '[1000]',
  '{}',
].map((value) =>
  raw(
    `set a limit to ${value}`,
    `{"language":"bash","source":"true","limits":{"cpuTimeMs":${value}}}`,
    '{"language":"bash","source":"true","limits":{"cpuTimeMs":1000}}',
  ),
);

const many = (count: number): object => ({
  files: Array.from({ length: count }, (_unused, index) => ({ path: `f${index}`, content: '' })),
});
const deep = (depth: number): string =>
  `{"language":"bash","source":"true","metadata":{"a":${'['.repeat(depth)}${']'.repeat(depth)}}}`;

const sizes: readonly ApiAttack[] = [
  field('send 10,000 small files', many(10_000), many(100)),
  field(
    'send the same file twice',
    {
      files: [
        { path: 'a', content: '' },
        { path: 'a', content: '' },
      ],
    },
    many(2),
  ),
  raw('nest JSON deeper than a stack', deep(20_000), deep(20)),
  field('keep 5 KiB of metadata', { metadata: { a: 'x'.repeat(5_000) } }, { metadata: { a: 'x' } }),
  field('send arguments of 1 MiB', { args: ['x'.repeat(2 ** 20)] }, { args: ['x'.repeat(1_000)] }),
  {
    ...field('send a body of 40 MiB', { stdin: 'x'.repeat(40 * 2 ** 20) }, { stdin: 'x' }),
    status: [400, 413],
  },
];

export const apiAttacks: readonly ApiAttack[] = [
  ...paths,
  ...collects,
  ...directories,
  ...strings,
  ...numbers,
  ...sizes,
];
