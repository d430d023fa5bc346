import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  LANGUAGE_NAMES,
  LANGUAGES,
  compileArgv,
  languageOf,
  runArgv,
} from '../../services/contract/languages.js';
import {
  LIMIT_MAXIMA,
  LIMIT_NAMES,
  LIMITS,
  limitsRequestSchema,
  limitsSchema,
  mapLimits,
  resolveLimits,
} from '../../services/contract/limits.js';

const MIB = 1024 * 1024;

describe('limits', () => {
  it.each(LIMIT_NAMES)('%s has a range with its default inside, and no infinity', (name) => {
    const { min, default: usual, max } = LIMITS[name];
    expect(min).toBeGreaterThan(0);
    expect(usual).toBeGreaterThanOrEqual(min);
    expect(usual).toBeLessThanOrEqual(max);
    expect(Number.isFinite(max)).toBe(true);
  });

  it.each(LIMIT_NAMES)(
    '%s is refused below, above, at zero, and as anything but a number',
    (name) => {
      const schema = limitsRequestSchema();
      const { min, max } = LIMITS[name];
      for (const value of [0, -1, min / 2 - 1, max + 1, Infinity, NaN, '5', null, {}]) {
        const parsed = schema.safeParse({ [name]: value });
        expect(parsed.error?.issues[0]?.path).toEqual([name]);
        expect(parsed.error?.issues[0]?.message).toContain(`from ${min} to ${max}`);
      }
      expect(schema.safeParse({ [name]: min }).success).toBe(true);
      expect(schema.safeParse({ [name]: max }).success).toBe(true);
    },
  );

  it('takes fractions of CPUs, and of nothing else', () => {
    expect(limitsRequestSchema().safeParse({ cpus: 0.5 }).success).toBe(true);
    expect(limitsRequestSchema().safeParse({ processes: 1.5 }).success).toBe(false);
  });

  it('are complete and in range whatever subset was asked for', () => {
    const request = fc.record(
      Object.fromEntries(
        LIMIT_NAMES.map((name) => [
          name,
          fc.integer({ min: Math.ceil(LIMITS[name].min), max: LIMITS[name].max }),
        ]),
      ),
      { requiredKeys: [] },
    );
    const defaults = fc
      .constantFrom(...LANGUAGE_NAMES)
      .map((name) => languageOf(name).limitDefaults);
    fc.assert(
      fc.property(request, defaults, (requested, given) => {
        const { limits, issues } = resolveLimits(requested, given);
        expect(limitsSchema.safeParse(limits).success).toBe(true);
        for (const [name, value] of Object.entries(requested)) {
          expect(limits[name as keyof typeof limits]).toBe(value);
        }
        expect(issues.length > 0).toBe(limits.diskBytes >= limits.memoryBytes);
      }),
    );
  });

  it('keep the disk below the memory: by default half, and refused when asked otherwise', () => {
    expect(resolveLimits({ memoryBytes: 64 * MIB }).limits.diskBytes).toBe(32 * MIB);
    expect(resolveLimits({ diskBytes: 256 * MIB }).issues).toMatchObject([{ name: 'diskBytes' }]);
    expect(resolveLimits({ memoryBytes: 8 * MIB, diskBytes: 8 * MIB }).issues).toHaveLength(1);
    expect(resolveLimits({ memoryBytes: 8 * MIB, diskBytes: 8 * MIB - 1 }).issues).toEqual([]);
  });

  it('let CPU time be used up before the clock ends it', () => {
    expect(resolveLimits({}).limits.wallTimeMs).toBe(10_000);
    expect(resolveLimits({ cpuTimeMs: 20_000 }).limits.wallTimeMs).toBe(40_000);
    expect(resolveLimits({ cpuTimeMs: 20_000, wallTimeMs: 500 }).limits.wallTimeMs).toBe(500);
  });

  it("keep to a tenant's own maxima, defaults included", () => {
    const maxima = { ...LIMIT_MAXIMA, memoryBytes: 128 * MIB };
    expect(resolveLimits({}, {}, maxima).limits.memoryBytes).toBe(128 * MIB);
    expect(limitsRequestSchema(maxima).safeParse({ memoryBytes: 129 * MIB }).success).toBe(false);
  });
});

describe('languages', () => {
  it.each(LANGUAGE_NAMES)('%s can be compiled and run by its defaults', (name) => {
    const language = languageOf(name);
    for (const defaults of [language.limitDefaults, language.compile?.limitDefaults ?? {}]) {
      const { limits, issues } = resolveLimits({}, defaults);
      expect(issues).toEqual([]);
      expect(limitsSchema.safeParse(limits).success).toBe(true);
    }
    const limits = mapLimits((limit) => LIMITS[limit].default);
    expect(runArgv(language, limits, ['x', 'y']).slice(-2)).toEqual(['x', 'y']);
    expect(compileArgv(language, []) === null).toBe(language.compile === null);
  });

  it('put compile arguments after the defaults they override', () => {
    expect(compileArgv(LANGUAGES.c, ['-O0'])).toEqual([
      'gcc',
      '-std=gnu17',
      '-O2',
      '-o',
      'main',
      '-O0',
      'main.c',
      '-lm',
    ]);
  });

  it("tell node the box's memory instead of the host's", () => {
    const limits = { ...mapLimits((name) => LIMITS[name].default), memoryBytes: 100 * MIB };
    expect(runArgv(LANGUAGES.javascript, limits, [])).toEqual([
      'node',
      '--max-old-space-size=60',
      'main.js',
    ]);
  });
});
