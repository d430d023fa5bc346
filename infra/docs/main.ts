/** Writes the generated parts of the documents. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withSettings } from './settings.js';

const page = join(process.cwd(), 'docs', 'operations.md');
writeFileSync(page, withSettings(readFileSync(page, 'utf8')));
