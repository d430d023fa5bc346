/** /v1/admin: tenants, their keys and the overview, for the operator. A tenant is named by its id or its name. */
import { z } from 'zod';
import { planChangesSchema } from '../contract/plan.js';
import {
  apiKeySchema,
  createdTenantSchema,
  issuedKeySchema,
  keyIdSchema,
  newKeySchema,
  newTenantSchema,
  rotateKeySchema,
  suspendSchema,
  tenantSchema,
} from '../contract/tenant.js';
import type { Overviews } from '../platform/overview.js';
import type { CancelTenantJobs } from '../platform/tenant-jobs.js';
import type { TenantKeys } from '../platform/tenant-keys.js';
import type { Tenants } from '../platform/tenants.js';
import { createOverviewRoutes } from './overview-routes.js';
import { bodyOf, route, type Route } from './route.js';

export interface AdminRoutesDeps {
  readonly tenants: Tenants;
  readonly tenantKeys: TenantKeys;
  readonly cancelTenantJobs: CancelTenantJobs;
  readonly overviews: Overviews;
}

const tenantParams = z.strictObject({ tenant: z.string().min(1).max(64) });
const keyParams = z.strictObject({ ...tenantParams.shape, key: keyIdSchema });
const emptySchema = z.strictObject({});

const missing = 'No such tenant.';
const tenantReply = { 200: { description: 'The tenant.', schema: tenantSchema } };

function tenantRoutes({ tenants }: AdminRoutesDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/admin/tenants',
      operationId: 'createTenant',
      summary: 'Create a tenant with a first key, which is shown in this answer only.',
      body: bodyOf(newTenantSchema),
      responses: { 201: { description: 'The tenant and its key.', schema: createdTenantSchema } },
      async handle({ body }) {
        const created = await tenants.create(body.name, body.plan);
        const headers = { Location: `/v1/admin/tenants/${created.id}` };
        return { status: 201, body: created, headers };
      },
    }),
    route({
      method: 'get',
      path: '/v1/admin/tenants',
      operationId: 'listTenants',
      summary: 'All tenants, oldest first.',
      responses: {
        200: {
          description: 'The tenants.',
          schema: z.strictObject({ tenants: z.array(tenantSchema) }),
        },
      },
      handle: async () => ({ status: 200, body: { tenants: await tenants.list() } }),
    }),
    route({
      method: 'get',
      path: '/v1/admin/tenants/{tenant}',
      operationId: 'getTenant',
      summary: 'One tenant.',
      params: tenantParams,
      missing,
      responses: tenantReply,
      handle: async ({ params }) => ({ status: 200, body: await tenants.find(params.tenant) }),
    }),
    route({
      method: 'patch',
      path: '/v1/admin/tenants/{tenant}',
      operationId: 'updateTenant',
      summary: "Change a tenant's plan; what is not named stays.",
      params: tenantParams,
      missing,
      body: bodyOf(z.strictObject({ plan: planChangesSchema })),
      responses: tenantReply,
      async handle({ params, body }) {
        const { id } = await tenants.find(params.tenant);
        return { status: 200, body: await tenants.update(id, body.plan) };
      },
    }),
  ];
}

function stateRoutes({ tenants, cancelTenantJobs }: AdminRoutesDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/admin/tenants/{tenant}/suspend',
      operationId: 'suspendTenant',
      summary: 'Refuse every call of a tenant from now on.',
      params: tenantParams,
      missing,
      body: bodyOf(suspendSchema),
      responses: tenantReply,
      async handle({ params, body }) {
        const { id } = await tenants.find(params.tenant);
        const tenant = await tenants.setStatus(id, 'suspended');
        if (body.cancelJobs === true) await cancelTenantJobs(id);
        return { status: 200, body: tenant };
      },
    }),
    route({
      method: 'post',
      path: '/v1/admin/tenants/{tenant}/resume',
      operationId: 'resumeTenant',
      summary: 'Take the calls of a suspended tenant again.',
      params: tenantParams,
      missing,
      responses: tenantReply,
      async handle({ params }) {
        const { id } = await tenants.find(params.tenant);
        return { status: 200, body: await tenants.setStatus(id, 'active') };
      },
    }),
    route({
      method: 'delete',
      path: '/v1/admin/tenants/{tenant}',
      operationId: 'deleteTenant',
      summary: 'Delete a tenant: its keys end at once, and its jobs are cancelled.',
      params: tenantParams,
      missing,
      responses: { 200: { description: 'It is gone.', schema: emptySchema } },
      async handle({ params }) {
        const { id } = await tenants.find(params.tenant);
        await tenants.remove(id);
        await cancelTenantJobs(id);
        return { status: 200, body: {} };
      },
    }),
  ];
}

function keyRoutes({ tenants, tenantKeys }: AdminRoutesDeps): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/admin/tenants/{tenant}/keys',
      operationId: 'createKey',
      summary: 'Issue a key, which is shown in this answer only.',
      params: tenantParams,
      missing,
      body: bodyOf(newKeySchema),
      responses: { 201: { description: 'The key.', schema: issuedKeySchema } },
      async handle({ params, body }) {
        const { id } = await tenants.find(params.tenant);
        return { status: 201, body: await tenantKeys.create(id, body) };
      },
    }),
    route({
      method: 'get',
      path: '/v1/admin/tenants/{tenant}/keys',
      operationId: 'listKeys',
      summary: "A tenant's keys, newest first, without their secrets.",
      params: tenantParams,
      missing,
      responses: {
        200: { description: 'The keys.', schema: z.strictObject({ keys: z.array(apiKeySchema) }) },
      },
      async handle({ params }) {
        const { id } = await tenants.find(params.tenant);
        return { status: 200, body: { keys: await tenantKeys.list(id) } };
      },
    }),
    route({
      method: 'post',
      path: '/v1/admin/tenants/{tenant}/keys/{key}/rotate',
      operationId: 'rotateKey',
      summary: 'Issue a key in the place of another, which ends now or after a grace.',
      params: keyParams,
      missing: 'No such key.',
      body: bodyOf(rotateKeySchema),
      responses: { 201: { description: 'The new key.', schema: issuedKeySchema } },
      async handle({ params, body }) {
        const { id } = await tenants.find(params.tenant);
        return { status: 201, body: await tenantKeys.rotate(id, params.key, body) };
      },
    }),
    route({
      method: 'delete',
      path: '/v1/admin/tenants/{tenant}/keys/{key}',
      operationId: 'revokeKey',
      summary: 'Revoke a key; the next request with it is refused.',
      params: keyParams,
      missing: 'No such key.',
      responses: { 200: { description: 'The revoked key.', schema: apiKeySchema } },
      async handle({ params }) {
        const { id } = await tenants.find(params.tenant);
        return { status: 200, body: await tenantKeys.revoke(id, params.key) };
      },
    }),
  ];
}

export function createAdminRoutes(deps: AdminRoutesDeps): Route[] {
  return [
    ...tenantRoutes(deps),
    ...stateRoutes(deps),
    ...keyRoutes(deps),
    ...createOverviewRoutes(deps.overviews),
  ];
}
