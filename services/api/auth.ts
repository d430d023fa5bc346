/** Who calls: the key of a tenant, or the operator's. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { RequestHandler, Response } from 'express';
import type { AccessControl, RateLimit } from '../platform/access.js';
import { Refusal } from '../platform/errors.js';
import { requestContext } from './request-context.js';

const SEND_KEY = 'Send the key as "Authorization: Bearer <api key>".';

function bearerOf(header: string | undefined): string | null {
  return /^Bearer +(\S+) *$/i.exec(header ?? '')?.[1] ?? null;
}

/** draft-ietf-httpapi-ratelimit-headers: the policy, and what is left of it. */
function setRateLimit(response: Response, rate: RateLimit): void {
  const { burst, windowSeconds, remaining, resetSeconds } = rate;
  response.setHeader('RateLimit-Policy', `"requests";q=${burst};w=${windowSeconds}`);
  response.setHeader('RateLimit', `"requests";r=${remaining};t=${resetSeconds}`);
}

export function createAuthentication(access: Pick<AccessControl, 'authenticate'>): RequestHandler {
  return async (request, response, next) => {
    const apiKey = bearerOf(request.headers.authorization);
    if (apiKey === null) throw new Refusal('unauthenticated', SEND_KEY);
    const answer = await access.authenticate(apiKey);
    switch (answer.status) {
      case 'ok':
        setRateLimit(response, answer.caller.rate);
        requestContext(request).caller = answer.caller;
        next();
        return;
      case 'limited': {
        setRateLimit(response, answer.rate);
        const { retryAfterSeconds } = answer;
        throw new Refusal('rate_limited', 'Slow down; see the RateLimit headers.', {
          retryAfterSeconds,
        });
      }
      case 'suspended':
        throw new Refusal('suspended', 'Ask the operator of this service.');
      case 'expired':
        throw new Refusal('unauthenticated', 'This key has expired.');
      case 'unknown':
        throw new Refusal('unauthenticated', SEND_KEY);
    }
  };
}

/** The operator's key is a setting; like every key it is compared by its digest, in constant time. */
export function createAdminAuthentication(adminKey: string): RequestHandler {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(adminKey);
  return (request, _response, next) => {
    const given = bearerOf(request.headers.authorization);
    if (given === null || !timingSafeEqual(expected, digest(given))) {
      throw new Refusal(
        'unauthenticated',
        'Send MAYFLY_ADMIN_KEY as "Authorization: Bearer <key>".',
      );
    }
    next();
  };
}
