/** Where `make -C native` puts what the executor needs. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface NativeProducts {
  readonly supervisorPath: string;
  readonly libraryPath: string;
  readonly unpackPath: string;
  readonly extractPath: string;
}

export function nativeProducts(supervisorPath: string | null): NativeProducts {
  const build = join(packageRoot(), 'native', 'build');
  return {
    supervisorPath: supervisorPath ?? join(build, 'mayfly-supervisor'),
    libraryPath: join(build, 'libmayfly.so'),
    unpackPath: join(build, 'mayfly-unpack'),
    extractPath: join(build, 'mayfly-extract'),
  };
}

/** The same from source and from dist/. */
function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json'))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error('the package has no package.json');
    directory = parent;
  }
  return directory;
}
