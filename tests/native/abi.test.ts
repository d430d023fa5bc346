import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OUTCOME_NAMES } from '../../services/contract/outcomes.js';
import { nativeLibrary } from '../helpers/boxes.js';

describe('the structs on both sides of the boundary', () => {
  let scratch: string;
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'mayfly-test-abi-'));
  });
  afterAll(() => {
    rmSync(scratch, { recursive: true });
  });

  it('have the same size and the same offset of every field', () => {
    const program = join(scratch, 'print-abi');
    execFileSync('cc', ['-Inative/include', '-o', program, 'native/tests/print-abi.c']);
    const theirs: unknown = JSON.parse(execFileSync(program, { encoding: 'utf8' }));
    expect(nativeLibrary().layout()).toEqual(theirs);
  });
});

describe('the words of the library', () => {
  it('name every outcome of the contract, in its order, and no other', () => {
    const library = nativeLibrary();
    const named = OUTCOME_NAMES.map((_name, index) => library.outcomeName(index + 1));
    expect(named).toEqual(OUTCOME_NAMES);
    expect(library.outcomeName(0)).toBeNull();
    expect(library.outcomeName(OUTCOME_NAMES.length + 1)).toBeNull();
  });

  it('name 25 stages', () => {
    const library = nativeLibrary();
    const names = Array.from({ length: 25 }, (_unused, index) => library.stageName(index + 1));
    expect(new Set(names).size).toBe(25);
    expect(names).not.toContain(null);
    expect(library.stageName(26)).toBeNull();
  });
});
