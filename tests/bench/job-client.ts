/** Posts jobs on connections that are kept, with as little work around it as Node allows. */
import { Agent, request } from 'node:http';
import type { Job } from '../../services/contract/job.js';

export interface Measured {
  readonly ms: number;
  readonly queuedMs: number | null;
  readonly boxMs: number | null;
}

export interface JobClient {
  /** Submits, waits for the end, and throws unless the program exited with 0. */
  run(body: string): Promise<Measured>;
  close(): void;
}

export function createJobClient(url: string, apiKey: string): JobClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const target = new URL('/v1/jobs?wait=10', url);

  const post = (body: string): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const headers = {
        authorization: `Bearer ${apiKey}`,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
      };
      const call = request(target, { method: 'POST', agent, headers }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() });
        });
        response.on('error', reject);
      });
      call.on('error', reject);
      call.end(body);
    });

  return {
    async run(body) {
      const since = performance.now();
      const { status, text } = await post(body);
      const ms = performance.now() - since;
      const job = status === 200 ? (JSON.parse(text) as Job) : null;
      const last = job?.run ?? job?.steps?.at(-1);
      if (job === null || last?.exitCode !== 0) {
        throw new Error(`POST /v1/jobs: ${status} ${text.slice(0, 500)}`);
      }
      return { ms, queuedMs: job.timings.queuedMs, boxMs: job.timings.boxMs };
    },
    close: () => agent.destroy(),
  };
}
