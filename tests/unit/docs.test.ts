// The documents are in step with the code: what can be run parses, what is linked exists, what is listed is all.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { settings, withSettings } from '../../infra/docs/settings.js';

const root = join(import.meta.dirname, '..', '..');
const pages = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '*.md'],
  {
    cwd: root,
    encoding: 'utf8',
  },
)
  .split('\0')
  .filter((path) => path !== '' && existsSync(join(root, path)));

const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Block {
  readonly where: string;
  readonly language: string;
  readonly text: string;
}

const blocks: Block[] = pages.flatMap((path) => {
  const text = textOf(path);
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map((match) => ({
    where: `${path}:${text.slice(0, match.index).split('\n').length}`,
    language: match[1] ?? '',
    text: match[2] ?? '',
  }));
});

/** As GitHub makes the anchor of a heading. */
function anchorOf(heading: string): string {
  return heading
    .replace(/[`*]/g, '')
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

function anchorsOf(path: string): Set<string> {
  const prose = textOf(path).replace(/^```[\s\S]*?^```$/gm, '');
  return new Set([...prose.matchAll(/^#+ (.+)$/gm)].map((match) => anchorOf(match[1] ?? '')));
}

describe('documents', () => {
  it('link only to what exists, anchors included', () => {
    const broken: string[] = [];
    for (const page of pages) {
      const prose = textOf(page)
        .replace(/^```[\s\S]*?^```$/gm, '')
        .replace(/`[^`\n]*`/g, '');
      for (const [, target = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        const [file = '', anchor] = target.split('#');
        const path = file === '' ? page : join(dirname(page), file);
        const there = existsSync(join(root, path));
        const known =
          anchor === undefined || !path.endsWith('.md') || (there && anchorsOf(path).has(anchor));
        if (!there || !known) broken.push(`${page}: ${target}`);
      }
    }
    expect(broken).toEqual([]);
  });

  it('have shell blocks that a shell understands', () => {
    const shell = blocks.filter(({ language }) => ['sh', 'bash', 'shell'].includes(language));
    expect(shell.length).toBeGreaterThan(5);
    const wrong = shell.flatMap(({ where, text }) => {
      const { status, stderr } = spawnSync('bash', ['-n'], { input: text, encoding: 'utf8' });
      return status === 0 ? [] : [`${where}: ${stderr}`];
    });
    expect(wrong).toEqual([]);
  });

  it('have JSON blocks that are JSON', () => {
    const wrong = blocks
      .filter(({ language }) => language === 'json')
      .flatMap(({ where, text }) => {
        try {
          JSON.parse(text);
          return [];
        } catch (error) {
          return [`${where}: ${String(error)}`];
        }
      });
    expect(wrong).toEqual([]);
  });

  it('list every page of docs somewhere else', () => {
    const all = pages.map((page) => [page, textOf(page)] as const);
    const orphans = pages
      .filter((page) => /^docs\/[^/]+\.md$/.test(page))
      .filter((page) => {
        const name = page.slice('docs/'.length);
        return !all.some(([other, text]) => other !== page && text.includes(name));
      });
    expect(orphans).toEqual([]);
  });
});

describe('settings', () => {
  it('are described, every one', () => {
    expect(
      settings()
        .filter(({ description }) => description === '')
        .map(({ name }) => name),
    ).toEqual([]);
  });

  it('are in docs/operations.md as they are (npm run docs:settings)', () => {
    const page = textOf('docs/operations.md');
    const cells = (text: string): string[] =>
      text.split('\n').map((line) => line.replace(/ +/g, ' ').replace(/-+/g, '-'));
    expect(cells(withSettings(page))).toEqual(cells(page));
  });
});
