/**
 * The directory of one executor's layers. Executors of a host, in containers or not, may share the directory
 * above it, and each clears up after those that were killed: an owner that lives answers on a socket in its own.
 */
import { mkdir, mkdtemp, readdir, rmdir, stat, unlink } from 'node:fs/promises';
import { createConnection, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { removeLayer } from './unpack.js';

export interface LayerDirectoryDeps {
  readonly directory: string;
  readonly unpackPath: string;
  readonly log: { error(fields: object, message: string): void };
}

export interface LayerDirectory {
  readonly directory: string;
  /** Once it is empty of layers. */
  release(): Promise<void>;
}

const SOCKET = 'alive';
/** An owner that has not got to its socket by then never will. */
const CLAIM_MS_MAX = 60_000;

export async function claimLayerDirectory(deps: LayerDirectoryDeps): Promise<LayerDirectory> {
  await mkdir(deps.directory, { recursive: true, mode: 0o700 });
  const directory = await mkdtemp(join(deps.directory, 'executor-'));
  const server = await listen(join(directory, SOCKET));
  await sweep(deps);
  return {
    directory,
    async release() {
      await new Promise((resolve) => server.close(resolve));
      await rmdir(directory);
    },
  };
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.unref();
    server.once('error', reject);
    server.listen(path, () => {
      resolve(server);
    });
  });
}

async function sweep(deps: LayerDirectoryDeps): Promise<void> {
  for (const name of await readdir(deps.directory)) {
    const stale = join(deps.directory, name);
    try {
      if (await isAlive(stale)) continue;
      for (const entry of await readdir(stale)) {
        if (entry === SOCKET) await unlink(join(stale, entry));
        else await removeLayer(deps.unpackPath, join(stale, entry));
      }
      await rmdir(stale);
    } catch (error) {
      // Another executor may be sweeping as well; what stays is tried again by the next.
      deps.log.error({ err: error }, 'a stale layer could not be removed');
    }
  }
}

async function isAlive(directory: string): Promise<boolean> {
  const path = join(directory, SOCKET);
  const code = await new Promise<string | null>((resolve) => {
    const socket = createConnection(path, () => {
      socket.destroy();
      resolve(null);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? 'unknown');
    });
  });
  if (code === 'ECONNREFUSED') return false;
  if (code !== 'ENOENT') return true;
  const about = await stat(directory);
  return Date.now() - about.mtimeMs < CLAIM_MS_MAX;
}
