/** The images of this host: what the image store's manifests say. Read once, at start. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { SandboxFault } from '../../services/contract/faults.js';
import { imageManifestSchema, type ImageManifest } from '../../services/contract/images.js';

export interface HostImage {
  readonly manifest: ImageManifest;
  /** Directories on the host, lowest first. */
  readonly layerPaths: readonly string[];
}

export function readImages(stateDir: string): HostImage[] {
  const directory = join(stateDir, 'images');
  return readdirSync(directory)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => {
      const text = readFileSync(join(directory, file), 'utf8');
      const manifest = imageManifestSchema.parse(JSON.parse(text));
      const layerPaths = manifest.layers.map((layer) => join(stateDir, 'layers', layer));
      return { manifest, layerPaths };
    });
}

/** `<name>@<digest>` by name, as results tell it. */
export function createImageVersions(images: readonly HostImage[]): (name: string) => string {
  const versions = new Map(
    images.map(({ manifest: { name, digest } }) => [name, `${name}@${digest}`] as const),
  );
  return (name) => {
    const version = versions.get(name);
    if (version === undefined) {
      const detail = `there is no image ${name} here`;
      throw new SandboxFault({ stage: 'image', detail, retryable: false });
    }
    return version;
  };
}
