/** `mayfly keys`. */
import { type Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { apiKeySchema, issuedKeySchema, type IssuedKey } from '../../contract/tenant.js';
import { adminCall, tenantPath } from '../admin-client.js';
import { show, table, type OutputOptions, type Terminal } from '../terminal.js';

const keyListSchema = z.strictObject({ keys: z.array(apiKeySchema) });

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** `90d`, `12h`, `30m`, `10s`. */
function seconds(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  if (count === undefined || unit === undefined) {
    throw new InvalidArgumentError('must be a time such as 90d, 12h, 30m or 10s');
  }
  return Number(count) * SECONDS[unit as keyof typeof SECONDS];
}

interface ExpiryOptions extends OutputOptions {
  readonly expiresIn?: number;
}

function issuedText({ id, expiresAt, apiKey }: IssuedKey): string {
  const until = expiresAt === null ? 'does not expire' : `works until ${expiresAt}`;
  return `${id} ${until}.\nAPI key (shown this once): ${apiKey}`;
}

function keyPath(tenant: string, key: string, rest = ''): string {
  return tenantPath(tenant, `/keys/${encodeURIComponent(key)}${rest}`);
}

export function addKeyCommands(program: Command, terminal: Terminal): void {
  const keys = program.command('keys').description('What tenants prove themselves with.');

  keys
    .command('create <tenant>')
    .description('Issue a key.')
    .option('--name <name>', 'what it is for')
    .option('--expires-in <time>', 'such as 90d; default: never', seconds)
    .option('--json', 'for machines')
    .action(async (tenant: string, options: ExpiryOptions & { readonly name?: string }) => {
      const body = { name: options.name, expiresInSeconds: options.expiresIn };
      const path = tenantPath(tenant, '/keys');
      const issued = await adminCall(terminal, 'POST', path, issuedKeySchema, body);
      show(terminal, options, issued, issuedText(issued));
    });

  keys
    .command('list <tenant>')
    .description('The keys of a tenant, newest first, without their secrets.')
    .option('--json', 'for machines')
    .action(async (tenant: string, options: OutputOptions) => {
      const answer = await adminCall(terminal, 'GET', tenantPath(tenant, '/keys'), keyListSchema);
      const rows = answer.keys.map((key) => [
        key.id,
        key.name,
        key.revokedAt === null ? 'active' : 'revoked',
        key.createdAt,
        key.expiresAt ?? 'never',
        key.lastUsedAt ?? 'never',
      ]);
      const head = ['ID', 'NAME', 'STATUS', 'CREATED', 'EXPIRES', 'LAST USED'];
      show(terminal, options, answer.keys, table(head, rows));
    });

  keys
    .command('rotate <tenant> <key>')
    .description('Issue a key in the place of another.')
    .option('--grace <time>', 'how long the old one still works; default: not at all', seconds)
    .option('--expires-in <time>', "default: as long as the old key's life", seconds)
    .option('--json', 'for machines')
    .action(
      async (tenant: string, key: string, options: ExpiryOptions & { readonly grace?: number }) => {
        const body = { graceSeconds: options.grace, expiresInSeconds: options.expiresIn };
        const path = keyPath(tenant, key, '/rotate');
        const issued = await adminCall(terminal, 'POST', path, issuedKeySchema, body);
        show(terminal, options, issued, issuedText(issued));
      },
    );

  keys
    .command('revoke <tenant> <key>')
    .description('End a key: the next request with it is refused.')
    .option('--json', 'for machines')
    .action(async (tenant: string, key: string, options: OutputOptions) => {
      const revoked = await adminCall(terminal, 'DELETE', keyPath(tenant, key), apiKeySchema);
      show(terminal, options, revoked, `${revoked.id} is revoked.`);
    });
}
