/**
 * What the scheduler's scripts should do, said again without Redis and without Lua: plain objects, plain
 * loops. Time is the one thing it does not have; what a run cost is told to it.
 */
export interface ModelTask {
  readonly id: string;
  readonly job: ModelJob;
  readonly part: string;
  score: number;
  state: 'backlog' | 'delayed' | 'admitted' | 'running' | 'terminal';
  admission: number;
  runs: number;
  excused: number;
  est: number;
  long: boolean;
  /** The virtual runtime of its tenant when it was admitted. */
  turn: number;
  cancel: boolean;
  token: string | null;
}

export interface ModelJob {
  readonly id: string;
  readonly tenant: string;
  readonly pool: string;
  readonly cpus: number;
  readonly tasks: ModelTask[];
  pending: string[];
  parallel: number | null;
  fate: 'cancelled' | 'failed' | null;
  status: 'queued' | 'running' | 'finished' | 'cancelled' | 'failed';
}

export interface ModelTenant {
  readonly name: string;
  readonly weight: number;
  readonly runningMax: number;
  readonly queuedMax: number;
  readonly jobsKept: number;
  vr: number;
  est: number;
  /** Whether a run of it has been measured: of whom nothing is known nothing is expected. */
  measured: boolean;
  running: number;
  ended: number;
  kept: string[];
}

export interface ModelPool {
  readonly name: string;
  readonly slots: Map<string, number>;
  /** By executor: how many short tasks it takes ahead of the slots they will have. */
  readonly aheads: Map<string, number>;
  /** Score by tenant. */
  readonly ready: Map<string, number>;
}

const RUNS_MAX = 4;
const EST_FIRST = 100;
const SHORT_MS = 250;
const FRONT = -1e13;
/** As the records round. */
const ms = (value: number): number => Number(value.toFixed(3));

const sum = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((total, count) => total + count, 0);

export class SchedulerModel {
  readonly tenants: Map<string, ModelTenant>;
  readonly pools = new Map<string, ModelPool>();
  readonly jobs: ModelJob[] = [];
  vmin = 0;
  private seq = 0;
  /** In the order in which Redis names them, which is its own business. */
  poolOrder: readonly string[] = [];

  constructor(
    tenants: readonly Pick<
      ModelTenant,
      'name' | 'weight' | 'runningMax' | 'queuedMax' | 'jobsKept'
    >[],
  ) {
    this.tenants = new Map(
      tenants.map((tenant) => [
        tenant.name,
        { ...tenant, vr: 0, est: EST_FIRST, measured: false, running: 0, ended: 0, kept: [] },
      ]),
    );
  }

  tasks(): ModelTask[] {
    return this.jobs.flatMap(({ tasks }) => tasks);
  }

  open(job: ModelJob): ModelTask[] {
    return job.tasks.filter(({ state }) => state !== 'terminal');
  }

  ended(job: ModelJob): boolean {
    return job.status !== 'queued' && job.status !== 'running';
  }

  inflight(pool: string): ModelTask[] {
    return this.tasks().filter(
      ({ state, job }) => job.pool === pool && (state === 'admitted' || state === 'running'),
    );
  }

  window(pool: string): number {
    return sum(this.pool(pool).slots);
  }

  pool(name: string): ModelPool {
    let pool = this.pools.get(name);
    if (pool === undefined) {
      pool = { name, slots: new Map(), aheads: new Map(), ready: new Map() };
      this.pools.set(name, pool);
    }
    return pool;
  }

  private tenant(name: string): ModelTenant {
    const tenant = this.tenants.get(name);
    if (tenant === undefined) throw new Error(`no tenant ${name}`);
    return tenant;
  }

  private backlog(pool: string, tenant: string): ModelTask[] {
    return this.tasks()
      .filter(({ state, job }) => state === 'backlog' && job.pool === pool && job.tenant === tenant)
      .sort((a, b) => a.score - b.score);
  }

