/** The image store of this host as its operator sees it: what is there, what it takes, whether it is whole. */
import { spawn } from 'node:child_process';
import { lstat, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { imageManifestSchema, type ImageManifest } from '../contract/images.js';
import { CliError } from './terminal.js';

const LAYER = /^[0-9a-f]{64}$/;

export interface StoredImage {
  readonly manifest: ImageManifest;
  /** All of its layers together. */
  readonly bytes: number;
  /** Those of layers that no other image has. */
  readonly unsharedBytes: number;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch {
    return [];
  }
}

async function readManifests(directory: string): Promise<ImageManifest[]> {
  const files = (await namesIn(directory)).filter((file) => file.endsWith('.json'));
  return await Promise.all(
    files.map(async (file) => {
      const path = join(directory, file);
      const parsed = imageManifestSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
      if (!parsed.success) throw new CliError(`${path} is not the manifest of an image`);
      return parsed.data;
    }),
  );
}

/** As `du --apparent-size`, each file once however many names it has. */
export async function treeBytes(root: string): Promise<number> {
  const seen = new Set<number>();
  let bytes = 0;
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const { ino, size } = await lstat(join(entry.parentPath, entry.name));
    if (!seen.has(ino)) bytes += size;
    seen.add(ino);
  }
  return bytes;
}

export async function readStore(stateDir: string): Promise<StoredImage[]> {
  const manifests = await readManifests(join(stateDir, 'images'));
  const layers = [...new Set(manifests.flatMap((manifest) => manifest.layers))];
  const sizes = new Map<string, number>();
  for (const layer of layers) sizes.set(layer, await treeBytes(join(stateDir, 'layers', layer)));
  const sum = (of: readonly string[]): number =>
    of.reduce((bytes, layer) => bytes + (sizes.get(layer) ?? 0), 0);
  return manifests.map((manifest) => {
    const others = manifests.filter((each) => each !== manifest).flatMap((each) => each.layers);
    const own = manifest.layers.filter((layer) => !others.includes(layer));
    return { manifest, bytes: sum(manifest.layers), unsharedBytes: sum(own) };
  });
}

/** A layer's name is the hash of its content: says what it is by now. */
export async function layerHash(
  infraDir: string,
  stateDir: string,
  layer: string,
): Promise<string> {
  const child = spawn(
    join(infraDir, 'images', 'build'),
    ['--hash', join(stateDir, 'layers', layer)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await new Promise((resolve) => child.on('close', resolve));
  return text.trim();
}

/** Layers that no image and, with its recipe, no clone of the repository has: not of the store's images. */
export async function unusedLayers(stateDir: string): Promise<string[]> {
  const manifests = await readManifests(join(stateDir, 'images'));
  const used = new Set(manifests.flatMap((manifest) => manifest.layers));
  const layers = await namesIn(join(stateDir, 'layers'));
  return layers.filter((layer) => LAYER.test(layer) && !used.has(layer));
}

/** Also the stored recipes that led to them, since those are looked up before a build. */
export async function removeLayers(stateDir: string, layers: readonly string[]): Promise<void> {
  const recipes = join(stateDir, 'images', 'recipes');
  for (const file of (await namesIn(recipes)).filter((name) => name.endsWith('.json'))) {
    const text = await readFile(join(recipes, file), 'utf8');
    if (layers.some((layer) => text.includes(layer))) await rm(join(recipes, file));
  }
  for (const layer of layers) {
    await rm(join(stateDir, 'layers', layer), { recursive: true, force: true });
  }
  await rm(join(stateDir, 'cache'), { recursive: true, force: true });
}
