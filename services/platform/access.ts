/** Who calls, and whether they may: one script per request (scripts/tenants.ts says what it asks). */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { DEFAULT_TENANT_PLAN, type Plan } from '../contract/plan.js';
import { DEFAULT_TENANT_ID } from '../contract/tenant.js';
import { digestOf, keyIdOf } from './api-key.js';
import { Refusal, refusalOf } from './errors.js';
import type { Cell } from './keys.js';
import { createPlanCache } from './plan-record.js';
import { createScript, runScript } from './redis.js';
import { parseReply } from './script-replies.js';
import { AUTHENTICATE, SPEND } from './scripts/tenants.js';
import type { Tenants } from './tenants.js';

/** Longer than any key, so that nobody makes us hash a header of megabytes. */
const KEY_CHARS_MAX = 256;
const MS_PER_SECOND = 1_000;
const SECONDS_PER_DAY = 86_400;

/** The state of the tenant's request bucket, as the RateLimit headers tell it. */
export interface RateLimit {
  readonly burst: number;
  /** In which an empty bucket becomes full. */
  readonly windowSeconds: number;
  readonly remaining: number;
  /** Until it is full again. */
  readonly resetSeconds: number;
}

export interface Caller {
  readonly tenantId: string;
  readonly plan: Plan;
  readonly cpuMsToday: number;
  readonly rate: RateLimit;
}

export type Access =
  | { readonly status: 'ok'; readonly caller: Caller }
  | { readonly status: 'limited'; readonly rate: RateLimit; readonly retryAfterSeconds: number }
  | { readonly status: 'unknown' | 'expired' | 'suspended' };

export interface AccessOptions {
  readonly redis: Redis;
  readonly cell: Cell;
  readonly tenants: Pick<Tenants, 'ensure'>;
  /** The key of the tenant `default`; it is in no record, and ends with the setting. */
  readonly defaultApiKey?: string | undefined;
}

const answerSchema = z.tuple([z.string(), z.string(), z.string()]).rest(z.string());

function rateOf(plan: Plan, tokens: number): RateLimit {
  const { requestsPerSecond: perSecond, requestsBurst: burst } = plan;
  return {
    burst,
    windowSeconds: Math.ceil(burst / perSecond),
    remaining: Math.max(0, Math.floor(tokens)),
    resetSeconds: Math.ceil(Math.max(0, burst - tokens) / perSecond),
  };
}

export function createAccess({ redis, cell, tenants, defaultApiKey }: AccessOptions) {
  const script = createScript(AUTHENTICATE);
  const spendScript = createScript(SPEND);
  const planOf = createPlanCache();
  const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
  const ours = defaultApiKey === undefined ? null : sha256(defaultApiKey);

  async function ask(args: readonly string[]): Promise<Access | { readonly status: 'no-tenant' }> {
    const { status, rest } = parseReply(await runScript(redis, script, cell, args), [
      'ok',
      'limited',
      'unknown',
      'expired',
      'suspended',
      'no-tenant',
    ]);
    if (status !== 'ok' && status !== 'limited') return { status };
    const [tenantId, tokensLeft, cpuMs, ...fields] = answerSchema.parse(rest);
    const plan = planOf(fields);
    const tokens = Number(tokensLeft);
    const rate = rateOf(plan, tokens);
    if (status === 'ok')
      return { status, caller: { tenantId, plan, cpuMsToday: Number(cpuMs), rate } };
    const retryAfterSeconds = Math.max(1, Math.ceil((1 - tokens) / plan.requestsPerSecond));
    return { status, rate, retryAfterSeconds };
  }

  async function ofConfiguredKey(): Promise<Access> {
    const args = ['', '', DEFAULT_TENANT_ID];
    const first = await ask(args);
    if (first.status !== 'no-tenant') return first;
    await tenants.ensure(DEFAULT_TENANT_ID, DEFAULT_TENANT_ID, DEFAULT_TENANT_PLAN);
    const again = await ask(args);
    return again.status === 'no-tenant' ? { status: 'unknown' } : again;
  }

  async function identify(apiKey: string): Promise<Access> {
    if (apiKey.length > KEY_CHARS_MAX) return { status: 'unknown' };
    if (ours !== null && timingSafeEqual(ours, sha256(apiKey))) return await ofConfiguredKey();
    const keyId = keyIdOf(apiKey);
    if (keyId === null) return { status: 'unknown' };
    const access = await ask([keyId, digestOf(apiKey), '']);
    // A key cannot outlive its tenant; should one, it is no key.
    return access.status === 'no-tenant' ? { status: 'unknown' } : access;
  }

  async function authenticate(apiKey: string): Promise<Access> {
    try {
      return await identify(apiKey);
    } catch (error) {
      throw refusalOf(error);
    }
  }

  /** Charges what a request turned out to be worth beyond the one it was charged for. */
  function spend(tenantId: string, tokens: number): void {
    if (tokens > 0) {
      runScript(redis, spendScript, cell, [tenantId, tokens]).catch(() => {
        // Redis is away: the next request is answered with that, and nobody was let in for it.
      });
    }
  }

  return { authenticate, spend };
}

export type AccessControl = ReturnType<typeof createAccess>;

/** New work is refused once the day's CPU time is used up; the day is UTC's. */
export function checkCpuQuota({ plan, cpuMsToday }: Caller, now = Date.now()): void {
  if (cpuMsToday < plan.cpuSecondsPerDay * MS_PER_SECOND) return;
  const seconds = Math.floor(now / MS_PER_SECOND);
  const retryAfterSeconds = SECONDS_PER_DAY - (seconds % SECONDS_PER_DAY);
  const detail = `The ${plan.cpuSecondsPerDay} CPU seconds of this day (UTC) are used up.`;
  throw new Refusal('cpu_quota', detail, { retryAfterSeconds });
}
