/** One suite for every implementation of the port. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import S3rver from '@20minutes/s3rver';
import express from 'express';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFsBlobStore } from '../../services/platform/blob-store-fs.js';
import { createHttpBlobStore } from '../../services/platform/blob-store-http.js';
import { createS3BlobStore } from '../../services/platform/blob-store-s3.js';
import { createLogger } from '../../services/platform/logger.js';
import { NO_TELEMETRY } from '../../services/platform/telemetry.js';
import { createInternalBlobs } from '../../services/api/internal-blobs.js';
import { listen } from '../../services/api/listen.js';
import { problemHandler } from '../../services/api/problems.js';
import { createRequestLog } from '../../services/api/request-context.js';
import { INTERNAL_KEY } from '../helpers/api.js';
import { WrongContent, type BlobName, type BlobStore } from '../../services/platform/blob-store.js';

interface Started {
  readonly store: BlobStore;
  stop(): Promise<void>;
}

const MIB = 1024 * 1024;

async function startFs(): Promise<Started> {
  const directory = await mkdtemp(join(tmpdir(), 'mayfly-blobs-'));
  return {
    store: createFsBlobStore(directory),
    stop: () => rm(directory, { recursive: true }),
  };
}

interface S3 {
  readonly port: number;
  stop(): Promise<void>;
}

async function serveS3(directory: string, allowMismatchedSignatures = false): Promise<S3> {
  const configureBuckets = [{ name: 'blobs', configs: [] as [] }];
  const options = { port: 0, address: '127.0.0.1', silent: true };
  const server = new S3rver({ ...options, directory, configureBuckets, allowMismatchedSignatures });
  const { port } = await server.run();
  return { port, stop: () => server.close() };
}

function bucketAt({ port }: S3, secretAccessKey = 'S3RVER') {
  return createS3BlobStore({
    bucket: 'blobs',
    region: 'us-east-1',
    endpoint: `http://127.0.0.1:${port}`,
    prefix: 'mayfly-',
    credentials: { accessKeyId: 'S3RVER', secretAccessKey },
  });
}

/**
 * A server that others maintain, and that checks signatures. It computes that of a listing without the slash at
 * the end of its path, so listing goes to a second one that does not mind, over the same directory.
 */
async function startS3(): Promise<Started> {
  const directory = await mkdtemp(join(tmpdir(), 'mayfly-s3-'));
  const servers = [await serveS3(directory), await serveS3(directory, true)] as const;
  const stores = [bucketAt(servers[0]), bucketAt(servers[1])] as const;
  return {
    store: { ...stores[0], list: () => stores[1].list() },
    async stop() {
      for (const store of stores) store.close();
      for (const server of servers) await server.stop();
      await rm(directory, { recursive: true });
    },
  };
}

function nameOf(content: Buffer, tenantId = 'a'): BlobName {
  return { tenantId, sha256: createHash('sha256').update(content).digest('hex') };
}

function* inPieces(content: Buffer, bytes = 100_000): Generator<Buffer> {
  for (let at = 0; at < content.length; at += bytes) yield content.subarray(at, at + bytes);
}

const stream = async function* (content: Buffer): AsyncGenerator<Buffer> {
  for (const piece of inPieces(content)) {
    await Promise.resolve();
    yield piece;
  }
};

