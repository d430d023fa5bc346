import { describe, expect, it } from 'vitest';
import {
  checkOfEnding,
  isRefusal,
  isSkipped,
  judgementOfInteraction,
  scoreOf,
  verdictOfEnding,
  type Judged,
  type StopOn,
  type TestPlan,
  type Verdict,
} from '../../services/contract/judging.js';
import type { Outcome } from '../../services/contract/outcomes.js';

describe('the verdict of an ending', () => {
  it.each<[Outcome, number | null, Verdict | null]>([
    ['exited', 0, null],
    ['exited', 1, 'runtime_error'],
    ['exited', 137, 'runtime_error'],
    ['signaled', null, 'runtime_error'],
    ['cpu_limit', null, 'time_limit'],
    ['wall_limit', null, 'wall_limit'],
    ['memory_limit', null, 'memory_limit'],
    ['output_limit', null, 'output_limit'],
    ['disk_limit', 1, 'runtime_error'],
    ['cancelled', null, 'skipped'],
  ])('%s with %s is %s', (outcome, exitCode, verdict) => {
    expect(verdictOfEnding({ outcome, exitCode })).toBe(verdict);
  });
});

describe('what a checker says', () => {
  it.each<['testlib' | 'domjudge', Outcome, number | null, string, string, number]>([
    ['testlib', 'exited', 0, 'ok', 'accepted', 1],
    ['testlib', 'exited', 1, 'wrong', 'wrong_answer', 0],
    ['testlib', 'exited', 2, 'not a number', 'presentation_error', 0],
    ['testlib', 'exited', 8, 'unexpected eof', 'presentation_error', 0],
    ['testlib', 'exited', 3, 'fail', 'judge_fault', 0],
    ['testlib', 'exited', 7, 'points 0.5 half', 'wrong_answer', 0.5],
    ['testlib', 'exited', 7, 'points 1', 'accepted', 1],
    ['testlib', 'exited', 7, 'points 2', 'judge_fault', 0],
    ['testlib', 'exited', 7, 'nothing', 'judge_fault', 0],
    ['testlib', 'exited', 42, '', 'judge_fault', 0],
    ['testlib', 'signaled', null, '', 'judge_fault', 0],
    ['testlib', 'cpu_limit', null, '', 'judge_fault', 0],
    ['testlib', 'memory_limit', 0, '', 'judge_fault', 0],
    ['domjudge', 'exited', 42, 'fine', 'accepted', 1],
    ['domjudge', 'exited', 43, 'no', 'wrong_answer', 0],
    ['domjudge', 'exited', 0, '', 'judge_fault', 0],
    ['domjudge', 'exited', 1, '', 'judge_fault', 0],
    ['domjudge', 'wall_limit', null, '', 'judge_fault', 0],
  ])('by %s: %s %s "%s" is %s', (protocol, outcome, exitCode, message, verdict, score) => {
    expect(checkOfEnding(protocol, { outcome, exitCode }, message)).toMatchObject({
      verdict,
      score,
    });
  });
});

