/// <reference path="./globals.d.ts" />

/**
 * The SDK of frigg-host plugins in TypeScript and JavaScript.
 *
 * A plugin exports functions named as in the contract. Each takes the message of the contract and returns, or promises, the
 * message that answers it:
 *
 *     import { events, actions, modules } from "@frigg-host/sdk";
 *
 *     export const frigg_handle_event = events({
 *       ON_CREATE: async () => { ... },
 *       SYNC_PAGE: async (cursor: string) => { ... },
 *     });
 *
 *     export const frigg_run_action = actions({ SYNC_NOW: () => ({ message: "Started." }) });
 *
 * Whatever is thrown as FriggError is a value for the host, which decides by its kind whether to try again; any other error is
 * a bug of the plugin. Every call starts from the same clean state: what a call changes in variables is gone after it.
 */
import type {
  ActionInput, ActionOutput, Answer, Association, AssociationList, Capabilities, EventInput, EventOutput, Fault, FaultKind,
  FetchPageInput, FetchPageOutput, HashAlgorithm, HTTPReply, HTTPRequest, HTTPResponse, Integration, IntegrationUpdate,
  MappingEntry, MethodInput, MethodOutput, ModuleValue, Process, ProcessAdd, ProcessCreate, ProcessUpdate, QueueEnqueue, QueueJob,
  RecordResult, RecordWrite, RouteInput, ScheduleEntry, SchedulePut, SyncSide, SyncStarted, WebhookAddress, WebhookEvent,
  WriteBatchInput, WriteBatchOutput,
} from "./contract_gen";

export type * from "./contract_gen";

/** The door to the host, which exists in every plugin: JSON in, JSON of an Answer out. */
declare const frigg: { call(capability: string, name: string, request: string): string };

type May<T> = T | Promise<T>;

// -- failures

/** A failure as the host and plugins tell each other of it. */
export class FriggError extends Error {
  /** As it goes to the host. */
  readonly fault: Fault;

  constructor(kind: FaultKind, message: string, more: Omit<Fault, "kind" | "message"> = {}) {
    super(message);
    this.name = "FriggError";
    this.fault = { ...more, kind, message };
  }

  get kind(): FaultKind {
    return this.fault.kind;
  }

  /** Whose fault it is. */
  get side(): Fault["side"] {
    return this.fault.side;
  }

  /** HTTP status that the vendor answered, if any. */
  get status(): number | undefined {
    return this.fault.status;
  }
}

/** Reports whether an error is a FriggError of one of the kinds, or of any if none is given. */
export function isFault(error: unknown, ...kinds: FaultKind[]): error is FriggError {
  return error instanceof FriggError && (kinds.length === 0 || kinds.includes(error.kind));
}

function faultOf(error: unknown): Fault {
  if (error instanceof FriggError) return error.fault;
  return { kind: "internal", message: error instanceof Error ? `${error.name}: ${error.message}` : `${error}` };
}

/** An error that ends the event, whatever the kind: `throw halt(error)`. */
export function halt(error: unknown): FriggError {
  const { kind, message, ...more } = faultOf(error);
  return new FriggError(kind, message, { ...more, halt: true });
}

/** An error after which the event is tried again after a known time: `throw retryAfter(60_000, error)`. */
export function retryAfter(ms: number, error: unknown): FriggError {
  const { message, ...more } = faultOf(error);
  return new FriggError("rate_limited", message, { ...more, retry_after_ms: Math.ceil(ms) });
}

// -- capabilities

type Request<C extends keyof Capabilities, F extends keyof Capabilities[C]> = Capabilities[C][F] extends { request: infer R } ? R : never;
type Response<C extends keyof Capabilities, F extends keyof Capabilities[C]> = Capabilities[C][F] extends { response: infer R } ? R : never;

/** Calls any function of the contract; what follows is built on it. */
export async function call<C extends keyof Capabilities, F extends keyof Capabilities[C] & string>(
  capability: C, name: F, request: Request<C, F>,
): Promise<Response<C, F>> {
  const answer: Answer = JSON.parse(frigg.call(capability, name, JSON.stringify(request)));
  if (answer.fault) {
    const { kind, message, ...more } = answer.fault;
    throw new FriggError(kind, message, more);
  }
  return answer.value;
}

type HTTPOptions = Omit<HTTPRequest, "method" | "url" | "json">;

async function exchange<T>(method: string, url: string, json: unknown, options: HTTPOptions): Promise<T> {
  const response = await call("http", "send", { ...options, method, url, json });
  return response.text ? JSON.parse(response.text) : (undefined as T);
}

