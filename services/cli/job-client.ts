/** The tenant's client as commands use it: from the environment, with errors that say what to do. */
import { createClient, type Client } from '../client/client.js';
import { ConnectionError, MayflyError } from '../client/errors.js';
import { CliError, type Terminal } from './terminal.js';

const DEFAULT_URL = 'http://127.0.0.1:8080';

const NO_KEY = `MAYFLY_API_KEY is not set.
Set it to a key of yours; npm start prints one, and so does \`mayfly keys create\`.`;

export function clientOf({ env }: Terminal): Client {
  const apiKey = env['MAYFLY_API_KEY'] ?? '';
  if (apiKey === '') throw new CliError(NO_KEY);
  const url = env['MAYFLY_URL'] ?? DEFAULT_URL;
  if (!URL.canParse(url)) throw new CliError(`MAYFLY_URL: ${url} is not a URL.`);
  return createClient({ url, apiKey });
}

function remedyOf(error: MayflyError): string {
  if (error.code === 'unauthenticated') return '\nMAYFLY_API_KEY is not a key of this service.';
  if (error.code === 'queue_full') return '\nYour jobs that wait have to run first: mayfly jobs';
  if (error.code === 'not_found') return '\n`mayfly jobs` shows what there is.';
  return '';
}

/** Whatever a call fails with, as a sentence. */
export async function calling<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof MayflyError) {
      throw new CliError(`${error.message}${remedyOf(error)}`, { cause: error });
    }
    if (error instanceof ConnectionError) {
      const remedy = 'Is the service running (npm start)? MAYFLY_URL says where it is looked for.';
      throw new CliError(`${error.message}\n${remedy}`, { cause: error });
    }
    throw error;
  }
}
