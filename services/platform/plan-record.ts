/** A plan as fields of the tenant's record, each as JSON, so that scripts read the numbers they need. */
import {
  PLAN_DEFAULTS,
  PLAN_FIELDS,
  planSchema,
  type Plan,
  type PlanChanges,
} from '../contract/plan.js';

export function planToFields(changes: PlanChanges): string[] {
  return PLAN_FIELDS.flatMap((name) => {
    const value = changes[name];
    return value === undefined ? [] : [name, JSON.stringify(value)];
  });
}

/** A field that came into the table after the tenant did has its default. */
export function planFromFields(
  valueOf: (name: string, index: number) => string | null | undefined,
): Plan {
  return planSchema.parse(
    Object.fromEntries(
      PLAN_FIELDS.map((name, index) => {
        const text = valueOf(name, index) ?? '';
        return [name, text === '' ? PLAN_DEFAULTS[name] : (JSON.parse(text) as unknown)];
      }),
    ),
  );
}

/** Plans are read with every request and change seldom: the parsed ones are kept by their text. */
const CACHED_MAX = 1_024;

export function createPlanCache() {
  const cache = new Map<string, Plan>();

  return function planOf(values: readonly string[]): Plan {
    const text = values.join('\n');
    let plan = cache.get(text);
    if (plan === undefined) {
      plan = planFromFields((_name, index) => values[index]);
      if (cache.size >= CACHED_MAX) cache.clear();
      cache.set(text, plan);
    }
    return plan;
  };
}
