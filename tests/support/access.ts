import { AccessRecords } from "../../src/access/records.ts";
import { type Role, UNLIMITED } from "../../src/access/role.ts";
import type { Method } from "../../src/grpc/wire.ts";
import { openStore, type Store } from "../../src/store/database.ts";
import { type Reply, TestClient } from "./grpc.ts";
import { serve, TestRepository, type TestServer } from "./server.ts";

export const ADMIN = "an-admin-key-of-the-operator";

export const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

export interface TestKey {
  readonly id: string;
  readonly key: string;
}

/** iris, `echo`, and `slow`, a lazy echo that takes 50 ms for each word. */
export async function modelsForKeys(): Promise<TestRepository> {
  const repository = await TestRepository.create();
  await repository.addSample("iris");
  for (const [name, delay_ms] of Object.entries({ echo: 0, slow: 50 })) {
    const parameters = { extra: { framework: "echo", delay_ms, lazy: delay_ms > 0 } };
    await repository.write(name, { name, implementation: "llm", parameters });
  }
  return repository;
}

/** A server with access control in this process, and its database. */
export class TestAccess implements AsyncDisposable {
  readonly server: TestServer;
  readonly store: Store;
  readonly records: AccessRecords;
  readonly grpc: TestClient;
  #roles = 0;

  private constructor(server: TestServer, store: Store) {
    this.server = server;
    this.store = store;
    this.records = new AccessRecords(store.database);
    this.grpc = new TestClient(`127.0.0.1:${server.running.grpc.port}`);
  }

  static async start(root: string, database_url: string, settings: object = {}): Promise<TestAccess> {
    const auth = { enabled: true, database_url };
    const server = await serve(root, { auth, ...settings }, { CAPSTAN_ADMIN_KEY: ADMIN });
    return new TestAccess(server, await openStore(database_url, "/"));
  }

  /** A key of a role of its own. */
  async keyWith(limits: Partial<Role>): Promise<TestKey> {
    const name = `role-${this.#roles++}`;
    await this.records.setRole({ ...UNLIMITED, admin: false, ...limits, name });
    return this.records.createKey(name);
  }

  post(key: string, path: string, body: object, signal?: AbortSignal): Promise<Response> {
    return this.server.request(path, {
      method: "POST",
      headers: { "content-type": "application/json", ...bearer(key) },
      body: JSON.stringify(body),
      ...(signal && { signal }),
    });
  }

  async get(key: string, path: string): Promise<{ status: number; body: unknown }> {
    const response = await this.server.request(path, { headers: bearer(key) });
    return { status: response.status, body: await response.json() };
  }

  /** Asks `echo` for at most five words, of two. */
  chat(key: string, more: object = {}, signal?: AbortSignal): Promise<Response> {
    const messages = [{ role: "user", content: "one two" }];
    return this.post(
      key,
      "/v1/chat/completions",
      { model: "echo", messages, max_tokens: 5, ...more },
      signal,
    );
  }

  call<QI, Q extends QI, AI, A extends AI>(
    key: string,
    method: Method<QI, Q, AI, A>,
    request: QI,
  ): Promise<Reply<A>> {
    return this.grpc.unary(method, request, { headers: bearer(key) });
  }

  /** What a key has taken of its months. */
  async quota({ id }: TestKey): Promise<{ requests: number; tokens: number }> {
    const query = this.store.database.selectFrom("quotas").select(["requests", "tokens"]);
    return (await query.where("key_id", "=", id).executeTakeFirst()) ?? { requests: 0, tokens: 0 };
  }

  async usage({ id }: TestKey): Promise<readonly Record<string, unknown>[]> {
    const { body } = await this.get(ADMIN, `/admin/usage?key=${id}`);
    return (body as { usage: Record<string, unknown>[] }).usage;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.grpc.close();
    await this.store[Symbol.asyncDispose]();
    await this.server[Symbol.asyncDispose]();
  }
}
