/** A supervisor from its start to its end: handshake, images, and which event belongs to which box. */
import { constants } from 'node:os';
import { SandboxFault } from '../../services/contract/faults.js';
import { errnoText } from './errno.js';
import type { NativeEvent, NativeLibrary } from './native-binding.js';
import { NativeBox } from './native-box.js';
import { encodeStrings } from './native-archives.js';
import { faultOf, stepRequest } from './native-messages.js';
import { EVENT_KINDS, meaningOf } from './native-structs.js';
import type { Box, BoxSpec } from './sandbox.js';
import { startSupervisor, type SupervisorLink } from './supervisor-link.js';
import type { WarmImage } from './warm.js';

export interface SandboxImage {
  readonly name: string;
  /** Directories on the host, lowest first. */
  readonly layerPaths: readonly string[];
  /** Boxes for it are made ahead of time from the start, and not only while it is in use. */
  readonly keepReady?: boolean;
}

export interface ConnectionDeps {
  readonly library: NativeLibrary;
  readonly supervisorPath: string;
  readonly images: readonly SandboxImage[];
  readonly boxesMax: number;
  /** Boxes kept ready for an image. */
  readonly poolBoxes: number;
  /** Interpreters that are started ahead of their jobs, and the memory of all of them; without it there are none. */
  readonly warm?: { readonly images: readonly WarmImage[]; readonly bytesMax: number };
  /** A supervisor that takes longer, on top of what a program may take, is killed. */
  readonly answerMs?: number;
  /** One that takes longer to get ready is given up. */
  readonly startMs?: number;
}

/** From the start to READY and all images: far more than the milliseconds that it takes. */
const START_WAIT_MS = 10_000;
const BOX_IDS = 2 ** 31;
/** Ids of images with a layer on them begin above those of the host's own. */
const LAYERED_IDS = 2 ** 16;
/** Long beyond anything but a hang: writing the largest files takes a tenth of it. */
const ANSWER_MS = 15_000;

export class SupervisorConnection {
  readonly #deps: ConnectionDeps;
  readonly #link: SupervisorLink;
  readonly #boxes = new Map<number, NativeBox>();
  readonly #imageIds: ReadonlyMap<string, number>;
  readonly #warmIds = new Map<string, number>();
  /** Images with a layer on them, by both names; the supervisor is told of one when its first box is opened. */
  readonly #layered = new Map<string, { readonly id: number; readonly path: string }>();
  readonly #imagesMissing: Set<number>;
  readonly #started = deferred<undefined>();
  readonly #lost = deferred<string>();
  #ownFault: SandboxFault | null = null;
  #lastId = 0;
  #lastLayered = LAYERED_IDS;

