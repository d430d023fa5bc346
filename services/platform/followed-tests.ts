/** The tests of a judge job as a follower tells of them: live or from the result, whichever is first. */
import { testEventOf, type TestEvent } from '../contract/job.js';
import type { JobReader } from './job-reader.js';
import { isSlicePart } from './result-parts.js';

export interface FollowedTestsDeps {
  readonly jobId: string;
  readonly reader: Pick<JobReader, 'readTests'>;
  readonly tell: (test: TestEvent) => void;
  readonly room: () => Promise<void>;
}

export class FollowedTests {
  readonly #deps: FollowedTestsDeps;
  readonly #told = new Set<number>();
  /** What was read from the result. */
  readonly #slices = new Set<string>();

  constructor(deps: FollowedTestsDeps) {
    this.#deps = deps;
  }

  /** All of them are told again. */
  startAnew(): void {
    this.#told.clear();
    this.#slices.clear();
  }

  take(test: TestEvent): void {
    if (this.#told.has(test.index)) return;
    this.#told.add(test.index);
    this.#deps.tell(test);
  }

  /** Of the slices that have ended, out of the parts that the result has. */
  async readStored(parts: readonly string[]): Promise<void> {
    const { reader, jobId, room } = this.#deps;
    const fresh = parts.filter((part) => isSlicePart(part) && !this.#slices.has(part));
    if (fresh.length === 0) return;
    for (const test of await reader.readTests(jobId, fresh)) {
      this.take(testEventOf(test));
      await room();
    }
    for (const part of fresh) this.#slices.add(part);
  }
}
