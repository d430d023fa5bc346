/**
 * What compile steps left, as layers on this host's disk: found again by everything that went into them, among
 * which the tenant, so that nobody is ever given another's. Least recently used go first; a layer that a box
 * uses stays. The directory is this process's own: it dies with it, and so do its layers.
 */
import { join } from 'node:path';
import { claimLayerDirectory } from './layer-directory.js';
import type { Memory } from './sandbox.js';
import { removeLayer, unpackLayer } from './unpack.js';

export interface LayerCacheDeps {
  /** Owned by root, closed to everybody else. */
  readonly directory: string;
  readonly bytesMax: number;
  readonly unpackPath: string;
  /** No box is opened with this layer any more. */
  readonly onDropped: (path: string) => void;
  readonly log: { error(fields: object, message: string): void };
}

/** A layer that stays until it is released. */
export interface HeldLayer {
  readonly path: string;
  release(): void;
}

export interface LayerCache {
  /** Null: nothing is known under this key. */
  find(key: string): HeldLayer | null;
  /** Takes the memory over. Where another was faster, its layer is the one. */
  add(key: string, packed: Memory): Promise<HeldLayer>;
  /** Removes everything. */
  close(): Promise<void>;
}

/** Inodes and directories are bytes too. */
const LAYER_BYTES_LEAST = 16 * 1_024;
/** Each is an image of the supervisor's. */
const LAYERS_MAX = 512;

interface Layer {
  readonly path: string;
  readonly bytes: number;
  holders: number;
}

export async function createLayerCache(deps: LayerCacheDeps): Promise<LayerCache> {
  const own = await claimLayerDirectory(deps);
  /** In the order of use: a Map keeps that of insertion. */
  const layers = new Map<string, Layer>();
  const removals = new Set<Promise<void>>();
  let bytes = 0;
  let next = 0;

  function hold(key: string, layer: Layer): HeldLayer {
    layers.delete(key);
    layers.set(key, layer);
    layer.holders += 1;
    let held = true;
    return {
      path: layer.path,
      release() {
        if (held) layer.holders -= 1;
        held = false;
        evict();
      },
    };
  }

  function evict(): void {
    for (const [key, layer] of layers) {
      if (bytes <= deps.bytesMax && layers.size <= LAYERS_MAX) return;
      if (layer.holders === 0) drop(key, layer);
    }
  }

  function drop(key: string, layer: Layer): void {
    layers.delete(key);
    bytes -= layer.bytes;
    deps.onDropped(layer.path);
    const removal = removeLayer(deps.unpackPath, layer.path)
      .catch((error: unknown) => {
        deps.log.error({ err: error }, 'a layer could not be removed');
      })
      .finally(() => removals.delete(removal));
    removals.add(removal);
  }

  return {
    find(key) {
      const layer = layers.get(key);
      return layer === undefined ? null : hold(key, layer);
    },
    async add(key, packed) {
      const path = join(own.directory, String((next += 1)));
      try {
        await unpackLayer(deps.unpackPath, packed.fd, path);
      } finally {
        packed.close();
      }
      const faster = layers.get(key);
      const layer = { path, bytes: Math.max(packed.bytes, LAYER_BYTES_LEAST), holders: 0 };
      if (faster !== undefined) {
        await removeLayer(deps.unpackPath, path);
        return hold(key, faster);
      }
      bytes += layer.bytes;
      const held = hold(key, layer);
      evict();
      return held;
    },
    async close() {
      for (const [key, layer] of layers) drop(key, layer);
      await Promise.all(removals);
      await own.release();
    },
  };
}
