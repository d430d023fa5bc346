/** /v1/languages and /v1/images: what can be run. */
import { z } from 'zod';
import { compileArgv, LANGUAGE_NAMES, languageOf, runArgv } from '../contract/languages.js';
import { limitsSchema, resolveLimits } from '../contract/limits.js';
import type { ImageStore } from './image-store.js';
import { route, type Route } from './route.js';

export const languageSchema = z.strictObject({
  name: z.enum(LANGUAGE_NAMES),
  title: z.string(),
  image: z.string(),
  available: z.boolean().describe('Whether the image is built; if not, jobs of it are refused.'),
  version: z.string().nullable().describe("The version of the image's package."),
  sourceFile: z.string(),
  compile: z
    .strictObject({ argv: z.array(z.string()), limits: limitsSchema })
    .nullable()
    .describe('The command without the arguments a job adds, and its default limits.'),
  run: z.strictObject({ argv: z.array(z.string()), limits: limitsSchema }),
  env: z.record(z.string(), z.string()),
});

export const imageSchema = z.strictObject({
  name: z.string(),
  digest: z.string(),
  languages: z.array(z.string()),
  packages: z.array(z.strictObject({ name: z.string(), version: z.string() })),
  createdAt: z.string(),
});

async function describeLanguages(images: ImageStore): Promise<z.input<typeof languageSchema>[]> {
  const manifests = await images.list();
  return LANGUAGE_NAMES.map((name) => {
    const language = languageOf(name);
    const image = manifests.find((manifest) => manifest.name === language.image);
    const { limits } = resolveLimits({}, language.limitDefaults);
    const compile = compileArgv(language, []);
    return {
      name,
      title: language.title,
      image: language.image,
      available: image !== undefined,
      version: image?.packages.find((each) => each.name === language.package)?.version ?? null,
      sourceFile: language.sourceFile,
      compile: compile && {
        argv: compile,
        limits: resolveLimits({}, language.compile?.limitDefaults).limits,
      },
      run: { argv: runArgv(language, limits, []), limits },
      env: language.env,
    };
  });
}

export function createCatalogRoutes(images: ImageStore): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/languages',
      operationId: 'listLanguages',
      summary: 'Languages: versions, commands, default limits.',
      responses: {
        200: {
          description: 'The languages.',
          schema: z.strictObject({ languages: z.array(languageSchema) }),
        },
      },
      async handle() {
        return { status: 200, body: { languages: await describeLanguages(images) } };
      },
    }),
    route({
      method: 'get',
      path: '/v1/images',
      operationId: 'listImages',
      summary: 'Images: digests, languages, packages.',
      responses: {
        200: {
          description: 'The images.',
          schema: z.strictObject({ images: z.array(imageSchema) }),
        },
      },
      async handle() {
        const body = (await images.list()).map((image) => ({
          name: image.name,
          digest: image.digest,
          languages: image.languages,
          packages: image.packages.map(({ name, version }) => ({ name, version })),
          createdAt: image.createdAt,
        }));
        return { status: 200, body: { images: body } };
      },
    }),
  ];
}
