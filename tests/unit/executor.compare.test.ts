import { describe, expect, it } from 'vitest';
import { compare, type BuiltIn } from '../../workers/executor/judge/compare.js';

/** In pieces of `size`, so that no boundary is special. */
async function* pieces(text: string | Buffer, size: number): AsyncIterable<Buffer> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size)
    yield await Promise.resolve(bytes.subarray(at, at + size));
}

async function verdict(checker: BuiltIn, output: string | Buffer, answer: string | Buffer) {
  const said = new Set<string>();
  for (const [mine, theirs] of [
    [1, 1],
    [2, 3],
    [65_536, 65_536],
    [1, 7],
  ] as const) {
    const check = await compare(checker, pieces(output, mine), pieces(answer, theirs));
    said.add(check.verdict);
    if (check.verdict === 'wrong_answer') expect(check.message).not.toBe('');
  }
  expect(said.size).toBe(1);
  return [...said][0];
}

const floats = (absolute: number, relative: number): BuiltIn => ({
  kind: 'floats',
  absolute,
  relative,
});
const A = 'accepted';
const W = 'wrong_answer';

describe('built-in checkers', () => {
  it.each<[BuiltIn, string, string, string]>([
    [{ kind: 'exact' }, 'a\n', 'a\n', A],
    [{ kind: 'exact' }, '', '', A],
    [{ kind: 'exact' }, 'a', 'a\n', W],
    [{ kind: 'exact' }, 'a\n', 'a', W],
    [{ kind: 'exact' }, 'a b', 'a c', W],
    [{ kind: 'lines' }, 'a  \nb\t\r\n\n \n', 'a\nb', A],
    [{ kind: 'lines' }, 'a\n\nb\n', 'a\n\nb', A],
    [{ kind: 'lines' }, 'a\nb\n', 'a\n\nb\n', W],
    [{ kind: 'lines' }, '\na\n', 'a\n', W],
    [{ kind: 'lines' }, ' a\n', 'a\n', W],
    [{ kind: 'lines' }, 'a  b\n', 'a b\n', W],
    [{ kind: 'lines' }, 'a b c \n', 'a b c', A],
    [{ kind: 'lines' }, '', '\n\n', A],
    [{ kind: 'lines' }, 'a\n', '', W],
    [{ kind: 'lines' }, '', 'a\n', W],
    [{ kind: 'tokens' }, ' 1  2\n\n3', '1 2 3\n', A],
    [{ kind: 'tokens' }, '12 3', '1 23', W],
    [{ kind: 'tokens' }, '1 2', '1 2 3', W],
    [{ kind: 'tokens' }, '1 2 3', '1 2', W],
    [{ kind: 'tokens' }, '', ' \n', A],
    [floats(1e-6, 0), '1.0000001 x', '1 x', A],
    [floats(1e-6, 0), '1.00001', '1', W],
    [floats(0, 1e-6), '1000000.5', '1000000', A],
    [floats(0, 1e-6), '1000002', '1000000', W],
    [floats(1e-9, 1e-6), '1e6', '1000000.5', A],
    [floats(1, 1), 'nan', '1', W],
    [floats(1, 1), 'inf', '1', W],
    [floats(1, 1), '1e999', '1', W],
    [floats(1, 1), '0x1', '1', W],
    [floats(1, 1), '1_000', '1000', W],
    [floats(1, 1), 'NaN', 'NaN', A],
    [floats(0.1, 0), '-0.05', '0', A],
    [floats(0.1, 0), 'yes', 'no', W],
    [{ kind: 'unordered_lines' }, 'b\na\n', 'a\nb\n', A],
    [{ kind: 'unordered_lines' }, 'a\na\nb\n', 'a\nb\nb\n', W],
    [{ kind: 'unordered_lines' }, 'a\n', 'a\na\n', W],
    [{ kind: 'unordered_lines' }, 'a\na\n', 'a\n', W],
  ])('%o: %j for %j is %s', async (checker, output, answer, expected) => {
    expect(await verdict(checker, output, answer)).toBe(expected);
  });

  it('tell bytes apart that are no UTF-8', async () => {
    for (const kind of ['exact', 'lines', 'tokens', 'unordered_lines'] as const) {
      const left = Buffer.from([0x61, 0xff]);
      expect(await verdict({ kind }, left, Buffer.from([0x61, 0xfe]))).toBe(W);
      expect(await verdict({ kind }, left, left)).toBe(A);
    }
  });

  it('compare a line longer than they keep', async () => {
    const long = 'x'.repeat(3_000_000);
    const run = (output: string, answer: string, kind: 'lines' | 'tokens' | 'unordered_lines') =>
      compare({ kind }, pieces(output, 65_536), pieces(answer, 50_000));
    for (const kind of ['lines', 'tokens', 'unordered_lines'] as const) {
      expect((await run(`${long}\n`, long, kind)).verdict).toBe(A);
      const check = await run(`${long}y`, `${long}z`, kind);
      expect(check.verdict).toBe(W);
      expect(check.message.length).toBeLessThan(300);
    }
  });
});
