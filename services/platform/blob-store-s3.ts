/** Blobs in a bucket of S3, or of whatever speaks like it: `<prefix><tenant>/<digest>`. */
import { Readable } from 'node:stream';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { checkName, verified, type BlobName, type BlobStore } from './blob-store.js';

export interface S3Options {
  readonly bucket: string;
  readonly region: string;
  /** Null: Amazon's own. */
  readonly endpoint: string | null;
  readonly prefix: string;
  /** Null: as the client finds them in its environment. */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | null;
}

/** One part at a time is held in memory. */
const PART_BYTES = 8 * 1024 * 1024;

export interface S3BlobStore extends BlobStore {
  close(): void;
}

export function createS3BlobStore(options: S3Options): S3BlobStore {
  const { bucket: Bucket, region, endpoint, prefix, credentials } = options;
  const client = new S3Client({
    region,
    // A host name for each bucket is Amazon's own way; others have paths.
    ...(endpoint === null ? {} : { endpoint, forcePathStyle: true }),
    ...(credentials === null ? {} : { credentials }),
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });

  function keyOf(name: BlobName): string {
    checkName(name);
    return `${prefix}${name.tenantId}/${name.sha256}`;
  }

  return {
    async put(name, bytes, content) {
      const Key = keyOf(name);
      const checked = remembered(verified(name.sha256, bytes, content));
      const Body = Readable.from(checked.content, { objectMode: false });
      const params = { Bucket, Key, Body, ContentType: 'application/octet-stream' };
      try {
        // A body that ends in an error is taken back: nothing is there under the key.
        await new Upload({ client, params, queueSize: 1, partSize: PART_BYTES }).done();
      } catch (error) {
        throw checked.error() ?? error;
      }
    },
    async head(name) {
      const command = new HeadObjectCommand({ Bucket, Key: keyOf(name) });
      const about = await client.send(command).catch(ifMissing);
      return about === null ? null : (about.ContentLength ?? null);
    },
    async get(name, range) {
      const Range = range === undefined ? undefined : `bytes=${range.first}-${range.last}`;
      const command = new GetObjectCommand({ Bucket, Key: keyOf(name), Range });
      const object = await client.send(command).catch(ifMissing);
      return object?.Body instanceof Readable ? object.Body : null;
    },
    async remove(name) {
      await client.send(new DeleteObjectCommand({ Bucket, Key: keyOf(name) })).catch(ifMissing);
    },
    async *list() {
      for await (const page of paginateListObjectsV2({ client }, { Bucket, Prefix: prefix })) {
        for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
          const [tenantId = '', sha256 = '', ...more] = Key.slice(prefix.length).split('/');
          if (sha256 === '' || more.length > 0) continue;
          yield {
            tenantId,
            sha256,
            bytes: Size,
            changedAtMs: LastModified?.getTime() ?? Date.now(),
          };
        }
      }
    },
    close: () => client.destroy(),
  };
}

/** The content's own error, whatever taking back what came before it may lead to. */
function remembered(content: AsyncIterable<Uint8Array>) {
  let broken: unknown = null;
  async function* pass() {
    try {
      yield* content;
    } catch (error) {
      broken = error;
      throw error;
    }
  }
  return { content: pass(), error: () => broken };
}

function ifMissing(error: unknown): null {
  if (error instanceof Error && (error.name === 'NoSuchKey' || error.name === 'NotFound')) {
    return null;
  }
  throw error;
}