/**
 * Requests at the vendor. Paths are below the API's base URL; the host adds the credential. Integrations name whose connection
 * with `{ role }`. Answers are decoded JSON; a status of 400 and more is a FriggError.
 */
export const http = {
  send: (request: HTTPRequest): Promise<HTTPResponse> => call("http", "send", request),
  get: <T = any>(url: string, options: HTTPOptions = {}) => exchange<T>("GET", url, undefined, options),
  post: <T = any>(url: string, json?: unknown, options: HTTPOptions = {}) => exchange<T>("POST", url, json, options),
  put: <T = any>(url: string, json?: unknown, options: HTTPOptions = {}) => exchange<T>("PUT", url, json, options),
  patch: <T = any>(url: string, json?: unknown, options: HTTPOptions = {}) => exchange<T>("PATCH", url, json, options),
  delete: <T = any>(url: string, options: HTTPOptions = {}) => exchange<T>("DELETE", url, undefined, options),
};

/** Methods of the API modules behind the integration's roles. */
export const modules = {
  async call<T = any>(role: string, method: string, args?: unknown): Promise<T> {
    const { value }: ModuleValue = await call("module", "call", { role, method, args });
    return value;
  },
};

/** A small key-value store of the integration record, or of the entity (modules). */
export const storage = {
  /** The value of a key, undefined if there is none. */
  async get<T = any>(key: string): Promise<T | undefined> {
    const { found, value } = await call("storage", "get", { key });
    return found ? value : undefined;
  },
  async put(key: string, value: unknown): Promise<void> {
    await call("storage", "put", { key, value });
  },
  async delete(key: string): Promise<void> {
    await call("storage", "delete", { key });
  },
  /** All keys with a prefix, in order. */
  async *keys(prefix?: string): AsyncGenerator<string> {
    for (let after: string | undefined; ;) {
      const page = await call("storage", "list", { prefix, after });
      yield* page.keys;
      if (!page.more) return;
      after = page.keys.at(-1);
    }
  },
};

/** One mapping of the integration record: which id here is what there. */
export interface Mapping<T> {
  /** What an id maps to, undefined if nothing. */
  get(id: string): Promise<T | undefined>;
  put(id: string, value: T): Promise<void>;
  /** Writes unless there is something already; reports whether it did. */
  putIfAbsent(id: string, value: T): Promise<boolean>;
  /** Writes all or none. */
  putAll(entries: Iterable<[id: string, value: T]>): Promise<void>;
  delete(id: string): Promise<void>;
  /** All entries in order of id. */
  entries(): AsyncGenerator<[id: string, value: T]>;
}

/** The mapping with a name. */
export function mapping<T = any>(set: string): Mapping<T> {
  const put = async (entries: MappingEntry[], if_absent?: boolean) => (await call("mapping", "put", { entries, if_absent })).stored;
  return {
    async get(source_id) {
      const { found, value } = await call("mapping", "get", { set, source_id });
      return found ? value : undefined;
    },
    async put(source_id, value) {
      await put([{ set, source_id, value }]);
    },
    putIfAbsent: (source_id, value) => put([{ set, source_id, value }], true),
    async putAll(entries) {
      await put(Array.from(entries, ([source_id, value]) => ({ set, source_id, value })));
    },
    async delete(source_id) {
      await call("mapping", "delete", { set, source_id });
    },
    async *entries() {
      for (let after: string | undefined; ;) {
        const page = await call("mapping", "list", { set, after });
        for (const entry of page.entries) yield [entry.source_id, entry.value];
        if (!page.more) return;
        after = page.entries.at(-1)?.source_id;
      }
    },
  };
}

/** Further durable work for the same integration record. */
export const queue = {
  enqueue: (event: string, data?: unknown, options: { delay_ms?: number; unique_key?: string; priority?: number } = {}): Promise<QueueJob> =>
    call("queue", "enqueue", { ...options, event, data }),
  /** Up to 100 events, all or none. It costs one call. */
  enqueueAll: async (events: QueueEnqueue[]): Promise<QueueJob[]> => (await call("queue", "enqueue_batch", { events })).jobs,
};

/** Waits. Longer than a few seconds costs no process: the run ends here, and goes on when the time has come. */
export async function sleep(ms: number): Promise<void> {
  await call("run", "sleep", { ms });
}

/**
 * Ends this call and starts the handler again, with `state` as the event's `checkpoint` and nothing else on record. A long run
 * makes one now and then.
 */
