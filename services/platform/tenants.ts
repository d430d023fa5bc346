/** Tenants: created, listed, changed, suspended and deleted. Keys are in tenant-keys.ts. */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { newTenantId } from '../contract/ids.js';
import { PLAN_DEFAULTS, type Plan, type PlanChanges } from '../contract/plan.js';
import {
  DEFAULT_TENANT_ID,
  tenantIdSchema,
  tenantStatusSchema,
  type CreatedTenant,
  type Tenant,
  type TenantStatus,
} from '../contract/tenant.js';
import { digestOf, newApiKey } from './api-key.js';
import { Refusal } from './errors.js';
import { createKeys, type Cell, type Keys } from './keys.js';
import { planFromFields, planToFields } from './plan-record.js';
import { createScript, runScript } from './redis.js';
import { parseReply } from './script-replies.js';
import { CREATE_TENANT, DELETE_TENANT, UPDATE_TENANT } from './scripts/tenants.js';

export interface TenantsOptions {
  readonly redis: Redis;
  readonly cell: Cell;
  /** What a changed plan admitted. */
}

/** The scheduler's notes about a deleted tenant outlive the longest retention. */
const DELETED_NOTES_MS = 31 * 24 * 3_600_000;

const FIRST_KEY_NAME = 'first';

const recordSchema = z.object({
  name: z.string(),
  status: tenantStatusSchema,
  createdAt: z.string().transform((ms) => new Date(Number(ms)).toISOString()),
});

/** From what was given to a whole plan. */
function planWith(changes: PlanChanges): Plan {
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  return { ...PLAN_DEFAULTS, ...Object.fromEntries(given) };
}

function parseTenant(id: string, hash: Readonly<Record<string, string>>): Tenant | null {
  if (hash['status'] === undefined) return null;
  return { id, ...recordSchema.parse(hash), plan: planFromFields((name) => hash[name]) };
}

export function missingTenant(): Refusal {
  return new Refusal('not_found', 'No such tenant.');
}

function createTenantReader(redis: Redis, keys: Keys) {
  async function get(id: string): Promise<Tenant | null> {
    return parseTenant(id, await redis.hgetall(keys.tenant(id)));
  }

  /** By its id or its name. */
  async function find(idOrName: string): Promise<Tenant> {
    const id = tenantIdSchema.safeParse(idOrName).success
      ? idOrName
      : await redis.hget(keys.tenantNames, idOrName);
    const tenant = id === null ? null : await get(id);
    if (tenant === null) throw missingTenant();
    return tenant;
  }

  /** All of them, oldest first. */
  async function list(): Promise<Tenant[]> {
    const ids = await redis.zrange(keys.tenants, '0', '-1');
    const hashes = await Promise.all(ids.map((id) => redis.hgetall(keys.tenant(id))));
    return ids.flatMap((id, index) => parseTenant(id, hashes[index] ?? {}) ?? []);
  }

  return { get, find, list };
}

export function createTenants({ redis, cell }: TenantsOptions) {
  const { get, find, list } = createTenantReader(redis, createKeys(cell));
  const scripts = {
    create: createScript(CREATE_TENANT),
    update: createScript(UPDATE_TENANT),
    remove: createScript(DELETE_TENANT),
  };

  async function add(id: string, name: string, plan: Plan, key: readonly string[]) {
    const args = [id, name, ...key, ...planToFields(plan)];
    return parseReply(await runScript(redis, scripts.create, cell, args), ['ok', 'taken']);
  }

  async function create(name: string, changes: PlanChanges = {}): Promise<CreatedTenant> {
    const id = newTenantId();
    const { keyId, apiKey } = newApiKey();
    const plan = planWith(changes);
    const reply = await add(id, name, plan, [keyId, digestOf(apiKey), FIRST_KEY_NAME]);
    if (reply.status === 'taken') {
      throw new Refusal('conflict', `There is a tenant named ${name} already.`);
    }
    const createdAt = new Date(Number(reply.rest[0])).toISOString();
    return { id, name, status: 'active', createdAt, plan, keyId, apiKey };
  }

  /** A tenant that a setting names is there when it is first needed. */
  async function ensure(id: string, name: string, plan: Plan): Promise<void> {
    await add(id, name, plan, ['', '', '']);
  }

  async function setFields(id: string, fields: readonly string[]): Promise<Tenant> {
    const { status } = parseReply(await runScript(redis, scripts.update, cell, [id, ...fields]), [
      'ok',
      'missing',
    ]);
    const tenant = status === 'ok' ? await get(id) : null;
    if (tenant === null) throw missingTenant();
    return tenant;
  }

  async function remove(id: string): Promise<void> {
    if (id === DEFAULT_TENANT_ID) {
      const detail = 'This tenant belongs to MAYFLY_API_KEY; suspend it, or unset that.';
      throw new Refusal('conflict', detail);
    }
    const { status } = parseReply(
      await runScript(redis, scripts.remove, cell, [id, DELETED_NOTES_MS]),
      ['ok', 'missing'],
    );
    if (status === 'missing') throw missingTenant();
  }

  return {
    create,
    ensure,
    get,
    find,
    list,
    remove,
    update: (id: string, changes: PlanChanges) => setFields(id, planToFields(changes)),
    setStatus: (id: string, status: TenantStatus) => setFields(id, ['status', status]),
  };
}

export type Tenants = ReturnType<typeof createTenants>;
