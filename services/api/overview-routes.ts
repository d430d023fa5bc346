/** /v1/admin/overview and /v1/admin/executors: how the installation is, for the operator. */
import { executorListSchema, overviewSchema } from '../contract/overview.js';
import type { Overviews } from '../platform/overview.js';
import { route, type Route } from './route.js';

export function createOverviewRoutes(overviews: Overviews): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/admin/overview',
      operationId: 'getOverview',
      summary: 'Backlogs, slots, busy tenants, outcomes and stages at this moment.',
      responses: { 200: { description: 'The overview.', schema: overviewSchema } },
      handle: async () => ({ status: 200, body: await overviews.read() }),
    }),
    route({
      method: 'get',
      path: '/v1/admin/executors',
      operationId: 'listExecutors',
      summary: 'The executors that live: slots, images, load, version, and whether they drain.',
      responses: { 200: { description: 'The executors.', schema: executorListSchema } },
      handle: async () => ({ status: 200, body: { executors: await overviews.executors() } }),
    }),
  ];
}
