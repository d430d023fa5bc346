/** The operator's API: a listener and a key of its own, so that no port of the tenants' leads to it. */
import type { Express } from 'express';
import type { Logger } from '../platform/logger.js';
import { createAdminRoutes, type AdminRoutesDeps } from './admin-routes.js';
import { createShell } from './app.js';
import { createAdminAuthentication } from './auth.js';

export interface AdminAppDeps extends AdminRoutesDeps {
  readonly adminKey: string;
  readonly logger: Logger;
  readonly validateReplies?: boolean;
}

/** A request names a tenant and a few figures. */
const BODY_BYTES_MAX = 64 * 1024;

export function createAdminApp(deps: AdminAppDeps): Express {
  return createShell({
    title: 'Mayfly administration',
    routes: createAdminRoutes(deps),
    authenticate: createAdminAuthentication(deps.adminKey),
    bodyBytesMax: BODY_BYTES_MAX,
    logger: deps.logger,
    validateReplies: deps.validateReplies ?? false,
  });
}
