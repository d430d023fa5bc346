// Writes an image's manifest and prints its digest:
//   write-manifest.js <recipe.json> <packages> <recipe hash> <layer> <output> [parent's manifest]
// The digest covers what a program can see (layers, languages), and neither time nor place.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';

const [recipePath, packagesPath, recipeHash, layer, outputPath, parentPath] = process.argv.slice(2);
const recipe = JSON.parse(readFileSync(recipePath, 'utf8'));
const parent = parentPath === undefined ? null : JSON.parse(readFileSync(parentPath, 'utf8'));
const layers = [...(parent?.layers ?? []), layer];

const added = readFileSync(packagesPath, 'utf8')
  .trim()
  .split('\n')
  .map((line) => {
    const [name, version, sha256] = line.split(' ');
    return { name, version, sha256 };
  });

const replaced = new Set(added.map(({ name }) => name));
const inherited = (parent?.packages ?? []).filter(({ name }) => !replaced.has(name));
const packages = [...inherited, ...added].sort((a, b) => (a.name < b.name ? -1 : 1));

// One fixed order of keys and no white space: the text that is hashed is the same everywhere.
const content = JSON.stringify({
  languages: recipe.languages,
  layers,
  name: recipe.name,
  version: recipe.version,
});
const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;

const manifest = {
  name: recipe.name,
  digest,
  version: recipe.version,
  ...(parent === null ? {} : { from: `${parent.name}@${parent.digest}` }),
  layers,
  languages: recipe.languages,
  packages,
  recipe: `sha256:${recipeHash}`,
  createdAt: new Date().toISOString(),
};
writeFileSync(outputPath, `${JSON.stringify(manifest, null, 2)}\n`);
process.stdout.write(`${digest}\n`);
