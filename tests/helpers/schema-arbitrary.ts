/**
 * Values by a JSON schema, mostly right and now and then wrong in one place: what a request validator
 * and whatever is behind it have to stand.
 */
import fc from 'fast-check';

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
}

const JUNK: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  1e308,
  1.5,
  '',
  '\0',
  '../../etc/passwd',
  '💥',
  '\ud800',
  [],
  {},
  [[]],
  { __proto__: null, a: 1 },
  'x'.repeat(10_000),
  Number.MAX_SAFE_INTEGER,
];

function resolve(document: object, schema: Schema): Schema {
  if (schema.$ref === undefined) return schema;
  let found: unknown = document;
  for (const part of schema.$ref.split('/').slice(1)) {
    found = Reflect.get(found as object, part.replaceAll('~1', '/').replaceAll('~0', '~'));
  }
  return found as Schema;
}

function textOf(pattern: string | undefined): fc.Arbitrary<unknown> {
  const free = fc.string({ maxLength: 40 });
  if (pattern === undefined) return free;
  try {
    return fc.oneof({ weight: 4, arbitrary: fc.stringMatching(new RegExp(pattern)) }, free);
  } catch {
    // A pattern that fast-check cannot invert: anything will do, and be refused.
    return free;
  }
}

function objectOf(document: object, schema: Schema, depth: number): fc.Arbitrary<unknown> {
  const entries = Object.entries(schema.properties ?? {}).map(
    ([name, property]) => [name, arbitraryOf(document, property, depth + 1)] as const,
  );
  const named = fc.record(Object.fromEntries(entries), {
    requiredKeys: (schema.required ?? []).filter((name) => name in (schema.properties ?? {})),
  });
  const extra = schema.additionalProperties;
  if (typeof extra !== 'object') return named;
  const more = fc.dictionary(fc.string({ maxLength: 8 }), arbitraryOf(document, extra, depth + 1), {
    maxKeys: 3,
  });
  return fc.tuple(named, more).map(([a, b]) => ({ ...b, ...a }));
}

function rightOf(document: object, schema: Schema, depth: number): fc.Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const options = schema.anyOf ?? schema.oneOf;
  if (options !== undefined) {
    return fc.oneof(...options.map((option) => arbitraryOf(document, option, depth + 1)));
  }
  switch (schema.type) {
    case 'object':
      return objectOf(document, schema, depth);
    case 'array':
      return fc.array(arbitraryOf(document, schema.items ?? {}, depth + 1), { maxLength: 3 });
    case 'integer':
      return fc.integer({
        min: schema.minimum ?? -10,
        max: Math.min(schema.maximum ?? 1e6, 2 ** 31),
      });
    case 'number':
      return fc.double({ min: schema.minimum ?? -10, max: schema.maximum ?? 1e6, noNaN: true });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'string':
      return textOf(schema.pattern);
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

export function arbitraryOf(document: object, given: Schema, depth = 0): fc.Arbitrary<unknown> {
  if (depth > 6) return fc.constant(null);
  const schema = resolve(document, given);
  return fc.oneof(
    { weight: 20, arbitrary: rightOf(document, schema, depth) },
    { weight: 1, arbitrary: fc.constantFrom(...JUNK) },
  );
}
