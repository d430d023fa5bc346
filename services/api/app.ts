/** The Express app: what every request passes, in this order. */
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import swaggerUi from 'swagger-ui-express';
import type { Blobs } from '../platform/blobs.js';
import type { ListJobs } from '../platform/job-list.js';
import type { Jobs } from '../platform/jobs.js';
import type { Streams } from '../platform/streams.js';
import type { Logger } from '../platform/logger.js';
import type { CheckReadiness } from '../platform/readiness.js';
import type { UsageReader } from '../platform/usage.js';
import type { AccessControl } from '../platform/access.js';
import { createAuthentication } from './auth.js';
import { NO_TELEMETRY, type Telemetry } from '../platform/telemetry.js';
import { createBlobRoutes } from './blob-routes.js';
import { createBatchesRoutes } from './batches-routes.js';
import { createAttachRoute } from './attach-route.js';
import { createCatalogRoutes } from './catalog-routes.js';
import { createControlRoutes } from './control-routes.js';
import { createEventsRoutes } from './events-routes.js';
import { createHealthRoutes } from './health-routes.js';
import type { ImageStore } from './image-store.js';
import { createJobFileRoutes } from './job-file-routes.js';
import { createJobsRoutes } from './jobs-routes.js';
import { createOpenApi } from './openapi.js';
import { ApiProblem, problemHandler } from './problems.js';
import { createRequestLog } from './request-context.js';
import { createInternalBlobs, type InternalBlobsDeps } from './internal-blobs.js';
import { mountRoutes, type Route } from './route.js';
import { createSubmitJob } from './submit-job.js';
import { createUsageRoutes } from './usage-routes.js';

export interface AppDeps {
  readonly jobs: Jobs;
  readonly listJobs: ListJobs;
  readonly usage: UsageReader;
  readonly streams: Streams;
  readonly images: ImageStore;
  readonly blobs: Blobs;
  /** Null: executors share the store. */
  readonly internalBlobs: InternalBlobsDeps | null;
  readonly checkReadiness: CheckReadiness;
  readonly access: AccessControl;
  readonly bodyBytesMax: number;
  readonly logger: Logger;
  readonly validateReplies?: boolean;
  readonly telemetry?: Telemetry;
}

export function createApp(deps: AppDeps): Express {
  const submitJob = createSubmitJob(deps);
  return createShell({
    title: 'Mayfly',
    routes: [
      ...createJobsRoutes({ ...deps, submitJob }),
      ...createBatchesRoutes(submitJob, deps.access),
      ...createUsageRoutes(deps.usage),
      ...createBlobRoutes(deps),
      ...createJobFileRoutes(deps),
      ...createControlRoutes(deps),
      ...createEventsRoutes(deps),
      createAttachRoute(deps),
      ...createCatalogRoutes(deps.images),
      ...createHealthRoutes(deps.checkReadiness),
    ],
    authenticate: createAuthentication(deps.access),
    internal: deps.internalBlobs === null ? null : createInternalBlobs(deps.internalBlobs),
    bodyBytesMax: deps.bodyBytesMax,
    logger: deps.logger,
    validateReplies: deps.validateReplies ?? false,
    telemetry: deps.telemetry,
  });
}

export interface Shell {
  readonly title: string;
  readonly routes: readonly Route[];
  /** Passed by whatever is under /v1. */
  readonly authenticate: RequestHandler;
  /** What is under /internal; it authenticates by itself. */
  readonly internal?: RequestHandler | null;
  readonly bodyBytesMax: number;
  readonly logger: Logger;
  readonly validateReplies: boolean;
  readonly telemetry?: Telemetry | undefined;
}

/** What the tenants' API and the operator's have in common. */
export function createShell(shell: Shell): Express {
  const { routes, bodyBytesMax, validateReplies } = shell;
  const openApi = createOpenApi(shell.title, routes);
  const app = express();
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use(createRequestLog(shell.logger, shell.telemetry ?? NO_TELEMETRY));
  // TLS ends at a proxy; on plain HTTP the pages of /docs must not be asked for over HTTPS.
  app.use(helmet({ contentSecurityPolicy: { directives: { upgradeInsecureRequests: null } } }));
  app.get('/openapi.json', (_request, response) => {
    response.json(openApi);
  });
  app.use('/docs', swaggerUi.serve, swaggerUi.setup(undefined, { swaggerUrl: '/openapi.json' }));
  app.use('/v1', shell.authenticate);
  if (shell.internal) app.use('/internal', shell.internal);
  mountRoutes(app, routes, { bodyBytesMax, validateReplies });
  app.use(() => {
    throw new ApiProblem('not_found', 'There is no such path.');
  });
  app.use(problemHandler);
  return app;
}