  submit(job: {
    readonly id: string;
    readonly tenant: string;
    readonly pool: string;
    readonly priority: number;
    readonly cpus: number;
    readonly parts: readonly string[];
    readonly parallel: number;
  }): { status: 'ok' | 'full'; admitted: string[] } {
    const { queuedMax } = this.tenant(job.tenant);
    if (this.backlog(job.pool, job.tenant).length >= queuedMax) {
      return { status: 'full', admitted: [] };
    }
    const added: ModelJob = {
      ...job,
      tasks: [],
      pending: job.parts.slice(job.parallel),
      parallel: job.parts.length > 1 ? job.parallel : null,
      fate: null,
      status: 'queued',
    };
    this.jobs.push(added);
    for (const part of job.parts.slice(0, job.parallel)) {
      this.addTask(added, part, (9 - job.priority) * 1e13 + ++this.seq);
    }
    this.refresh(job.pool, job.tenant);
    return { status: 'ok', admitted: this.admit(job.pool) };
  }

  announce(pool: string, executor: string, slots: number, ahead: number): string[] {
    if (slots > 0) {
      this.pool(pool).slots.set(executor, slots);
      this.pool(pool).aheads.set(executor, ahead);
    } else {
      this.pool(pool).slots.delete(executor);
      this.pool(pool).aheads.delete(executor);
    }
    return this.admit(pool);
  }

  claim(task: ModelTask, token: string, cost: number): { status: string; admitted: string[] } {
    if (task.state !== 'admitted' && task.state !== 'running') {
      return { status: 'ended', admitted: [] };
    }
    const lost = task.runs - task.excused >= RUNS_MAX;
    if (task.cancel || lost) {
      this.release(task, cost, true);
      this.doom(task.job, task.cancel ? 'cancelled' : 'failed');
      this.endTask(task);
      return { status: 'ended', admitted: this.admitAll() };
    }
    task.runs += 1;
    if (task.state === 'admitted') this.vmin = task.turn;
    Object.assign(task, { state: 'running', token });
    task.job.status = 'running';
    return { status: 'go', admitted: [] };
  }

  settle(
    task: ModelTask,
    status: 'finished' | 'cancelled',
    then: { readonly parts: readonly string[]; readonly parallel: number; readonly stop: boolean },
    cost: number,
  ): string[] {
    const { job } = task;
    this.release(task, cost, true);
    if (status === 'cancelled' || (then.parts.length > 0 && task.cancel)) {
      this.doom(job, 'cancelled');
    } else if (then.parts.length > 0) {
      job.parallel = then.parallel;
      job.pending.push(...then.parts);
    }
    if (then.stop) this.drop(job, ['backlog', 'delayed']);
    this.endTask(task);
    return this.admitAll();
  }

  requeue(
    task: ModelTask,
    how: { readonly excused: boolean; readonly retryable: boolean },
    cost: number,
  ): { status: string; admitted: string[] } {
    this.release(task, cost, true);
    const last = !how.retryable || task.runs - task.excused >= RUNS_MAX;
    const fate = task.cancel ? 'cancelled' : !how.excused && last ? 'failed' : null;
    if (fate !== null) {
      this.doom(task.job, fate);
      this.endTask(task);
      return { status: fate, admitted: this.admitAll() };
    }
    if (how.excused) task.excused += 1;
    task.score = FRONT + ++this.seq;
    Object.assign(task, { state: how.excused ? 'backlog' : 'delayed', token: null });
    if (task.job.tasks.length === 1) task.job.status = 'queued';
    this.refresh(task.job.pool, task.job.tenant);
    return { status: 'queued', admitted: this.admitAll() };
  }

  cancel(job: ModelJob): { status: string; admitted: string[] } {
    if (this.ended(job)) return { status: 'final', admitted: [] };
    if (this.drop(job, ['backlog', 'delayed', 'admitted']) > 0) this.doom(job, 'cancelled');
    for (const task of this.open(job)) task.cancel = true;
    if (this.open(job).length > 0) return { status: 'cancelling', admitted: this.admitAll() };
    this.finish(job);
    return { status: 'cancelled', admitted: this.admitAll() };
  }

  /** The not-before times of these are over. One pool after the other: what one admits raises vmin for the next. */
  due(tasks: readonly ModelTask[]): string[] {
    return this.poolOrder.flatMap((pool) => {
      const here = tasks.filter(({ job }) => job.pool === pool);
      for (const task of here) task.state = 'backlog';
      for (const { job } of here) this.refresh(pool, job.tenant);
      return this.admit(pool);
    });
  }

  private addTask(job: ModelJob, part: string, score: number): void {
    const id = `task_${job.id.slice(4)}-${job.tasks.length + 1}`;
    const fresh = { admission: 0, runs: 0, excused: 0, est: 0, long: false, turn: 0 };
    const unclaimed = { cancel: false, token: null };
    job.tasks.push({ id, job, part, score, state: 'backlog', ...fresh, ...unclaimed });
  }