describe('two sides of an interactive problem', () => {
  const end = (outcome: Outcome, exitCode: number | null = null, signal: number | null = null) => ({
    outcome,
    exitCode,
    signal,
  });
  const well = end('exited', 0);
  const pipe = end('signaled', null, 13);
  const judge = (
    first: 'program' | 'interactor',
    program: ReturnType<typeof end>,
    interactor: ReturnType<typeof end>,
    protocol: 'testlib' | 'domjudge' = 'testlib',
  ) => {
    const programFirst = first === 'program';
    return judgementOfInteraction(protocol, { program, interactor, programFirst }, 'said');
  };

  it.each<[string, 'program' | 'interactor', object, object, Verdict]>([
    ['both end well', 'program', well, end('exited', 0), 'accepted'],
    ['both end well, the interactor first', 'interactor', well, end('exited', 0), 'accepted'],
    ['the interactor refuses', 'interactor', well, end('exited', 1), 'wrong_answer'],
    ['the program gives up', 'program', well, end('exited', 1), 'wrong_answer'],
    ['the program ends early, and the interactor writes on', 'program', well, pipe, 'wrong_answer'],
    ['it crashes when refused', 'interactor', pipe, end('exited', 1), 'wrong_answer'],
    [
      'it is stopped when refused',
      'interactor',
      end('cancelled'),
      end('exited', 2),
      'presentation_error',
    ],
    ['it crashes by itself', 'program', end('exited', 1), end('exited', 1), 'runtime_error'],
    [
      'it crashes, and the interactor is content',
      'program',
      end('signaled', null, 6),
      well,
      'runtime_error',
    ],
    [
      'it crashes, and so does the interactor',
      'program',
      end('signaled', null, 6),
      pipe,
      'runtime_error',
    ],
    ['it crashes once it was accepted', 'interactor', end('exited', 3), well, 'runtime_error'],
    ['it never ends once it was accepted', 'interactor', end('cpu_limit'), well, 'time_limit'],
    ['both wait', 'program', end('wall_limit'), end('exited', 2), 'wall_limit'],
    ['it eats memory', 'program', end('memory_limit'), pipe, 'memory_limit'],
    ['the interactor crashes', 'interactor', pipe, end('signaled', null, 11), 'judge_fault'],
    ['the interactor crashes with a pipe of its own', 'interactor', well, pipe, 'judge_fault'],
    ['the interactor loops', 'interactor', end('exited', 1), end('cpu_limit'), 'judge_fault'],
    ['the interactor says what nobody knows', 'interactor', well, end('exited', 99), 'judge_fault'],
  ])('%s', (_what, first, program, interactor, verdict) => {
    const sides = [program, interactor] as ReturnType<typeof end>[];
    expect(judge(first, sides[0] ?? well, sides[1] ?? well)).toMatchObject({
      verdict,
      score: verdict === 'accepted' ? 1 : 0,
    });
  });

  it('may share points, but not with a program that fails', () => {
    const half = (program: ReturnType<typeof end>) =>
      judgementOfInteraction(
        'testlib',
        { program, interactor: end('exited', 7), programFirst: false },
        'points 0.5',
      );
    expect(half(well)).toMatchObject({ verdict: 'wrong_answer', score: 0.5 });
    expect(half(end('exited', 1))).toMatchObject({ verdict: 'runtime_error', score: 0 });
  });

  it('are told apart by the protocol of the problem', () => {
    expect(judge('program', well, end('exited', 42), 'domjudge').verdict).toBe('accepted');
    expect(judge('program', well, end('exited', 43), 'domjudge').verdict).toBe('wrong_answer');
    expect(judge('program', well, end('exited', 0), 'domjudge').verdict).toBe('judge_fault');
  });

  it('leave a program nothing to gain when the interactor has refused', () => {
    expect(isRefusal('testlib', well)).toBe(false);
    expect(isRefusal('testlib', end('exited', 7))).toBe(false);
    expect(isRefusal('testlib', end('exited', 1))).toBe(true);
    expect(isRefusal('domjudge', end('exited', 42))).toBe(false);
    expect(isRefusal('domjudge', end('exited', 0))).toBe(true);
    expect(isRefusal('domjudge', end('memory_limit', 42))).toBe(true);
  });
});

const plan = (...groups: (string | null)[]): TestPlan[] =>
  groups.map((group, index) => ({ name: String(index + 1), points: 10, group }));
const results = (letters: string): (Judged | undefined)[] =>
  Array.from(letters, (letter) => {
    const verdicts: Record<string, Verdict> = {
      A: 'accepted',
      W: 'wrong_answer',
      T: 'time_limit',
      J: 'judge_fault',
      S: 'skipped',
    };
    const verdict = verdicts[letter];
    return verdict && { verdict, points: verdict === 'accepted' ? 10 : 0 };
  });

describe('a job', () => {
  it.each([
    ['AAA', 'accepted', 30],
    ['AWA', 'wrong_answer', 20],
    ['ATW', 'time_limit', 10],
    ['TJA', 'judge_fault', 10],
    ['AWS', 'wrong_answer', 10],
    ['AW-', 'wrong_answer', 10],
    ['AA-', 'skipped', 20],
    ['---', 'skipped', 0],
  ])('whose tests are %s is %s with %i points', (letters, verdict, points) => {
    const score = scoreOf(plan(null, null, null), results(letters), true, true);
    expect(score).toEqual({ verdict, points, pointsMax: 30 });
  });

  it('has no verdict before its end, but the points so far', () => {
    expect(scoreOf(plan(null, null), results('A-'), true, false)).toEqual({
      verdict: null,
      points: 10,
      pointsMax: 20,
    });
  });

  it.each([
    ['AAAA', true, 40],
    ['AWAA', true, 20],
    ['A-AA', true, 20],
    ['A-AA', false, 30],
    ['WAAW', true, 0],
  ])(
    'with groups gives points for whole groups only: %s, ended %s, %i',
    (letters, ended, points) => {
      const tests = plan('a', 'a', 'b', 'b');
      expect(scoreOf(tests, results(letters), true, ended).points).toBe(points);
    },
  );

  it('that was not compiled says so', () => {
    expect(scoreOf(plan(null), [], false, true)).toEqual({
      verdict: 'compile_error',
      points: 0,
      pointsMax: 10,
    });
  });
});

describe('a test is skipped', () => {
  const tests = plan('a', 'a', 'b', null);
  it.each<[StopOn, string, string]>([
    ['never', 'W---', '....'],
    ['first_failure', 'A---', '....'],
    ['first_failure', 'AW--', 'xxxx'],
    ['group_failure', 'W---', '.x..'],
    ['group_failure', '---W', '....'],
    ['group_failure', 'W-W-', '.x..'],
  ])('with stopOn %s after %s: %s', (stopOn, letters, skipped) => {
    const said = tests.map((_, index) =>
      isSkipped(stopOn, tests, index, results(letters)) ? 'x' : '.',
    );
    expect(said.join('')).toBe(skipped);
  });
});
