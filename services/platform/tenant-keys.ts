/** The keys of a tenant: issued, listed, rotated, revoked. Of a key only its digest is kept. */
import type { Redis } from 'ioredis';
import type { ApiKey, IssuedKey, NewKey, RotateKey } from '../contract/tenant.js';
import { digestOf, newApiKey } from './api-key.js';
import { Refusal } from './errors.js';
import { createKeys, type Cell } from './keys.js';
import { createScript, runScript } from './redis.js';
import { parseReply } from './script-replies.js';
import { CREATE_KEY, REVOKE_KEY, ROTATE_KEY } from './scripts/tenants.js';
import { missingTenant } from './tenants.js';

const KEYS_MAX = 100;
/** How long a revoked key is still listed. */
const REVOKED_LISTED_MS = 30 * 24 * 3_600_000;
const UNNAMED = 'unnamed';
const MS_PER_SECOND = 1_000;

function isoTime(text: string | undefined): string | null {
  return text === undefined ? null : new Date(Number(text)).toISOString();
}

function parseKey(id: string, hash: Readonly<Record<string, string>>): ApiKey | null {
  const createdAt = isoTime(hash['createdAt']);
  if (createdAt === null) return null;
  return {
    id,
    name: hash['name'] ?? UNNAMED,
    createdAt,
    expiresAt: isoTime(hash['expiresAt']),
    lastUsedAt: isoTime(hash['lastUsedAt']),
    revokedAt: isoTime(hash['revokedAt']),
  };
}

function missingKey(): Refusal {
  return new Refusal('not_found', 'No such key.');
}

/** The empty argument is "never". */
function lifetime(seconds: number | undefined): number | '' {
  return seconds === undefined ? '' : seconds * MS_PER_SECOND;
}

export function createTenantKeys({ redis, cell }: { readonly redis: Redis; readonly cell: Cell }) {
  const keys = createKeys(cell);
  const scripts = {
    create: createScript(CREATE_KEY),
    rotate: createScript(ROTATE_KEY),
    revoke: createScript(REVOKE_KEY),
  };

  async function read(keyId: string): Promise<ApiKey | null> {
    return parseKey(keyId, await redis.hgetall(keys.apiKey(keyId)));
  }

  async function issued(keyId: string, apiKey: string): Promise<IssuedKey> {
    const key = await read(keyId);
    if (key === null) throw missingKey();
    return { ...key, apiKey };
  }

  async function create(tenantId: string, { name, expiresInSeconds }: NewKey): Promise<IssuedKey> {
    const { keyId, apiKey } = newApiKey();
    const args = [tenantId, keyId, digestOf(apiKey), name ?? UNNAMED, lifetime(expiresInSeconds)];
    const { status } = parseReply(
      await runScript(redis, scripts.create, cell, [...args, KEYS_MAX]),
      ['ok', 'missing', 'full'],
    );
    if (status === 'missing') throw missingTenant();
    if (status === 'full') {
      throw new Refusal('conflict', `A tenant has at most ${KEYS_MAX} keys; revoke one first.`);
    }
    return await issued(keyId, apiKey);
  }

  /** Newest first. What has expired from the records is forgotten on the way. */
  async function list(tenantId: string): Promise<ApiKey[]> {
    const ids = await redis.smembers(keys.apiKeys(tenantId));
    const found = await Promise.all(ids.map(read));
    const gone = ids.filter((_, index) => found[index] === null);
    if (gone.length > 0) await redis.srem(keys.apiKeys(tenantId), ...gone);
    return found
      .filter((key) => key !== null)
      .sort((a, b) => b.createdAt.localeCompare(a.createdAt) || a.id.localeCompare(b.id));
  }

  async function rotate(tenantId: string, old: string, options: RotateKey): Promise<IssuedKey> {
    const { keyId, apiKey } = newApiKey();
    const { expiresInSeconds, graceSeconds = 0 } = options;
    const args = [tenantId, old, keyId, digestOf(apiKey), lifetime(expiresInSeconds)];
    const { status } = parseReply(
      await runScript(redis, scripts.rotate, cell, [...args, graceSeconds * MS_PER_SECOND]),
      ['ok', 'missing', 'revoked'],
    );
    if (status === 'missing') throw missingKey();
    if (status === 'revoked') throw new Refusal('conflict', 'This key has been revoked.');
    return await issued(keyId, apiKey);
  }

  async function revoke(tenantId: string, keyId: string): Promise<ApiKey> {
    const { status } = parseReply(
      await runScript(redis, scripts.revoke, cell, [tenantId, keyId, REVOKED_LISTED_MS]),
      ['ok', 'missing'],
    );
    const key = status === 'ok' ? await read(keyId) : null;
    if (key === null) throw missingKey();
    return key;
  }

  return { create, list, rotate, revoke };
}

export type TenantKeys = ReturnType<typeof createTenantKeys>;
