/**
 * API keys: `mf_<keyId>_<secret>_<crc>`. The id finds the record, the secret has 200 bits, and the CRC
 * tells a mistyped or cut-off key without asking Redis (and a leaked one to whoever scans for it).
 */
import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const KEY = /^mf_([a-z2-7]{16})_[a-z2-7]{40}_([0-9a-f]{8})$/;

function randomText(chars: number): string {
  // 256 is a multiple of 32: no character is likelier than another.
  return [...randomBytes(chars)].map((byte) => ALPHABET.charAt(byte & 31)).join('');
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

export function newApiKey(): { readonly keyId: string; readonly apiKey: string } {
  const keyId = randomText(16);
  const body = `mf_${keyId}_${randomText(40)}`;
  return { keyId, apiKey: `${body}_${checksum(body)}` };
}

/** The id of a key that is one by its form, else null. */
export function keyIdOf(apiKey: string): string | null {
  const [, keyId, crc] = KEY.exec(apiKey) ?? [];
  if (keyId === undefined || crc !== checksum(apiKey.slice(0, -9))) return null;
  return keyId;
}

/** What is kept of a key. A secret of 200 random bits needs no slow hash. */
export function digestOf(apiKey: string): string {
  return createHash('sha256').update(apiKey).digest('hex');
}
