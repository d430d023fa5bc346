/** `npm start`: everything on one host, staying up until it is told to stop. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { startStack, type Stack } from './stack.js';

const DEFAULTS = { stateDir: '/var/lib/mayfly', port: '8080', adminPort: '8081' } as const;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function parsePort(name: string, text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new Error(`${name}: ${text} is not a port`);
  return port;
}

/** What children may see of our environment: settings, not secrets that happen to be set. */
function settings(env: NodeJS.ProcessEnv): Record<string, string> {
  const passed = Object.entries(env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined &&
      /^(MAYFLY_(?!API_KEY|ADMIN_(KEY|URL))\w+|OTEL_\w+|NODE_EXTRA_CA_CERTS|HOST|PATH)$/.test(
        entry[0],
      ),
  );
  return { MAYFLY_LOG_LEVEL: 'warn', ...Object.fromEntries(passed) };
}

function curl({ url, apiKey }: Stack): string {
  return [
    `curl -s '${url}/v1/jobs?wait=10' \\`,
    `  -H 'Authorization: Bearer ${apiKey}' -H 'Content-Type: application/json' \\`,
    `  -d '{"language": "python", "source": "print(6 * 7)"}'`,
  ].join('\n');
}

function tenantCommands({ admin }: Stack): string {
  if (admin === null) return '';
  return [
    `export MAYFLY_ADMIN_URL=${admin.url} MAYFLY_ADMIN_KEY=${admin.key}`,
    'bin/mayfly tenants create NAME',
  ].join('\n');
}

function signalled(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        resolve(signal);
      });
    }
  });
}

async function main(): Promise<void> {
  const { env } = process;
  const toldToStop = signalled();
  const stack = await startStack({
    redisDir: join(env['MAYFLY_STATE_DIR'] ?? DEFAULTS.stateDir, 'redis'),
    port: parsePort('PORT', env['PORT'] ?? DEFAULTS.port),
    apiKey: env['MAYFLY_API_KEY'] ?? null,
    admin: {
      key: env['MAYFLY_ADMIN_KEY'] ?? randomBytes(24).toString('base64url'),
      port: parsePort('MAYFLY_ADMIN_PORT', env['MAYFLY_ADMIN_PORT'] ?? DEFAULTS.adminPort),
    },
    env: settings(env),
    output: 'inherit',
    report: print,
  });
  print(`Mayfly is ready at ${stack.url} (documentation: ${stack.url}/docs)`);
  print(`API key: ${stack.apiKey}\n\n${curl(stack)}\n`);
  print(`More tenants, from another shell:\n\n${tenantCommands(stack)}\n\nCtrl-C stops it.`);
  try {
    const signal = await Promise.race([toldToStop, stack.failed]);
    print(`${signal}: stopping; jobs that run are given time to finish`);
  } finally {
    await stack.stop();
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
