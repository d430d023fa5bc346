/**
 * The blobs of an API process, for an executor that does not share its disk: the API's internal routes. Contents are
 * verified at the far end when they are sent, and by whoever reads them.
 */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { once } from 'node:events';
import { checkName, verified, type BlobName, type BlobStore } from './blob-store.js';

export interface HttpBlobStoreOptions {
  /** Of the API, such as http://10.0.0.2:8080. */
  readonly url: string;
  /** MAYFLY_INTERNAL_KEY */
  readonly key: string;
  /** Without a byte in either direction. */
  readonly idleMs?: number;
}

const IDLE_MS = 30_000;

export function createHttpBlobStore(options: HttpBlobStoreOptions): BlobStore {
  const { url, key, idleMs = IDLE_MS } = options;
  const base = new URL(url);
  const start = base.protocol === 'https:' ? httpsRequest : httpRequest;

  function send(name: BlobName, more: RequestOptions) {
    checkName(name);
    const target = new URL(`/internal/blobs/${name.tenantId}/${name.sha256}`, base);
    const request = start(target, { ...more, timeout: idleMs });
    request.setHeader('Authorization', `Bearer ${key}`);
    request.on('timeout', () => request.destroy(new Error('the API does not answer')));
    return request;
  }

  async function ask(name: BlobName, more: RequestOptions): Promise<IncomingMessage> {
    const request = send(name, more);
    const answered = once(request, 'response') as Promise<[IncomingMessage]>;
    request.end();
    return (await answered)[0];
  }

  return {
    async put(name, bytes, content) {
      const headers = { 'Content-Length': bytes, 'Content-Type': 'application/octet-stream' };
      const request = send(name, { method: 'PUT', headers });
      const answered = once(request, 'response') as Promise<[IncomingMessage]>;
      answered.catch(() => undefined);
      try {
        for await (const chunk of verified(name.sha256, bytes, content)) {
          await new Promise<void>((resolve, reject) => {
            request.write(chunk, (error) => {
              if (error) reject(error);
              else resolve();
            });
          });
        }
        request.end();
      } catch (error) {
        request.destroy();
        throw error;
      }
      await expectStatus((await answered)[0], [204]);
    },
    async head(name) {
      const response = await ask(name, { method: 'HEAD' });
      if ((await expectStatus(response, [200, 404])) === 404) return null;
      return Number(response.headers['content-length']);
    },
    async get(name, range) {
      const wanted = range === undefined ? {} : { Range: `bytes=${range.first}-${range.last}` };
      const response = await ask(name, { method: 'GET', headers: wanted });
      if (response.statusCode === 200 || response.statusCode === 206) return response;
      await expectStatus(response, [404]);
      return null;
    },
    async remove(name) {
      await expectStatus(await ask(name, { method: 'DELETE' }), [204]);
    },
    // eslint-disable-next-line require-yield
    async *list() {
      await Promise.resolve();
      throw new Error('an executor does not look after the blobs of others');
    },
  };
}

/** Reads what there is to the answer, so that its connection can be used again. */
async function expectStatus(response: IncomingMessage, wanted: number[]): Promise<number> {
  response.resume();
  if (!response.complete) await once(response, 'end');
  const status = response.statusCode ?? 0;
  if (!wanted.includes(status)) throw new Error(`the API answered ${status}`);
  return status;
}
