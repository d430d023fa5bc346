/** `mayfly images`: what boxes are made of, on the host that runs it. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { layerHash, readStore, removeLayers, treeBytes, unusedLayers } from '../image-store.js';
import { CliError, show, table, type OutputOptions, type Terminal } from '../terminal.js';

const MIB = 1024 * 1024;

const megabytes = (bytes: number): string => `${(bytes / MIB).toFixed(0)} MiB`;

function stateDirOf(terminal: Terminal): string {
  return terminal.env['MAYFLY_STATE_DIR'] ?? '/var/lib/mayfly';
}

/** The recipes lie beside the program, whether it runs compiled (dist/services/cli/…) or from its source. */
function infraDir(): string {
  for (let at = import.meta.dirname; at !== dirname(at); at = dirname(at)) {
    const candidate = join(at, 'infra');
    if (existsSync(join(candidate, 'images', 'build'))) return candidate;
  }
  throw new CliError('infra/images/build is not there: run mayfly from a clone of the repository');
}

/** Its progress goes straight to the terminal. */
async function build(terminal: Terminal, args: readonly string[]): Promise<void> {
  const child = spawn(join(infraDir(), 'images', 'build'), args, {
    stdio: 'inherit',
    env: { ...terminal.env },
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new CliError(`the build ended with ${String(code)}`);
}

async function list(terminal: Terminal, options: OutputOptions): Promise<void> {
  const images = (await readStore(stateDirOf(terminal))).map((image) => ({
    name: image.manifest.name,
    digest: image.manifest.digest,
    layers: image.manifest.layers,
    languages: image.manifest.languages,
    packages: image.manifest.packages.length,
    bytes: image.bytes,
    unsharedBytes: image.unsharedBytes,
    createdAt: image.manifest.createdAt,
  }));
  const rows = images.map((image) => [
    image.name,
    megabytes(image.bytes),
    megabytes(image.unsharedBytes),
    String(image.layers.length),
    String(image.packages),
    image.digest.slice(0, 19),
    image.languages.join(' '),
  ]);
  const head = ['IMAGE', 'SIZE', 'UNSHARED', 'LAYERS', 'PACKAGES', 'DIGEST', 'LANGUAGES'];
  show(terminal, options, { images }, table(head, rows));
}

async function verify(terminal: Terminal): Promise<void> {
  const stateDir = stateDirOf(terminal);
  const images = await readStore(stateDir);
  const layers = [...new Set(images.flatMap(({ manifest }) => manifest.layers))];
  const broken: string[] = [];
  for (const [index, layer] of layers.entries()) {
    const found = await layerHash(infraDir(), stateDir, layer);
    if (found !== layer) broken.push(layer);
    const verdict = found === layer ? 'is whole' : 'IS NOT WHAT ITS NAME SAYS';
    terminal.write(`[${index + 1}/${layers.length}] ${layer.slice(0, 12)} ${verdict}\n`);
  }
  const affected = images.filter(({ manifest }) => manifest.layers.some((l) => broken.includes(l)));
  if (affected.length === 0) return;
  const names = affected.map(({ manifest }) => manifest.name).join(' ');
  throw new CliError(`damaged: ${names}. Remedy: mayfly images build --force ${names}`);
}

async function prune(terminal: Terminal, options: { readonly yes?: boolean }): Promise<void> {
  const stateDir = stateDirOf(terminal);
  const unused = await unusedLayers(stateDir);
  let bytes = 0;
  for (const layer of unused) bytes += await treeBytes(join(stateDir, 'layers', layer));
  const what = `${unused.length} layers that no image has (${megabytes(bytes)}), and the downloads`;
  if (options.yes !== true) {
    terminal.write(`Would remove ${what}. With --yes it does; no executor may be using them.\n`);
    return;
  }
  await removeLayers(stateDir, unused);
  terminal.write(`Removed ${what}.\n`);
}

export function addImageCommands(program: Command, terminal: Terminal): void {
  const images = program.command('images').description('What boxes on this host are made of.');

  images
    .command('build')
    .argument('[image...]', 'base, or another recipe of infra/images')
    .description('Build images and what they lie on; does nothing for those that are there.')
    .option('--all', 'every image that there is a recipe for')
    .option('--force', 'also when it is there')
    .option('--update-lock', 'record the package versions that Debian has now')
    .action(
      async (
        names: string[],
        options: {
          readonly all?: boolean;
          readonly force?: boolean;
          readonly updateLock?: boolean;
        },
      ) => {
        if (names.length === 0 && options.all !== true) {
          throw new CliError('say which image, or --all');
        }
        const flags = [
          ...(options.force === true ? ['--force'] : []),
          ...(options.updateLock === true ? ['--update-lock'] : []),
        ];
        await build(terminal, [...flags, ...(options.all === true ? ['--all'] : names)]);
      },
    );

  images
    .command('list')
    .description('The images, and what each takes, together and by itself.')
    .option('--json', 'for machines')
    .action((options: OutputOptions) => list(terminal, options));

  images
    .command('verify')
    .description('Read every layer and compare it with its name.')
    .action(() => verify(terminal));

  images
    .command('prune')
    .description('Remove layers that no image has any more, and the downloads of builds.')
    .option('--yes', 'do it, instead of saying what would be done')
    .action((options: { readonly yes?: boolean }) => prune(terminal, options));
}
