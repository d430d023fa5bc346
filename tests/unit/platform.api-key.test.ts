import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PLAN_DEFAULTS, PLAN_FIELDS, planSchema } from '../../services/contract/plan.js';
import { checkCpuQuota } from '../../services/platform/access.js';
import { digestOf, keyIdOf, newApiKey } from '../../services/platform/api-key.js';
import { planFromFields, planToFields } from '../../services/platform/plan-record.js';

describe('an API key', () => {
  it('has its id, 200 random bits, and a checksum', () => {
    const { keyId, apiKey } = newApiKey();
    expect(apiKey).toMatch(/^mf_[a-z2-7]{16}_[a-z2-7]{40}_[0-9a-f]{8}$/);
    expect(keyIdOf(apiKey)).toBe(keyId);
    expect(newApiKey().apiKey).not.toBe(apiKey);
    expect(digestOf(apiKey)).toMatch(/^[0-9a-f]{64}$/);
  });

  it('cannot be mistyped or cut off without being told from a key', () => {
    fc.assert(
      fc.property(fc.nat(67), fc.constantFrom('a', 'z', '2', '7', '_', '0', '9'), (at, char) => {
        const { apiKey } = newApiKey();
        const other = `${apiKey.slice(0, at)}${char}${apiKey.slice(at + 1)}`;
        expect(keyIdOf(other) === null).toBe(other !== apiKey);
        expect(keyIdOf(apiKey.slice(0, at))).toBeNull();
      }),
    );
  });
});

describe('a plan', () => {
  it('has a default for each field, and comes back from its record as it was', () => {
    const plan = { ...PLAN_DEFAULTS, weight: 0.5, images: ['base'], limitMaxima: { cpus: 0.5 } };
    const fields = planToFields(plan);
    const record = new Map(
      fields.flatMap((name, i) => (i % 2 ? [] : [[name, fields[i + 1] ?? '']])),
    );
    expect(planFromFields((name) => record.get(name))).toEqual(plan);
  });

  it('of an older record has defaults for what came later', () => {
    expect(planFromFields((name) => (name === 'weight' ? '2' : undefined))).toEqual({
      ...PLAN_DEFAULTS,
      weight: 2,
    });
  });

  it('is finite in everything', () => {
    for (const name of PLAN_FIELDS) {
      const value: unknown = PLAN_DEFAULTS[name];
      if (typeof value !== 'number') continue;
      for (const wrong of [Infinity, 1e300, -1, Number.NaN, `${value}`]) {
        expect(planSchema.safeParse({ ...PLAN_DEFAULTS, [name]: wrong }).success, name).toBe(false);
      }
    }
  });

  it('lets a day end at midnight UTC', () => {
    const rate = { burst: 1, windowSeconds: 1, remaining: 1, resetSeconds: 0 };
    const plan = { ...PLAN_DEFAULTS, cpuSecondsPerDay: 10 };
    const caller = { tenantId: 't', plan, rate, cpuMsToday: 9_999 };
    const evening = Date.parse('2026-01-01T23:59:30Z');
    expect(() => checkCpuQuota(caller, evening)).not.toThrow();
    expect(() => checkCpuQuota({ ...caller, cpuMsToday: 10_000 }, evening)).toThrow(
      expect.objectContaining({ code: 'cpu_quota', retryAfterSeconds: 30 }),
    );
  });
});
