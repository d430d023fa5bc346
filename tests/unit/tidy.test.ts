// The rules of the repository that no linter knows: what may be imported where, and what a file
// must not contain. They read the files as git sees them, untracked ones included.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');

const files = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
  {
    cwd: root,
    encoding: 'utf8',
  },
)
  .split('\0')
  // Inputs of the fuzzers are bytes, also where they look like text.
  .filter((path) => !path.startsWith('native/fuzz/corpus/'))
  .filter((path) => path !== '' && existsSync(join(root, path)))
  .filter((path) => statSync(join(root, path)).isFile());

const generated = new Set(['package-lock.json', 'infra/images/base/packages.lock', 'LICENSE']);
const text = new Map(
  files
    .map((path) => [path, readFileSync(join(root, path))] as const)
    .filter(([, content]) => !content.includes(0))
    .map(([path, content]) => [path, content.toString('utf8')] as const),
);

const sources = [...text.keys()].filter((path) => /^(services|workers|infra)\/.*\.ts$/.test(path));

/** Paths of the given files whose text matches the pattern, sorted. */
function matching(paths: Iterable<string>, pattern: RegExp): string[] {
  return [...paths].filter((path) => pattern.test(text.get(path) ?? '')).sort();
}

/** Static, re-exporting, dynamic and CommonJS imports of a package. */
function importing(name: string): string[] {
  const specifier = `['"]${name}(/[^'"]*)?['"]`;
  return matching(
    sources,
    new RegExp(`(from\\s+|import\\s+|import\\s*\\(\\s*|require\\s*\\(\\s*)${specifier}`),
  );
}

describe('walls', () => {
  it('koffi is imported by one file, the binding in workers/executor', () => {
    const importers = importing('koffi');
    expect(importers.length).toBeLessThanOrEqual(1);
    expect(importers.filter((path) => !path.startsWith('workers/executor/'))).toEqual([]);
  });

  it('bullmq is imported by the worker and by what delivers to it only', () => {
    expect(
      importing('bullmq').filter(
        (path) => !/^services\/platform\/(task-queue|scripts\/deliver)\.ts$/.test(path),
      ),
    ).toEqual([]);
  });

  it('express is imported in services/api only', () => {
    expect(importing('express').filter((path) => !path.startsWith('services/api/'))).toEqual([]);
  });

  it('the environment is read in main.ts only', () => {
    const readers = matching(sources, /\bprocess\.env\b|\benv\b[^;]*from 'node:process'/);
    expect(readers.filter((path) => basename(path) !== 'main.ts')).toEqual([]);
  });

  it('services and workers never import each other', () => {
    const api = sources.filter((path) => path.startsWith('services/'));
    const executor = sources.filter((path) => path.startsWith('workers/'));
    expect(matching(api, /from '[^']*workers\//)).toEqual([]);
    expect(matching(executor, /from '[^']*services\/api\//)).toEqual([]);
  });
});

describe('files', () => {
  it('hold no markers of unfinished work', () => {
    const marker = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`);
    expect(matching(text.keys(), marker).filter((path) => !generated.has(path))).toEqual([]);
  });

  it('switch no check off for a whole file, and no test', () => {
    const typescript = [...text.keys()].filter((path) => path.endsWith('.ts'));
    const tests = typescript.filter((path) => path.startsWith('tests/'));
    expect(matching(typescript, /@ts-(ignore|nocheck)|\bas any\b/)).toEqual([]);
    expect(matching(tests, /\b(it|test|describe)\.(skip|only|todo)\b/)).toEqual([]);
  });

  it('end their lines with LF, without white space before it, and their last line too', () => {
    const checked = [...text.keys()].filter((path) => !generated.has(path));
    expect(matching(checked, /\r/)).toEqual([]);
    expect(matching(checked, /[ \t]+$/m)).toEqual([]);
    expect(matching(checked, /[^\n]$/)).toEqual([]);
  });

  it('are named in kebab-case where they are TypeScript, and are nobody’s junk drawer', () => {
    const names = sources.map((path) => basename(path, '.ts'));
    expect(names.filter((name) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.d)?$/.test(name))).toEqual([]);
    expect(names.filter((name) => ['index', 'utils', 'helpers', 'common'].includes(name))).toEqual(
      [],
    );
  });
});

describe('documents', () => {
  it('every decision is listed in docs/adr/README.md', () => {
    const decisions = [...text.keys()].filter((path) => /^docs\/adr\/\d{4}-.*\.md$/.test(path));
    const index = text.get('docs/adr/README.md') ?? '';
    expect(decisions.filter((path) => !index.includes(basename(path)))).toEqual([]);
  });

  it('every npm script that is named in a document exists', () => {
    const manifest = JSON.parse(text.get('package.json') ?? '{}') as {
      scripts: Record<string, string>;
    };
    const documents = [...text.keys()].filter((path) => path.endsWith('.md'));
    const named = documents.flatMap((path) =>
      [...(text.get(path) ?? '').matchAll(/npm run ([a-z0-9:-]+)/g)].map((match) => match[1] ?? ''),
    );
    expect(named.filter((name) => !(name in manifest.scripts))).toEqual([]);
  });

  it('the lock of an image names every package once, with its hash', () => {
    const lock = (text.get('infra/images/base/packages.lock') ?? '').trim().split('\n');
    expect(lock[0]).toMatch(/^# sha256:[0-9a-f]{64}$/);
    const lines = lock.slice(1);
    // Debian's and npm's.
    const hash = /^\S+ \S+ ([0-9a-f]{64}|sha512-[A-Za-z0-9+/]{86}==)$/;
    expect(lines.filter((line) => !hash.test(line))).toEqual([]);
    expect(new Set(lines.map((line) => line.split(' ')[0])).size).toBe(lines.length);
  });
});
