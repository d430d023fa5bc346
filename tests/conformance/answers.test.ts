// Behind the integration tests, over what they saw: whatever an operation declares it answered at least
// once, each documented problem came from somewhere, and nothing came that is not documented.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROBLEMS } from '../../services/contract/problems.js';
import { answersDirectory } from '../helpers/answers.js';

let answers: Set<string>;

beforeAll(() => {
  const directory = answersDirectory();
  answers = new Set(
    readdirSync(directory).flatMap((file) =>
      // What is no problem ends with a space.
      readFileSync(join(directory, file), 'utf8').split('\n'),
    ),
  );
});

afterAll(() => {
  rmSync(answersDirectory(), { recursive: true, force: true });
});

describe('what the integration tests saw', () => {
  it('has every documented status and problem code', () => {
    const produced = new Set([...answers].map((line) => line.split(' ').slice(1).join(' ')));
    const documented = Object.entries(PROBLEMS).map(([code, { status }]) => `${status} ${code}`);
    expect(documented.filter((pair) => !produced.has(pair))).toEqual([]);
  });

  it('has every answer that an operation declares', () => {
    const declared = [...answers].filter((line) => line.startsWith('declared '));
    expect(declared.length).toBeGreaterThan(10);
    const missing = declared
      .map((line) => line.slice('declared '.length))
      // A connection that has left HTTP is no answer any more: e2e.attach shows those.
      .filter((pair) => !pair.endsWith(' 101'))
      .filter((pair) => !answers.has(`${pair} `));
    expect(missing).toEqual([]);
  });
});
