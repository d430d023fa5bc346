/**
 * Every Redis key. A cell is one hash tag and holds a tenant whole, so that its scripts work on one
 * slot of a cluster. The Lua scripts build the same names from the cell (scripts/shared.ts).
 */
export type Cell = string;

/** The only cell for now; more throughput than one Redis thread has comes from more of them. */
export const DEFAULT_CELL: Cell = '{c0}';

export const DEFAULT_POOL = 'default';

export const QUEUE_NAME_PREFIX = 'run-';

export function createKeys(cell: Cell) {
  return {
    cell,
    job: (jobId: string) => `${cell}:job:${jobId}`,
    /** The heavy half of a record: no script that admits ever touches it. */
    result: (jobId: string) => `${cell}:result:${jobId}`,
    task: (taskId: string) => `${cell}:task:${taskId}`,
    spec: (jobId: string) => `${cell}:spec:${jobId}`,
    /** Parts of a job that have no task yet. */
    pending: (jobId: string) => `${cell}:pending:${jobId}`,
    /** A tenant's jobs by the time they came. */
    jobs: (tenantId: string) => `${cell}:jobs:${tenantId}`,
    /** A tenant's ended jobs by the time they ended, and their bytes. */
    kept: (tenantId: string) => `${cell}:kept:${tenantId}`,
    keptBytes: (tenantId: string) => `${cell}:kept-bytes:${tenantId}`,
    tenant: (tenantId: string) => `${cell}:tenant:${tenantId}`,
    /** All tenants by when they were made, and their ids by their names. */
    tenants: `${cell}:tenants`,
    tenantNames: `${cell}:tenant-names`,
    /** An API key by the part of it that is no secret, and the keys of a tenant. */
    apiKey: (keyId: string) => `${cell}:key:${keyId}`,
    apiKeys: (tenantId: string) => `${cell}:keys:${tenantId}`,
    /** What a tenant used on a day, counted since 1970. */
    usage: (tenantId: string, day: number) => `${cell}:usage:${tenantId}:${day}`,
    backlog: (pool: string, tenantId: string) => `${cell}:backlog:${pool}:${tenantId}`,
    /** Requeued tasks whose time has not come: in the backlog, but not to be admitted yet. */
    delayed: (pool: string) => `${cell}:delayed:${pool}`,
    ready: (pool: string) => `${cell}:ready:${pool}`,
    inflight: (pool: string) => `${cell}:inflight:${pool}`,
    /** What all of a pool's live executors have, and what was ever served there. */
    images: (pool: string) => `${cell}:images:${pool}`,
    imagesEver: (pool: string) => `${cell}:images-ever:${pool}`,
    window: (pool: string) => `${cell}:window:${pool}`,
    /** How many short tasks may be in flight beyond the window, and which in flight are long. */
    ahead: (pool: string) => `${cell}:ahead:${pool}`,
    long: (pool: string) => `${cell}:long:${pool}`,
    executors: (pool: string) => `${cell}:executors:${pool}`,
    slots: (pool: string) => `${cell}:slots:${pool}`,
    pools: `${cell}:pools`,
    /** What executors tell the operator, and who has told when. */
    report: (executorId: string) => `${cell}:report:${executorId}`,
    reporting: `${cell}:reporting`,
    vmin: `${cell}:vmin`,
    fenced: `${cell}:fenced`,
    /** Channels of the replicas at which somebody follows the job. */
    listeners: (jobId: string) => `${cell}:listeners:${jobId}`,
    watchers: (jobId: string) => `${cell}:watchers:${jobId}`,
    /** How the callback of a job stands; its secret is no part of that. */
    callback: (jobId: string) => `${cell}:callback:${jobId}`,
    blobTenants: `${cell}:blob-tenants`,
    blobs: (tenantId: string) => `${cell}:blobs:${tenantId}`,
    blobSizes: (tenantId: string) => `${cell}:blob-sizes:${tenantId}`,
    blobBytes: (tenantId: string) => `${cell}:blob-bytes:${tenantId}`,
    blobRefs: (tenantId: string, sha256: string) => `${cell}:blob-refs:${tenantId}:${sha256}`,
    blobKeeper: `${cell}:blob-keeper`,
    reconciler: `${cell}:reconciler`,
    /** Channels. */
    replies: (replicaId: string) => `${cell}:replies:${replicaId}`,
    /** What an executor is told about its runs (contract/control.ts). */
    control: (executorId: string) => `${cell}:control:${executorId}`,
    /** Somebody's callback has become due. */
    callbacksDue: `${cell}:callbacks-due`,
    /** What executors send to whoever follows their runs at this replica. */
    streams: (replicaId: string) => `${cell}:streams:${replicaId}`,
    /** What BullMQ prefixes its own keys with, and its queue of a pool. */
    queuePrefix: cell,
    queue: (pool: string) => `${QUEUE_NAME_PREFIX}${pool}`,
  };
}

export type Keys = ReturnType<typeof createKeys>;
