/** Tenants and their keys, as the admin API and the CLI show them. */
import { z } from 'zod';
import { planChangesSchema, planSchema } from './plan.js';

export const TENANT_STATUSES = ['active', 'suspended'] as const;
export const tenantStatusSchema = z.enum(TENANT_STATUSES);

/** The tenant that MAYFLY_API_KEY belongs to. */
export const DEFAULT_TENANT_ID = 'default';

const TENANT_ID = /^(default|ten_[a-z2-7]{26})$/;

export const tenantIdSchema = z
  .string()
  .regex(TENANT_ID, { error: 'must be ten_ and 26 characters of a-z2-7' });

const nameError = 'must be 1 to 64 characters of A-Za-z0-9._-, the first a letter or digit';

/** A name never looks like an id, so that either can be given where a tenant is meant. */
export const tenantNameSchema = z
  .string({ error: nameError })
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, { error: nameError })
  .refine((name) => !/^(default$|ten_)/.test(name), { error: 'must not look like an id' });

export const keyIdSchema = z
  .string()
  .regex(/^[a-z2-7]{16}$/, { error: 'must be 16 characters of a-z2-7' });

const keyNameError = 'must be 1 to 64 printable characters';
export const keyNameSchema = z
  .string({ error: keyNameError })
  .regex(/^[\x20-\x7e]{1,64}$/, { error: keyNameError });

const time = z.iso.datetime();

export const tenantSchema = z.strictObject({
  id: tenantIdSchema,
  name: z.string(),
  status: tenantStatusSchema,
  createdAt: time,
  plan: planSchema,
});

export const apiKeySchema = z.strictObject({
  id: keyIdSchema,
  name: z.string(),
  createdAt: time,
  expiresAt: time.nullable(),
  lastUsedAt: time.nullable().describe('Not more exact than a minute.'),
  revokedAt: time.nullable(),
});

export const newTenantSchema = z.strictObject({
  name: tenantNameSchema,
  plan: planChangesSchema.optional().describe('What differs from the default plan.'),
});

export const suspendSchema = z.strictObject({
  cancelJobs: z
    .boolean()
    .optional()
    .describe('Also cancel what is queued and running; otherwise it goes on.'),
});

const expiresInError = 'must be a whole number of seconds from 1 to 315360000';
const lifetimeSchema = z
  .number({ error: expiresInError })
  .int({ error: expiresInError })
  .min(1, { error: expiresInError })
  .max(315_360_000, { error: expiresInError });

export const newKeySchema = z.strictObject({
  name: keyNameSchema.optional(),
  expiresInSeconds: lifetimeSchema.optional().describe('Default: it does not expire.'),
});

export const rotateKeySchema = z.strictObject({
  graceSeconds: z
    .number()
    .int()
    .min(0)
    .max(2_592_000)
    .optional()
    .describe('How long the old key still works. Default: not at all.'),
  expiresInSeconds: lifetimeSchema.optional().describe("Default: as long as the old key's life."),
});

/** The one answer in which a key is shown. */
export const issuedKeySchema = z.strictObject({
  ...apiKeySchema.shape,
  apiKey: z.string().describe('Shown this once; only its digest is kept.'),
});

export const createdTenantSchema = z.strictObject({
  ...tenantSchema.shape,
  keyId: keyIdSchema,
  apiKey: issuedKeySchema.shape.apiKey,
});

export type Tenant = z.infer<typeof tenantSchema>;
export type TenantStatus = z.infer<typeof tenantStatusSchema>;
export type ApiKey = z.infer<typeof apiKeySchema>;
export type IssuedKey = z.infer<typeof issuedKeySchema>;
export type CreatedTenant = z.infer<typeof createdTenantSchema>;
export type NewKey = z.infer<typeof newKeySchema>;
export type RotateKey = z.infer<typeof rotateKeySchema>;
