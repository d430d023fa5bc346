/** Text that may be bytes: `utf8` as it stands, or strict `base64`. */
import { z } from 'zod';

export const ENCODINGS = ['utf8', 'base64'] as const;
export const encodingSchema = z.enum(ENCODINGS, { error: 'must be "utf8" or "base64"' });
export type Encoding = z.infer<typeof encodingSchema>;

export interface Content {
  readonly content: string;
  readonly encoding: Encoding;
}

export function isStrictBase64(text: string): boolean {
  if (text.length % 4 !== 0) return false;
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  // One search for a wrong character: it cannot backtrack, whatever the length.
  if (/[^A-Za-z0-9+/]/.test(text.slice(0, text.length - padding))) return false;
  // Bits that belong to no byte must be zero, so that every content has one encoding.
  const last = text.slice(-4);
  return Buffer.from(last, 'base64').toString('base64') === last;
}

/** What is wrong with the content, or null. */
export function contentIssue({ content, encoding }: Content): string | null {
  if (encoding === 'base64') {
    return isStrictBase64(content) ? null : 'must be base64 (RFC 4648, padded, no line breaks)';
  }
  return /\p{Surrogate}/u.test(content)
    ? 'has half a surrogate pair, which UTF-8 cannot carry; send it as base64'
    : null;
}

export function contentBytes({ content, encoding }: Content): number {
  return Buffer.byteLength(content, encoding);
}

export function decodeContent({ content, encoding }: Content): Buffer {
  return Buffer.from(content, encoding);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The shortest honest form: as text where the bytes are UTF-8, else base64. */
export function encodeContent(bytes: Uint8Array): Content {
  try {
    return { content: utf8.decode(bytes), encoding: 'utf8' };
  } catch {
    // Not UTF-8: the decoder is fatal, so nothing was replaced silently.
    return { content: Buffer.from(bytes).toString('base64'), encoding: 'base64' };
  }
}
