import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFsBlobStore } from '../../services/platform/blob-store-fs.js';
import type { BlobName, BlobStore } from '../../services/platform/blob-store.js';
import { createBlobCache } from '../../workers/executor/blob-cache.js';
import { readSlice } from '../../workers/executor/collected-files.js';

let scratch: string;
let store: BlobStore;
let directory: string;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'mayfly-cache-'));
  store = createFsBlobStore(join(scratch, 'store'));
  directory = join(scratch, 'cache');
});
afterEach(() => rm(scratch, { recursive: true }));

const cacheOf = (bytesMax = 10_000) => createBlobCache({ store, directory, bytesMax });

async function stored(content: Buffer, tenantId = 'a'): Promise<BlobName> {
  const sha256 = createHash('sha256').update(content).digest('hex');
  const once = (async function* () {
    await Promise.resolve();
    yield content;
  })();
  await store.put({ tenantId, sha256 }, content.length, once);
  return { tenantId, sha256 };
}

async function contentOf(cache: Awaited<ReturnType<typeof cacheOf>>, name: BlobName) {
  const blob = await cache.open(name);
  const content = await readSlice({ fd: blob.fd, at: 0, bytes: blob.bytes });
  await blob.close();
  return content;
}

const pathOf = ({ tenantId, sha256 }: BlobName): string => join(directory, `${tenantId}.${sha256}`);

describe('the cache of an executor', () => {
  it('fetches a blob once, whoever asks and however often', async () => {
    const content = randomBytes(5_000);
    const name = await stored(content);
    const cache = await cacheOf();
    const all = await Promise.all([1, 2, 3].map(() => contentOf(cache, name)));
    expect(all.every((each) => each.equals(content))).toBe(true);
    await contentOf(cache, name);
    expect(cache.counts).toMatchObject({ fetches: 1, bytesFetched: 5_000, hits: 1 });
    expect(statSync(pathOf(name)).mode & 0o777).toBe(0o400);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
  });

  it('knows after a restart what it has', async () => {
    const content = randomBytes(5_000);
    const name = await stored(content);
    await contentOf(await cacheOf(), name);
    const again = await cacheOf();
    expect((await contentOf(again, name)).equals(content)).toBe(true);
    expect(again.counts).toMatchObject({ fetches: 0, hits: 1 });
  });

  it('cannot be made to hand out a file that was changed', async () => {
    const content = randomBytes(5_000);
    const name = await stored(content);
    const cache = await cacheOf();
    await contentOf(cache, name);
    chmodSync(pathOf(name), 0o600);
    writeFileSync(pathOf(name), randomBytes(5_000));
    expect((await contentOf(cache, name)).equals(content)).toBe(true);
    writeFileSync(pathOf(name), randomBytes(5_000));
    expect((await contentOf(await cacheOf(), name)).equals(content)).toBe(true);
    expect(cache.counts).toMatchObject({ corrupted: 1, fetches: 2 });
  });

  it('cannot be made to keep what the store hands out wrong', async () => {
    const name = await stored(randomBytes(100));
    const wrong = await stored(randomBytes(100));
    const lying = { head: () => Promise.resolve(100), get: () => store.get(wrong) };
    const cache = await createBlobCache({ store: lying, directory, bytesMax: 1_000 });
    await expect(cache.open(name)).rejects.toMatchObject({ stage: 'blobs', retryable: true });
    expect(readdirSync(directory)).toEqual([]);
  });

  it('says so when a blob is gone, or larger than the cache', async () => {
    const cache = await cacheOf(1_000);
    const gone = { tenantId: 'a', sha256: 'a'.repeat(64) };
    await expect(cache.open(gone)).rejects.toMatchObject({ stage: 'blobs', retryable: false });
    const large = await stored(randomBytes(1_001));
    await expect(cache.open(large)).rejects.toMatchObject({ stage: 'blobs', retryable: false });
  });

  it('stays within its bound: what was not used for longest goes', async () => {
    const cache = await cacheOf(10_000);
    const [one, two, three] = [
      await stored(randomBytes(4_000)),
      await stored(randomBytes(4_000)),
      await stored(randomBytes(4_000)),
    ] as const;
    await contentOf(cache, one);
    await contentOf(cache, two);
    await contentOf(cache, one);
    await contentOf(cache, three);
    expect(readdirSync(directory).sort()).toEqual(
      [pathOf(one), pathOf(three)].map((path) => path.slice(directory.length + 1)).sort(),
    );
    expect(cache.counts.evicted).toBe(1);
  });

  it('cannot tell one tenant that another has a blob', async () => {
    const content = randomBytes(100);
    const name = await stored(content, 'b');
    const cache = await cacheOf();
    await contentOf(cache, name);
    const foreign = { ...name, tenantId: 'c' };
    await expect(cache.open(foreign)).rejects.toMatchObject({ stage: 'blobs', retryable: false });
  });
});
