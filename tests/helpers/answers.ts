/**
 * Holds every answer of the integration suite to the OpenAPI document, and keeps which status and problem
 * code each operation gave, so that tests/conformance can tell what is documented and never happens.
 */
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import type { RequestListener, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

interface Media {
  readonly schema?: object;
}

interface Answer {
  readonly content?: Readonly<Record<string, Media>>;
}

export interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: 'path' | 'query' | 'header';
    readonly schema: object;
  }[];
  readonly requestBody?: Answer;
  readonly responses: Readonly<Record<string, Answer>>;
}

export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

/** What one operation answered once: `getJob 404 not_found`. */
export type Produced = string;

/** Among what is built, not among temporary files: other tests look there for what they left behind. */
const RECORDS = join(import.meta.dirname, '..', '..', 'dist', 'answers');

/** Of this run of the tests alone: named by the process that all workers are children of, and its start. */
export function answersDirectory(): string {
  const stat = readFileSync(`/proc/${process.ppid}/stat`, 'utf8');
  const startTime = stat.slice(stat.lastIndexOf(')')).split(' ')[20] ?? '';
  return join(RECORDS, `answers-${process.ppid}-${startTime}`);
}

export function* operationsOf(document: Document) {
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods)) yield { path, method, operation };
  }
}

export function createConformance(document: Document) {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: true });
  (formats as unknown as (ajv: object) => void)(ajv);
  ajv.addSchema(document, 'api');
  const validators = new Map<string, ValidateFunction>();
  const operations = [...operationsOf(document)].map((each) => ({
    ...each,
    pattern: new RegExp(`^${each.path.replace(/\{\w+\}/g, '[^/]+')}$`),
  }));

  function validatorOf(pointer: string): ValidateFunction {
    const known = validators.get(pointer) ?? ajv.compile({ $ref: `api#${pointer}` });
    validators.set(pointer, known);
    return known;
  }

  /** Null for a path or a method that is not in the document. */
  function operationOf(method: string, url: string) {
    const path = url.split('?')[0] ?? '';
    const found = operations.filter(
      (each) => each.method === method.toLowerCase() && each.pattern.test(path),
    );
    return found.find((each) => !each.path.includes('{')) ?? found[0] ?? null;
  }

  /** What is wrong with an answer, by the document. */
  function check(
    method: string,
    url: string,
    answer: { readonly status: number; readonly type: string | undefined; readonly body: string },
  ): string | null {
    const found = operationOf(method, url);
    if (found === null) return null;
    const { operation, path } = found;
    const { status } = answer;
    const declared = operation.responses[String(status)];
    if (declared === undefined) return `${operation.operationId} does not document ${status}`;
    const type = (answer.type ?? '').split(';')[0] ?? '';
    const media = Object.keys(declared.content ?? {});
    if (answer.body === '' || media.length === 0) return null;
    if (type !== '' && media.includes('*/*')) return null;
    if (!media.includes(type)) return `${operation.operationId} ${status} is ${type}`;
    if (!type.endsWith('json')) return null;
    const escape = (text: string): string =>
      encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'));
    const pointer = ['paths', path, found.method, 'responses', String(status), 'content', type]
      .map(escape)
      .join('/');
    const validate = validatorOf(`/${pointer}/schema`);
    if (validate(JSON.parse(answer.body))) return null;
    return `${operation.operationId} ${status}: ${ajv.errorsText(validate.errors)}`;
  }

  return { check, operationOf };
}

/** Captures what is written, up to what a validator should see. */
function captureBody(response: ServerResponse): () => Buffer {
  const chunks: Buffer[] = [];
  const keep = (chunk: unknown): void => {
    if (typeof chunk === 'string') chunks.push(Buffer.from(chunk));
    else if (chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk));
  };
  const write = response.write.bind(response);
  const end = response.end.bind(response);
  response.write = ((...args: Parameters<typeof write>) => {
    keep(args[0]);
    return write(...args);
  }) as typeof write;
  response.end = ((...args: Parameters<typeof end>) => {
    keep(args[0]);
    return end(...args);
  }) as typeof end;
  return () => Buffer.concat(chunks);
}

/** The app with every answer checked; `violations` are what the document does not allow. */
export function watchAnswers(app: RequestListener, document: Document) {
  const { check, operationOf } = createConformance(document);
  const violations: string[] = [];
  const directory = answersDirectory();
  mkdirSync(directory, { recursive: true });
  const file = join(directory, `${process.pid}`);
  for (const { operation } of operationsOf(document)) {
    for (const [status, { content = {} }] of Object.entries(operation.responses)) {
      if ('application/problem+json' in content) continue;
      appendFileSync(file, `declared ${operation.operationId} ${status}\n`);
    }
  }

  const watched: RequestListener = (request, response) => {
    const { method = '', url = '' } = request;
    const captured = captureBody(response);
    // Not `finish`: who has read as many bytes as were announced may be gone before the answer ends.
    response.on('close', () => {
      const announced = Number(response.getHeader('content-length') ?? Number.NaN);
      const whole = response.writableFinished || captured().length === announced;
      if (!response.headersSent || !whole) return;
      const body = captured().toString('utf8');
      // A path or a method that is not in the document is a problem, too.
      const name = operationOf(method, url)?.operation.operationId ?? '-';
      const type = response.getHeader('content-type')?.toString();
      const status = response.statusCode;
      const violation = check(method, url, { status, type, body });
      if (violation !== null) violations.push(violation);
      // The answer to a HEAD names its type, and has no body.
      const problem = type?.startsWith('application/problem+json') === true && body !== '';
      const code = problem ? (JSON.parse(body) as { code: string }).code : '';
      appendFileSync(file, `${name} ${status} ${code}\n`);
    });
    app(request, response);
  };
  return { watched, violations };
}
