/** Tenants of a stack, made by its admin API, each with a client of its own. */
import { Agent, request } from 'node:http';
import { z } from 'zod';
import type { Job } from '../../services/contract/job.js';
import type { TestStack } from '../helpers/stack.js';

export interface TenantClient {
  readonly id: string;
  readonly name: string;
  /** With a wait the job comes back ended; null: it was refused. */
  post(job: object, waitSeconds: number): Promise<Job | null>;
  /** Answers by their status. */
  readonly answers: ReadonlyMap<number, number>;
}

const createdSchema = z.object({ id: z.string(), apiKey: z.string() });

export async function createTenant(
  { stack }: TestStack,
  name: string,
  plan: Readonly<Record<string, number>> = {},
): Promise<TenantClient> {
  if (stack.admin === null) throw new Error('the stack has no admin API');
  const response = await fetch(`${stack.admin.url}/v1/admin/tenants`, {
    method: 'POST',
    headers: { authorization: `Bearer ${stack.admin.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      name,
      plan: { requestsPerSecond: 10_000, requestsBurst: 20_000, ...plan },
    }),
  });
  if (!response.ok) throw new Error(`creating ${name}: ${await response.text()}`);
  const { id, apiKey } = createdSchema.parse(await response.json());
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const answers = new Map<number, number>();

  function post(job: object, waitSeconds: number): Promise<Job | null> {
    const body = JSON.stringify(job);
    return new Promise((resolve, reject) => {
      const target = new URL(`/v1/jobs?wait=${waitSeconds}`, stack.url);
      const headers = {
        authorization: `Bearer ${apiKey}`,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
      };
      const call = request(target, { method: 'POST', agent, headers }, (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('error', reject);
        answer.on('end', () => {
          const status = answer.statusCode ?? 0;
          answers.set(status, (answers.get(status) ?? 0) + 1);
          resolve(status > 202 ? null : (JSON.parse(Buffer.concat(parts).toString()) as Job));
        });
      });
      call.on('error', reject);
      call.end(body);
    });
  }
  return { id, name, post, answers };
}