export async function checkpoint(state: unknown): Promise<never> {
  await call("run", "checkpoint", { state });
  throw new Error("a checkpoint does not return");
}

type When = Pick<SchedulePut, "cron" | "time_zone" | "every_s" | "at_ms" | "overlap" | "missed">;

/** Schedules of the record. Their events bring a ScheduleTick. */
export const schedules = {
  /** Makes one, over one of the same name: `put("report", "REPORT", { cron: "0 8 * * mon" })`. What is there already goes on. */
  async put(name: string, event: string, when: When, data?: unknown): Promise<void> {
    await call("schedule", "put", { ...when, name, event, data });
  },
  /** Removes one that put made; the manifest's of that name is back then. */
  async delete(name: string): Promise<void> {
    await call("schedule", "delete", { name });
  },
  /** All of the record by name, those of the manifest too. */
  async list(): Promise<ScheduleEntry[]> {
    return (await call("schedule", "list", {})).schedules;
  },
};

/** Tells the embedding product something that the manifest's `notifications` declare: it becomes the event `notify.NAME`. */
export async function notify(name: string, data?: unknown): Promise<void> {
  await call("notify", "send", { name, data });
}

/** The record that the integration works for. */
export const record = {
  update: (changes: IntegrationUpdate): Promise<Integration> => call("integration", "update", changes),
  /** Leaves a message for the person. */
  async tell(level: "error" | "warning" | "info" | "log", title: string, message?: string): Promise<void> {
    await call("integration", "update", { messages: [{ level, title, message }] });
  },
};

/** Records of long work of the integration record, for people to follow. A delivery that is tried again counts once. */
export const processes = {
  create: (process: ProcessCreate): Promise<Process> => call("process", "create", process),
  get: (id: string): Promise<Process> => call("process", "get", { id }),
  update: (id: string, changes: Omit<ProcessUpdate, "id">): Promise<Process> => call("process", "update", { ...changes, id }),
  /** Adds to the totals; whoever else adds at the same time, nothing is lost. */
  add: (id: string, more: Omit<ProcessAdd, "id">): Promise<Process> => call("process", "add", { ...more, id }),
};

/** Syncs of the integration record, and links between its records. */
export const sync = {
  /** Starts a run, or finds the one under way. */
  start: (sync: string): Promise<SyncStarted> => call("sync", "start", { sync }),
  /** The id of the same record on the other side, undefined if there is none. */
  async counterpart(sync: string, side: SyncSide, external_id: string): Promise<string | undefined> {
    const link = await call("sync", "lookup", { sync, side, external_id });
    return link.found ? link.external_id : undefined;
  },
  async associate(link: Association): Promise<void> {
    await call("sync", "associate", link);
  },
  async dissociate(link: Association): Promise<void> {
    await call("sync", "dissociate", link);
  },
  /** Links from or to a record. */
  async *associations(query: Omit<AssociationList, "after">): AsyncGenerator<Association> {
    for (let after: string | undefined; ;) {
      const page = await call("sync", "associations", { ...query, after });
      yield* page.associations;
      if (!page.next) return;
      after = page.next;
    }
  },
};

/** Where a vendor shall send a webhook of the record, and the handle of its secret. */
export const endpoint = (webhook?: string): Promise<WebhookAddress> => call("webhook", "endpoint", { webhook });

const utf8 = (message: string | Uint8Array): string =>
  ((typeof message === "string" ? new TextEncoder().encode(message) : message) as Uint8Array & { toBase64(): string }).toBase64();

/** HMAC with a secret that the plugin knows by its handle only. */
export const hmac = {
  async sign(secret: string, message: string | Uint8Array, hash?: HashAlgorithm): Promise<Uint8Array> {
    const { signature } = await call("crypto", "hmac_sign", { secret, hash, message: utf8(message) });
    return (Uint8Array as unknown as { fromBase64(text: string): Uint8Array }).fromBase64(signature);
  },
  /** Compares in constant time. */
  async verify(secret: string, message: string | Uint8Array, signature: Uint8Array, hash?: HashAlgorithm): Promise<boolean> {
    const { valid } = await call("crypto", "hmac_verify", { secret, hash, message: utf8(message), signature: utf8(signature) });
    return valid;
  },
};

// -- handlers

