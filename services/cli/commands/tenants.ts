/** `mayfly tenants`. The options that set a plan are the plan's own table. */
import { type Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { PLAN, PLAN_FIELDS, type PlanChanges, type PlanFieldName } from '../../contract/plan.js';
import { createdTenantSchema, tenantSchema, type Tenant } from '../../contract/tenant.js';
import { adminCall, tenantPath } from '../admin-client.js';
import { show, table, type OutputOptions, type Terminal } from '../terminal.js';

type PlanOptions = OutputOptions & PlanChanges;

const tenantListSchema = z.strictObject({ tenants: z.array(tenantSchema) });

function optionName(field: PlanFieldName): string {
  return field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** As JSON where it is JSON; names may be written with commas between them. */
function parseField(field: PlanFieldName, text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = text.split(',');
  }
  const parsed = PLAN[field].schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError(parsed.error.issues.map(({ message }) => message).join('; '));
}

function withPlan(command: Command, { showDefaults }: { readonly showDefaults: boolean }): Command {
  for (const field of PLAN_FIELDS) {
    const { description, default: initial } = PLAN[field];
    command.option(
      `--${optionName(field)} <value>`,
      showDefaults ? `${description} Default: ${JSON.stringify(initial)}` : description,
      (text) => parseField(field, text),
    );
  }
  return command.option('--json', 'for machines');
}

function planOf(options: PlanOptions): PlanChanges {
  return Object.fromEntries(
    PLAN_FIELDS.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
  );
}

function describe({ id, name, status, createdAt, plan }: Tenant): string {
  const rows = PLAN_FIELDS.map((field) => [optionName(field), JSON.stringify(plan[field])]);
  const head = `${name} (${id}), ${status}, since ${createdAt}`;
  return `${head}\n${table(['plan', ''], rows)}`;
}

export function addTenantCommands(program: Command, terminal: Terminal): void {
  const tenants = program.command('tenants').description('Who may use this installation.');

  withPlan(tenants.command('create <name>').description('Create a tenant, and its first key.'), {
    showDefaults: true,
  }).action(async (name: string, options: PlanOptions) => {
    const body = { name, plan: planOf(options) };
    const created = await adminCall(terminal, 'POST', '/tenants', createdTenantSchema, body);
    const text = `${created.name} is ${created.id}.
API key (shown this once): ${created.apiKey}`;
    show(terminal, options, created, text);
  });

  tenants
    .command('list')
    .description('All tenants, oldest first.')
    .option('--json', 'for machines')
    .action(async (options: OutputOptions) => {
      const answer = await adminCall(terminal, 'GET', '/tenants', tenantListSchema);
      const rows = answer.tenants.map(({ id, name, status, plan, createdAt }) => [
        name,
        id,
        status,
        String(plan.weight),
        createdAt,
      ]);
      const text = table(['NAME', 'ID', 'STATUS', 'WEIGHT', 'CREATED'], rows);
      show(terminal, options, answer.tenants, text);
    });

  addTenantCall(tenants, terminal, { name: 'show', method: 'GET', description: 'One tenant.' });

  withPlan(
    tenants.command('set <tenant>').description('Change the plan; what is not named stays.'),
    { showDefaults: false },
  ).action(async (tenant: string, options: PlanOptions) => {
    const body = { plan: planOf(options) };
    const changed = await adminCall(terminal, 'PATCH', tenantPath(tenant), tenantSchema, body);
    show(terminal, options, changed, describe(changed));
  });

  tenants
    .command('suspend <tenant>')
    .description('Refuse every call from now on.')
    .option('--cancel-jobs', 'also cancel what waits and runs; otherwise it goes on')
    .option('--json', 'for machines')
    .action(async (tenant: string, options: OutputOptions & { readonly cancelJobs?: boolean }) => {
      const path = tenantPath(tenant, '/suspend');
      const body = { cancelJobs: options.cancelJobs ?? false };
      const changed = await adminCall(terminal, 'POST', path, tenantSchema, body);
      show(terminal, options, changed, `${changed.name} is suspended.`);
    });

  addTenantCall(tenants, terminal, {
    name: 'resume',
    method: 'POST',
    rest: '/resume',
    description: 'Take the calls of a suspended tenant again.',
  });

  tenants
    .command('delete <tenant>')
    .description('Delete a tenant: its keys end at once, and its jobs are cancelled.')
    .option('--json', 'for machines')
    .action(async (tenant: string, options: OutputOptions) => {
      const gone = await adminCall(terminal, 'DELETE', tenantPath(tenant), z.strictObject({}));
      show(terminal, options, gone, `${tenant} is deleted.`);
    });
}

interface TenantCall {
  readonly name: string;
  readonly method: 'GET' | 'POST';
  readonly rest?: string;
  readonly description: string;
}

/** A call that needs nothing but the tenant, and answers with it. */
function addTenantCall(tenants: Command, terminal: Terminal, call: TenantCall): void {
  const { name, method, rest = '', description } = call;
  tenants
    .command(`${name} <tenant>`)
    .description(description)
    .option('--json', 'for machines')
    .action(async (tenant: string, options: OutputOptions) => {
      const answer = await adminCall(terminal, method, tenantPath(tenant, rest), tenantSchema);
      show(terminal, options, answer, describe(answer));
    });
}