  constructor(deps: ConnectionDeps) {
    this.#deps = deps;
    this.#imageIds = new Map(deps.images.map(({ name }, index) => [name, index + 1]));
    this.#imagesMissing = new Set(this.#imageIds.values());
    this.#link = startSupervisor({
      ...deps,
      warmBytes: deps.warm?.bytesMax ?? 0,
      onEvent: (event, data) => {
        const box = this.#boxes.get(event.box);
        if (box !== undefined) box.handle(event, data);
        else this.#handleOwn(event);
      },
      onLost: (detail) => this.#lose(detail),
    });
  }

  get pid(): number {
    return this.#link.pid;
  }

  /** Says how when the supervisor is gone, however it went. */
  get lost(): Promise<string> {
    return this.#lost.promise;
  }

  /** Resolves when boxes of every image can be made; a supervisor that cannot do that is ended. */
  async ready(): Promise<void> {
    const timer = setTimeout(() => {
      const detail = 'the supervisor did not get ready';
      this.#started.reject(new SandboxFault({ stage: 'start', detail }));
    }, this.#deps.startMs ?? START_WAIT_MS);
    try {
      await this.#started.promise;
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  openBox(spec: BoxSpec): Box {
    const imageId = this.#imageIds.get(spec.image);
    if (imageId === undefined) {
      const detail = `there is no image ${spec.image} here`;
      throw new SandboxFault({ stage: 'image', detail, retryable: false });
    }
    const id = this.#freeId();
    const box = new NativeBox({
      id,
      imageId: this.#idWith(imageId, spec),
      library: this.#deps.library,
      link: this.#link,
      answerMs: this.#deps.answerMs ?? ANSWER_MS,
      onClosed: () => void this.#boxes.delete(id),
    });
    this.#boxes.set(id, box);
    box.open(spec);
    return box;
  }

  dropLayer(path: string): void {
    for (const [key, layered] of this.#layered) {
      if (layered.path !== path) continue;
      this.#layered.delete(key);
      this.#link.send(
        (fd) => this.#deps.library.forget(fd, layered.id),
        () => undefined, // the supervisor is gone, and all of its layers
      );
    }
  }

  /** Whether the supervisor went in good order; else the next one has something to sweep. */
  async close(): Promise<boolean> {
    const inOrder = await this.#link.close();
    this.#lose('the sandbox was stopped');
    return inOrder;
  }

  /** Of the image as this box is to have it. */
  #idWith(base: number, { layer = null, warm = null }: BoxSpec): number {
    if (layer !== null) return this.#layeredId(base, layer);
    return (warm === null ? undefined : this.#warmIds.get(warm)) ?? base;
  }

  #layeredId(base: number, path: string): number {
    const key = `${base} ${path}`;
    const known = this.#layered.get(key);
    if (known !== undefined) return known.id;
    const id = (this.#lastLayered += 1);
    this.#layered.set(key, { id, path });
    this.#link.send(
      (fd) => this.#deps.library.layer(fd, { image: id, base, pooled: 0 }, path),
      () => this.#layered.delete(key), // its boxes are refused, and the next one is a new attempt
    );
    return id;
  }

  #freeId(): number {
    do this.#lastId = (this.#lastId % BOX_IDS) + 1;
    while (this.#boxes.has(this.#lastId));
    return this.#lastId;
  }

  /** An event about no box: about the start, an image, or the whole supervisor. */
  #handleOwn(event: NativeEvent): void {
    const kind = meaningOf(EVENT_KINDS, event.kind, 'event');
    if (kind === 'ready') {
      this.#sendImages();
    } else if (kind === 'image') {
      this.#imagesMissing.delete(event.box);
      if (this.#imagesMissing.size === 0) this.#started.resolve(undefined);
    } else if (kind === 'fault') {
      this.#ownFault = faultOf(event, this.#deps.library.stageName(event.stage));
      this.#started.reject(this.#ownFault);
    }
  }

  #sendImages(): void {
    const { images, library } = this.#deps;
    for (const { name, layerPaths, keepReady = false } of images) {
      const id = this.#imageIds.get(name) ?? 0;
      this.#link.send(
        (fd) => library.image(fd, id, keepReady, layerPaths),
        (errno) => {
          const detail = `image ${name}: ${errnoText(errno)}`;
          this.#started.reject(new SandboxFault({ stage: 'image', errno, detail }));
        },
      );
    }
    if (images.length === 0) this.#started.resolve(undefined);
    this.#sendWarm();
  }

  #sendWarm(): void {
    const { warm, library } = this.#deps;
    if (warm === undefined || warm.bytesMax === 0) return;
    for (const { name, image, step } of warm.images) {
      const base = this.#imageIds.get(image);
      if (base === undefined) continue;
      const id = this.#imageIds.size + this.#warmIds.size + 1;
      const packed = encodeStrings(step);
      this.#link.send(
        (fd) => library.warm(fd, id, stepRequest(base, step, packed), packed.strings),
        () => undefined, // the supervisor is gone
      );
      this.#warmIds.set(name, id);
    }
  }

  #lose(how: string): void {
    const detail = this.#ownFault === null ? how : `${how} after ${this.#ownFault.message}`;
    const fault = new SandboxFault({ stage: 'supervisor', errno: constants.errno.EPIPE, detail });
    this.#started.reject(fault);
    for (const box of [...this.#boxes.values()]) box.lose(fault);
    this.#lost.resolve(detail);
  }
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: SandboxFault) => void;
}

function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: SandboxFault) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
