/** The table of settings in docs/operations.md, from the schemas that read them: npm run docs:settings. */
import { z } from 'zod';
import { apiConfigSchema } from '../../services/api/config.js';
import { executorConfigSchema } from '../../workers/executor/config.js';

const BEGIN = '<!-- settings: made by npm run docs:settings -->';
const END = '<!-- /settings -->';

interface Setting {
  readonly name: string;
  readonly who: string;
  readonly default: string;
  readonly description: string;
}

const PROCESSES = { API: apiConfigSchema, executor: executorConfigSchema } as const;

interface Shown {
  readonly description?: string;
}

/** Below what reads the text: a default may be of another type than the text it stands for. */
function defaultOf(schema: z.core.$ZodType): unknown {
  const { def } = schema._zod as {
    def: { defaultValue?: unknown; innerType?: z.core.$ZodType; in?: z.core.$ZodType };
  };
  if ('defaultValue' in def) return def.defaultValue;
  const inner = def.innerType ?? def.in;
  return inner === undefined ? undefined : defaultOf(inner);
}

function shownDefault(value: unknown, required: boolean): string {
  if (required) return 'required';
  if (value === undefined || value === '') return '';
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

export function settings(): Setting[] {
  const found = new Map<string, Setting>();
  for (const [who, schema] of Object.entries(PROCESSES)) {
    const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
    const { properties = {}, required = [] } = json as {
      properties?: Record<string, Shown>;
      required?: string[];
    };
    for (const [name, shown] of Object.entries(properties)) {
      found.set(name, {
        name,
        who: found.has(name) ? 'both' : who,
        default: shownDefault(
          defaultOf(schema.shape[name as keyof typeof schema.shape]),
          required.includes(name),
        ),
        description: shown.description ?? '',
      });
    }
  }
  return [...found.values()];
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

export function withSettings(page: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error('the page has no place for the settings');
  const rows = settings().map(
    (each) => `| \`${each.name}\` | ${each.who} | ${each.default} | ${cell(each.description)} |`,
  );
  const table = ['| setting | who | default | |', '|---|---|---|---|', ...rows].join('\n');
  return `${page.slice(0, begin + BEGIN.length)}\n\n${table}\n\n${page.slice(end)}`;
}
