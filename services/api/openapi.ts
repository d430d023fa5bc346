/** OpenAPI 3.1 as a pure function of the routes. */
import { z } from 'zod';
import { jobRequestSchema } from '../contract/job-request.js';
import { jobSchema } from '../contract/job.js';
import { PROBLEMS, problemSchema } from '../contract/problems.js';
import { VERSION } from '../platform/version.js';
import type { Route } from './route.js';

type Json = Record<string, unknown>;

/** Shown once and referred to by name. */
const COMPONENTS = { JobRequest: jobRequestSchema, Job: jobSchema, Problem: problemSchema };

function jsonSchema(schema: z.ZodType): Json {
  const json: Json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  // The document names its dialect once, for all of them.
  delete json.$schema;
  return json;
}

function schemaOrReference(schema: z.ZodType): Json {
  const name = Object.entries(COMPONENTS).find(([, each]) => each === schema)?.[0];
  return name === undefined ? jsonSchema(schema) : { $ref: `#/components/schemas/${name}` };
}

/** What has a format is no JSON: bytes, of a type that may differ from answer to answer. */
function content(schema: z.ZodType, mediaType = 'application/json'): Json {
  const { format, contentMediaType } = jsonSchema(schema);
  if (typeof contentMediaType === 'string') return { [contentMediaType]: {} };
  if (format === 'binary') return { 'application/octet-stream': {} };
  return { [mediaType]: { schema: schemaOrReference(schema) } };
}

function parametersOf(schema: z.ZodType | undefined, where: 'path' | 'query'): Json[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = jsonSchema(schema) as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: where,
    required: where === 'path' || required.includes(name),
    schema: property,
  }));
}

/** What any call may answer; which problems there are, their codes say. */
function problemResponses(): Json {
  const statuses = new Set(Object.values(PROBLEMS).map(({ status }) => status));
  return Object.fromEntries(
    [...statuses].sort().map((status) => {
      const titles = Object.entries(PROBLEMS)
        .filter(([, definition]) => definition.status === status)
        .map(([code, definition]) => `\`${code}\`: ${definition.title}`);
      return [
        String(status),
        {
          description: titles.join(' '),
          content: {
            'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
          },
        },
      ];
    }),
  );
}

const BYTES_BODY = { required: true, content: { 'application/octet-stream': {} } };

function operationOf(route: Route): Json {
  const declared = Object.entries(route.responses).map(([status, declaration]) => [
    status,
    {
      description: declaration.description,
      content: content(declaration.schema, declaration.mediaType),
    },
  ]);
  return {
    operationId: route.operationId,
    summary: route.summary,
    parameters: [
      ...parametersOf(route.params, 'path'),
      ...parametersOf(route.query, 'query'),
      ...Object.entries(route.headers ?? {}).map(([name, schema]) => ({
        name,
        in: 'header',
        required: false,
        schema: jsonSchema(schema),
      })),
    ],
    ...(route.bytes === true ? { requestBody: BYTES_BODY } : {}),
    ...(route.body === undefined
      ? {}
      : { requestBody: { required: true, content: content(route.body.schema) } }),
    ...(route.rawBodyBytesMax === undefined ? {} : { requestBody: BYTES_BODY }),
    responses: { ...problemResponses(), ...Object.fromEntries(declared) },
    security: route.path.startsWith('/v1/') ? [{ apiKey: [] }] : [],
  };
}

export function createOpenApi(title: string, routes: readonly Route[]): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title,
      version: VERSION,
      description: 'Runs untrusted code in single-use containers and measures it.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: Object.fromEntries(
        Object.entries(COMPONENTS).map(([name, schema]) => [name, jsonSchema(schema)]),
      ),
      securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } },
    },
  };
}