function own<T>(table: Record<string, T>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/**
 * `export const frigg_handle_event = events({ ... })`: what is done on ON_CREATE, ON_UPDATE, ON_DELETE, ON_WEBHOOK and the
 * plugin's own events. Events without a handler are done at once. An event may come again: after a failure, after a crash.
 */
export function events(
  handlers: Record<string, (data: any, event: EventInput) => May<unknown>>,
): (event: EventInput) => Promise<EventOutput> {
  return async (event) => ({ value: await own(handlers, event.event)?.(event.data, event) });
}

/** A webhook that was verified and stored. */
export interface Webhook<T = any> extends WebhookEvent {
  /** The body's JSON; undefined if it is none. */
  body: T;
}

/**
 * `ON_WEBHOOK: webhooks({ shop: { "order.paid": (order) => ..., "*": () => ... } })`: by name of the webhook and the vendor's
 * name of the event; `*` stands for all others.
 */
export function webhooks(
  handlers: Record<string, Record<string, (body: any, webhook: Webhook, event: EventInput) => May<unknown>>>,
): (data: WebhookEvent, event: EventInput) => Promise<unknown> {
  return async (data, event) => {
    const table = own(handlers, data.webhook) ?? {};
    const handler = own(table, data.event ?? "") ?? own(table, "*");
    if (!handler) return undefined;
    const body = parsed(data.text);
    return handler(body, { ...data, body }, event);
  };
}

function parsed(text: string | undefined): any {
  try {
    return text && JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** `export const frigg_run_action = actions({ ... })`: what people can start. */
export function actions(
  handlers: Record<string, (input: any, action: ActionInput) => May<unknown>>,
): (action: ActionInput) => Promise<ActionOutput> {
  return async (action) => ({ value: await required(handlers, action.action, "action")(action.input, action) });
}

/** `export const frigg_call_method = methods({ ... })`: what an API module offers to integrations. */
export function methods(
  handlers: Record<string, (args: any, method: MethodInput) => May<unknown>>,
): (method: MethodInput) => Promise<MethodOutput> {
  return async (method) => ({ value: await required(handlers, method.method, "method")(method.args, method) });
}

/** `export const frigg_handle_route = routes({ ... })`: answers to requests, by the route's event or `"POST /orders/:id"`. */
export function routes(
  handlers: Record<string, (body: any, request: RouteInput) => May<HTTPReply>>,
): (request: RouteInput) => Promise<HTTPReply> {
  return async (request) => required(handlers, request.event, "route")(parsed(request.text), request);
}

/** An answer with a JSON body. */
export function reply(status: number, value: unknown): HTTPReply {
  return { status, headers: { "content-type": "application/json" }, text: JSON.stringify(value) };
}

/** How a sync reads pages and writes records. */
export interface SyncHandlers<T = any> {
  fetch(query: FetchPageInput): May<FetchPageOutput>;
  /** Writes one record; what is thrown decides as in {@link syncs}. */
  write(record: RecordWrite & { data: T }, batch: WriteBatchInput): May<Omit<RecordResult, "external_id">>;
}

/** Faults that say nothing of the record: the batch comes again, and goes on where it was. */
const putsOff: FaultKind[] = ["rate_limited", "unauthorized", "timeout", "unavailable", "canceled", "exhausted", "internal"];

/**
 * `export const { frigg_fetch_page, frigg_write_batch } = syncs({ contacts: { fetch, write } })`: syncs of the manifest.
 *
 * A record whose write throws a fault that another try cannot mend counts as failed and is tried again in the next run. A rate
 * limit, a refused credential, a vendor that is away and the like put the rest of the batch off: it comes again, and what was
 * written is not written again.
 */
export function syncs(handlers: Record<string, SyncHandlers>): {
  frigg_fetch_page(query: FetchPageInput): Promise<FetchPageOutput>;
  frigg_write_batch(batch: WriteBatchInput): Promise<WriteBatchOutput>;
} {
  return {
    frigg_fetch_page: async (query) => required(handlers, query.sync, "sync").fetch(query),
    frigg_write_batch: async (batch) => {
      const { write } = required(handlers, batch.sync, "sync");
      const results: RecordResult[] = [];
      for (const record of batch.records) {
        const { external_id } = record;
        try {
          results.push({ ...(await write({ ...record, data: record.data }, batch)), external_id });
        } catch (e) {
          if (!(e instanceof FriggError) || putsOff.includes(e.kind)) throw e;
          results.push({ external_id, failure: e.message });
        }
      }
      return { results };
    },
  };
}

function required<T>(table: Record<string, T>, name: string, what: string): T {
  const handler = own(table, name);
  if (!handler) throw new FriggError("unsupported", `the ${what} ${name} has no handler`);
  return handler;
}
