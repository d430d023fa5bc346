/** The image store as the API sees it: manifests, nothing else. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { imageManifestSchema, type ImageManifest } from '../contract/images.js';
import type { JobSpec } from '../contract/job-spec.js';
import { invalidRequest } from './problems.js';
import type { Logger } from '../platform/logger.js';

/** A new image may be this late; a request never waits for the disk more often. */
const FRESH_MS = 5_000;

export interface ImageStore {
  list(): Promise<readonly ImageManifest[]>;
  names(): Promise<readonly string[]>;
}

export function createImageStore(stateDir: string, logger: Logger): ImageStore {
  const directory = join(stateDir, 'images');
  let read: { readonly at: number; readonly images: Promise<readonly ImageManifest[]> } | null =
    null;

  async function readManifest(file: string): Promise<ImageManifest | null> {
    try {
      return imageManifestSchema.parse(JSON.parse(await readFile(join(directory, file), 'utf8')));
    } catch (error) {
      // One broken image must not hide the others.
      logger.warn({ err: error, file }, 'not the manifest of an image');
      return null;
    }
  }

  async function readAll(): Promise<readonly ImageManifest[]> {
    let files: string[] = [];
    try {
      files = (await readdir(directory)).filter((file) => file.endsWith('.json')).sort();
    } catch (error) {
      logger.warn({ err: error }, 'there is no image store');
    }
    const manifests = await Promise.all(files.map(readManifest));
    return manifests.filter((manifest) => manifest !== null);
  }

  function list(): Promise<readonly ImageManifest[]> {
    const now = Date.now();
    if (read === null || now - read.at > FRESH_MS) read = { at: now, images: readAll() };
    return read.images;
  }

  return { list, names: async () => (await list()).map(({ name }) => name) };
}

/** Refuses a job whose image is not there: it would only wait for an executor to say so. */
export async function refuseMissingImage(
  images: ImageStore,
  { language, image }: Pick<JobSpec, 'language' | 'image'>,
): Promise<void> {
  const names = await images.names();
  if (names.includes(image)) return;
  const issue =
    language === null
      ? { path: 'image', message: `must be one of ${names.join(', ')}` }
      : {
          path: 'language',
          message:
            `${language} needs the image ${image}, which is not built here; ` +
            `an operator builds it with: mayfly images build ${image}`,
        };
  throw invalidRequest([issue]);
}
