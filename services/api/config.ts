/** The API's settings, all from the environment. */
import { z } from 'zod';
import { blobSettings, internalKeySetting } from '../platform/blob-config.js';
import { createCallbackAddresses } from '../platform/callback-address.js';
import { integerSetting, logLevelSetting, redisUrlSetting } from '../platform/config.js';
import { telemetrySettings } from '../platform/telemetry.js';

const MIB = 1024 * 1024;

const keySetting = z
  .string()
  .regex(/^[\x21-\x7e]{8,256}$/, { error: 'must be 8 to 256 printable characters, no spaces' })
  .optional();

const settingsSchema = z.object({
  REDIS_URL: redisUrlSetting,
  HOST: z.string().default('127.0.0.1').describe('Address that the API listens on.'),
  PORT: integerSetting(0, 65_535).default(8_080).describe('Port of the API.'),
  MAYFLY_API_KEY: keySetting.describe('A key of the tenant `default`, which is made for it.'),
  MAYFLY_ADMIN_KEY: keySetting.describe("The operator's key; without it there is no admin API."),
  MAYFLY_ADMIN_HOST: z
    .string()
    .default('127.0.0.1')
    .describe('Where the admin API listens; not to be reached by tenants.'),
  MAYFLY_ADMIN_PORT: integerSetting(0, 65_535)
    .default(8_081)
    .describe('The port of the admin API.'),
  MAYFLY_STATE_DIR: z
    .string()
    .default('/var/lib/mayfly')
    .describe('The image store; the API reads manifests only. `npm start` keeps its Redis there.'),
  MAYFLY_BODY_BYTES_MAX: integerSetting(1_024, 256 * MIB)
    .default(24 * MIB)
    .describe('Largest body of a request: room for files and stdin as base64.'),
  ...blobSettings,
  MAYFLY_CALLBACK_ALLOW: z
    .string()
    .default('')
    .superRefine((text, ctx) => {
      try {
        createCallbackAddresses(text);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        ctx.addIssue({ code: 'custom', message });
      }
    })
    .describe(
      'Where callbacks may go besides public addresses: `<CIDR>` or `<CIDR>@<ports>`, with commas (docs/callbacks.md).',
    ),
  MAYFLY_INTERNAL_KEY: internalKeySetting,
  MAYFLY_LOG_LEVEL: logLevelSetting,
  ...telemetrySettings,
});

export const apiConfigSchema = settingsSchema.refine(
  (settings) => settings.MAYFLY_API_KEY !== undefined || settings.MAYFLY_ADMIN_KEY !== undefined,
  {
    path: ['MAYFLY_API_KEY'],
    error: 'is missing; or set MAYFLY_ADMIN_KEY and create tenants',
    // Also beside other mistakes: everything is named at once.
    when: () => true,
  },
);

export type ApiConfig = z.output<typeof apiConfigSchema>;
