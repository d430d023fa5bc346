/** The clients, and their own ledger: what was accepted, and what was said to have ended, and how often. */
import { setTimeout as sleep } from 'node:timers/promises';
import { jobSchema, type Job } from '../../services/contract/job.js';
import type { World } from './world.js';

const CLIENTS = 6;

export interface Ledger {
  /** What a job has to print, by the id it was accepted under. */
  readonly accepted: ReadonlyMap<string, string>;
  readonly refused: ReadonlyMap<string, number>;
  /** How often each job was announced to have ended. */
  readonly endings: ReadonlyMap<string, number>;
  stop(): Promise<void>;
}

/** Keeps `target` jobs waiting, as far as the service lets it. */
export async function startClients(world: World, target: number): Promise<Ledger> {
  const { redis, urls, stack } = world;
  const accepted = new Map<string, string>();
  const refused = new Map<string, number>();
  const endings = new Map<string, number>();
  const subscriber = redis.duplicate();
  subscriber.on('error', () => undefined);
  subscriber.on('pmessage', (_pattern: string, _channel: string, told: string) => {
    const [id = told] = told.split(' ');
    endings.set(id, (endings.get(id) ?? 0) + 1);
  });
  await subscriber.psubscribe('{c0}:replies:*');

  let stopping = false;
  let waiting = 0;
  let count = 0;
  const look = async (): Promise<void> => {
    while (!stopping) {
      waiting = await redis.zcard('{c0}:backlog:default:default').catch(() => waiting);
      await sleep(100);
    }
  };
  const client = async (): Promise<void> => {
    while (!stopping) {
      if (waiting >= target) {
        await sleep(50);
        continue;
      }
      const number = ++count;
      const seconds = number % 10 === 0 ? 1 : 0.02;
      const source = `echo ${number}; sleep ${seconds}`;
      try {
        const response = await fetch(`${urls[number % urls.length] ?? ''}/v1/jobs`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${stack.apiKey}`,
            'content-type': 'application/json',
          },
          body: JSON.stringify({ language: 'bash', source }),
          signal: AbortSignal.timeout(10_000),
        });
        const body: unknown = await response.json();
        if (response.status === 202) accepted.set(jobSchema.parse(body).id, `${number}\n`);
        else {
          const code = String((body as { code?: unknown }).code);
          refused.set(code, (refused.get(code) ?? 0) + 1);
          await sleep(100);
        }
      } catch {
        refused.set('no answer', (refused.get('no answer') ?? 0) + 1);
        await sleep(100);
      }
    }
  };
  const running = [look(), ...Array.from({ length: CLIENTS }, client)];
  return {
    accepted,
    refused,
    endings,
    async stop() {
      stopping = true;
      await Promise.all(running);
      subscriber.disconnect();
    },
  };
}

export async function readJob({ urls, stack }: World, id: string): Promise<Job | null> {
  const response = await fetch(`${urls[0] ?? ''}/v1/jobs/${id}`, {
    headers: { authorization: `Bearer ${stack.apiKey}` },
  });
  if (response.status === 404) return null;
  return jobSchema.parse(await response.json());
}
