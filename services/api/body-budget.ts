/**
 * Bodies are held in memory until their request is answered. All of them together may be as large as so
 * many of the largest: who comes beyond that is refused before a byte of the body is read.
 */
import type { RequestHandler } from 'express';
import { Refusal } from '../platform/errors.js';

export const LARGEST_AT_ONCE = 16;

export function createBodyBudget(bodyBytesMax: number): RequestHandler {
  let bytesHeld = 0;
  return (request, response, next) => {
    // Without a length it may become as large as is allowed.
    const bytes = Math.min(Number(request.headers['content-length'] ?? bodyBytesMax), bodyBytesMax);
    if (bytesHeld + bytes > LARGEST_AT_ONCE * bodyBytesMax) {
      throw new Refusal('capacity', 'Too much is being received at the moment.');
    }
    bytesHeld += bytes;
    response.once('close', () => {
      bytesHeld -= bytes;
    });
    next();
  };
}
