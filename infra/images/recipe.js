// Prints a field of a recipe: recipe.js <name> <field> [separator of a list].
// An image that lies on another one (`from`) inherits what it does not say itself, and leaves out
// what its parent leaves out.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const here = import.meta.dirname;
const INHERITED = ['suite', 'components', 'sourceDateEpoch', 'excludes'];

function read(name, children = []) {
  const path = join(here, name, 'recipe.json');
  if (!existsSync(path)) throw new Error(`there is no recipe ${path}`);
  if (children.includes(name)) throw new Error(`recipe ${name} lies on itself`);
  const recipe = JSON.parse(readFileSync(path, 'utf8'));
  if (recipe.name !== name) throw new Error(`${path} calls itself ${recipe.name}`);
  if (recipe.from === undefined) return recipe;
  const parent = read(recipe.from, [...children, name]);
  const inherited = Object.fromEntries(INHERITED.map((field) => [field, parent[field]]));
  const excludes = [...parent.excludes, ...(recipe.excludes ?? [])];
  return { ...inherited, ...recipe, excludes };
}

try {
  const [name, field, separator = ' '] = process.argv.slice(2);
  const value = read(name)[field] ?? '';
  process.stdout.write(`${Array.isArray(value) ? value.join(separator) : value}\n`);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}