async function readAll(content: AsyncIterable<Buffer> | null): Promise<Buffer | null> {
  if (content === null) return null;
  const pieces: Buffer[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Of an API process, over a directory of its. */
async function startHttp(): Promise<Started> {
  const fs = await startFs();
  const { store } = fs;
  const app = express();
  app.use(createRequestLog(createLogger('test', 'silent'), NO_TELEMETRY));
  app.use('/internal', createInternalBlobs({ store, key: INTERNAL_KEY }));
  app.use(problemHandler);
  const server = await listen(app, '127.0.0.1', 0);
  const http = createHttpBlobStore({ url: server.url, key: INTERNAL_KEY });
  return {
    // An executor does not list; whoever has the directory does.
    store: { ...http, list: () => store.list() },
    async stop() {
      await server.close();
      await fs.stop();
    },
  };
}

describe.each([
  ['fs', startFs],
  ['s3', startS3],
  ['http', startHttp],
])('the blob store %s', (_name, start) => {
  let started: Started;
  let store: BlobStore;
  beforeAll(async () => {
    started = await start();
    store = started.store;
  });
  afterAll(() => started.stop());

  it.each([0, 1, 65_536, 20 * MIB + 17])('keeps %d bytes as they are', async (bytes) => {
    const content = randomBytes(bytes);
    const name = nameOf(content);
    expect(await store.head(name)).toBeNull();
    expect(await store.get(name)).toBeNull();
    await store.put(name, bytes, stream(content));
    expect(await store.head(name)).toBe(bytes);
    expect((await readAll(await store.get(name)))?.equals(content)).toBe(true);
  });

  it('keeps the same content twice, at once and again', async () => {
    const content = randomBytes(300_000);
    const name = nameOf(content);
    const puts = [1, 2, 3].map(() => store.put(name, content.length, stream(content)));
    await Promise.all(puts);
    await store.put(name, content.length, stream(content));
    expect((await readAll(await store.get(name)))?.equals(content)).toBe(true);
  });

  it('hands out ranges', async () => {
    const content = randomBytes(200_000);
    const name = nameOf(content);
    await store.put(name, content.length, stream(content));
    for (const [first, last] of [
      [0, 1],
      [5, 99_999],
      [199_999, 199_999],
    ] as const) {
      const part = await readAll(await store.get(name, { first, last }));
      expect(part?.equals(content.subarray(first, last + 1))).toBe(true);
    }
  });

  it('cannot be made to keep what is not as announced', async () => {
    const content = randomBytes(9 * MIB);
    const name = nameOf(Buffer.from('another'));
    const wrong: [BlobName, number][] = [
      [name, content.length],
      [nameOf(content), content.length - 1],
      [nameOf(content), content.length + 1],
    ];
    for (const [announced, bytes] of wrong) {
      await expect(store.put(announced, bytes, stream(content))).rejects.toThrow(WrongContent);
      expect(await store.head(announced)).toBeNull();
    }
  });

  it('cannot be made to keep a part, when the sender goes away', async () => {
    const content = randomBytes(9 * MIB);
    const breaking = (async function* () {
      yield* stream(content.subarray(0, content.length - 1));
      throw new Error('gone');
    })();
    await expect(store.put(nameOf(content), content.length, breaking)).rejects.toThrow('gone');
    expect(await store.head(nameOf(content))).toBeNull();
  });

  it('keeps what is there when the same is sent wrong', async () => {
    const content = randomBytes(1_000);
    await store.put(nameOf(content), 1_000, stream(content));
    const wrong = stream(randomBytes(1_000));
    await expect(store.put(nameOf(content), 1_000, wrong)).rejects.toThrow(WrongContent);
    expect((await readAll(await store.get(nameOf(content))))?.equals(content)).toBe(true);
  });

  it('cannot be asked by one tenant for what is another one’s', async () => {
    const content = randomBytes(10);
    await store.put(nameOf(content, 'b'), 10, stream(content));
    expect(await store.head(nameOf(content, 'c'))).toBeNull();
    await store.remove(nameOf(content, 'c'));
    expect(await store.head(nameOf(content, 'b'))).toBe(10);
  });

  it.each(['../x', 'a/b', '', '.', 'a'.repeat(65), 'a\0'])(
    'cannot be led astray by a tenant %j',
    async (tenantId) => {
      const content = Buffer.from('x');
      const { sha256 } = nameOf(content);
      await expect(
        (async () => store.put({ tenantId, sha256 }, 1, stream(content)))(),
      ).rejects.toThrow('not the id');
      await expect((async () => store.get({ tenantId: 'a', sha256: '../..' }))()).rejects.toThrow(
        'not a digest',
      );
    },
  );

  it('removes, and lists what there is', async () => {
    const content = randomBytes(77);
    const name = nameOf(content, 'listed');
    await store.put(name, 77, stream(content));
    const listed = async () => {
      const found = [];
      for await (const entry of store.list()) if (entry.tenantId === 'listed') found.push(entry);
      return found;
    };
    const [entry, ...more] = await listed();
    expect(entry).toMatchObject({ ...name, bytes: 77 });
    expect(Math.abs(Date.now() - (entry?.changedAtMs ?? 0))).toBeLessThan(60_000);
    expect(more).toEqual([]);
    await store.remove(name);
    await store.remove(name);
    expect(await listed()).toEqual([]);
  });
});

describe('the blob store on a disk', () => {
  it('leaves nothing of what it refused', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'mayfly-blobs-'));
    const store = createFsBlobStore(directory);
    const wrong = store.put(nameOf(Buffer.from('a')), 1, stream(Buffer.from('b')));
    await expect(wrong).rejects.toThrow(WrongContent);
    expect(await readdir(join(directory, '.incoming'))).toEqual([]);
    expect(await readdir(directory)).toEqual(['.incoming']);
    await rm(directory, { recursive: true });
  });
});

describe('the blob store in a bucket', () => {
  it('cannot be used with another key', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'mayfly-s3-'));
    const server = await serveS3(directory);
    const store = bucketAt(server, 'wrong');
    const content = Buffer.from('x');
    await expect(store.put(nameOf(content), 1, stream(content))).rejects.toThrow(/signature/i);
    store.close();
    await server.stop();
    await rm(directory, { recursive: true });
  });
});