  private doom(job: ModelJob, fate: 'cancelled' | 'failed'): void {
    job.fate ??= fate;
  }

  /** Drops parts without a task, and tasks in these states. */
  private drop(job: ModelJob, states: readonly ModelTask['state'][]): number {
    const dropped = this.open(job).filter(({ state }) => states.includes(state));
    const count = dropped.length + job.pending.length;
    job.pending = [];
    // From the youngest on, as the last to come is the first to go.
    for (const task of dropped.reverse()) {
      if (task.state === 'admitted') this.release(task, 0, false);
      task.state = 'terminal';
    }
    this.refresh(job.pool, job.tenant);
    return count;
  }

  private endTask(task: ModelTask): void {
    const { job } = task;
    task.state = 'terminal';
    if (job.fate !== null) {
      this.drop(job, ['backlog', 'delayed', 'admitted']);
      for (const other of this.open(job)) other.cancel = true;
    } else {
      while (job.pending.length > 0 && this.open(job).length < (job.parallel ?? 1)) {
        this.addTask(job, job.pending.shift() ?? '', FRONT + ++this.seq);
      }
      this.refresh(job.pool, job.tenant);
    }
    if (this.open(job).length === 0) this.finish(job);
  }

  private finish(job: ModelJob): void {
    const tenant = this.tenant(job.tenant);
    job.status = job.fate ?? 'finished';
    tenant.ended += 1;
    tenant.kept.push(job.id);
    if (tenant.kept.length > tenant.jobsKept) tenant.kept.shift();
  }

  /** Ready is who has a backlog and may run more; who was idle starts with the least of the others. */
  private refresh(poolName: string, tenantName: string): void {
    const { ready } = this.pool(poolName);
    const tenant = this.tenant(tenantName);
    const may = tenant.running < tenant.runningMax;
    if (!may || this.backlog(poolName, tenantName).length === 0) ready.delete(tenantName);
    else if (!ready.has(tenantName)) {
      ready.set(tenantName, tenant.running > 0 ? tenant.vr : Math.max(tenant.vr, this.vmin));
    }
  }

  private refreshAll(tenant: string): void {
    for (const pool of this.poolOrder) this.refresh(pool, tenant);
  }

  private setVr(tenant: ModelTenant, vr: number): void {
    tenant.vr = ms(vr);
    for (const { ready } of this.pools.values()) {
      if (ready.has(tenant.name)) ready.set(tenant.name, tenant.vr);
    }
  }

  private release(task: ModelTask, cost: number, measured: boolean): void {
    const tenant = this.tenant(task.job.tenant);
    tenant.running -= 1;
    if (measured) {
      Object.assign(tenant, { est: ms(tenant.est * 0.9 + cost * 0.1), measured: true });
    }
    // It is out of flight now; what becomes of it is the caller's to say.
    task.state = 'terminal';
    this.setVr(tenant, tenant.vr + (cost - task.est) / tenant.weight);
    this.refreshAll(tenant.name);
  }

  private admit(poolName: string): string[] {
    const pool = this.pool(poolName);
    const admitted: string[] = [];
    for (;;) {
      const [next] = [...pool.ready].sort(
        ([a, x], [b, y]) => x - y || (a < b ? -1 : Number(a > b)),
      );
      if (next === undefined) break;
      const [name, score] = next;
      const tenant = this.tenant(name);
      const long = !tenant.measured || tenant.est > SHORT_MS;
      const inflight = this.inflight(poolName);
      const ahead = inflight.length - sum(pool.slots);
      if (ahead >= 0 && (long || inflight.some((other) => other.long))) break;
      const places = tenant.running === 0 ? 2 * sum(pool.aheads) : sum(pool.aheads);
      if (ahead >= places) break;
      const task = this.backlog(poolName, name)[0];
      if (task === undefined) throw new Error(`${name} is ready without a backlog`);
      tenant.running += 1;
      task.admission += 1;
      Object.assign(task, { state: 'admitted', est: ms(tenant.est), long, turn: ms(score) });
      this.setVr(tenant, score + tenant.est / tenant.weight);
      admitted.push(`${poolName} ${task.id}.${task.admission}`);
      this.refreshAll(name);
    }
    return admitted;
  }

  private admitAll(): string[] {
    return this.poolOrder.flatMap((pool) => this.admit(pool));
  }
}
