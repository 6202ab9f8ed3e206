import { readFile } from "node:fs/promises";
import https from "node:https";
import type { DBSQLClient } from "@databricks/sql";
import { CapstanError } from "../../src/contracts/index.ts";
import type { Answer, SqlSession } from "./connection.ts";
import type { DeltaOptions } from "./options.ts";
import type { Statement } from "./statements.ts";

const SOCKET_MS = 120_000;
const ATTEMPTS = 3;
const RETRIES_MS = 60_000;

/** Opens a session of a SQL warehouse through Databricks' driver. */
export async function connectDatabricks(options: DeltaOptions): Promise<SqlSession> {
  const { host, port, path, token, ca } = options;
  const { DBSQLClient } = await importDriver();
  // Its own log goes to the console, and may show statements.
  const client = new DBSQLClient({ logger: { log() {} } });
  verifyCertificates(client, ca === undefined ? undefined : await readFile(ca));
  await client.connect({
    ...{ host, port, path, token, userAgentEntry: "capstan", telemetryEnabled: false },
    ...{ socketTimeout: SOCKET_MS, retryMaxAttempts: ATTEMPTS, retriesTimeout: RETRIES_MS },
  });
  return new DatabricksSession(client, await client.openSession());
}

async function importDriver(): Promise<typeof import("@databricks/sql")> {
  try {
    return await import("@databricks/sql");
  } catch (cause) {
    const text = "The memory 'delta' needs a package that is not installed: npm install @databricks/sql";
    throw new CapstanError("LOAD_FAILED", text, { cause });
  }
}

interface Connecting {
  createConnectionProvider?(options: unknown): { createHttpsAgent?(): https.Agent };
}

/** The driver takes any certificate, and has no option for it; the token goes only where we know who answers. */
function verifyCertificates(client: DBSQLClient, ca: Buffer | undefined): void {
  const connecting = client as unknown as Connecting;
  const create = connecting.createConnectionProvider?.bind(client);
  connecting.createConnectionProvider = (options) => {
    const provider = create?.(options);
    if (provider?.createHttpsAgent === undefined) {
      const text =
        "This version of @databricks/sql cannot be made to verify certificates: install version 2.0.0";
      throw new CapstanError("LOAD_FAILED", text);
    }
    provider.createHttpsAgent = () => new https.Agent({ keepAlive: true, minVersion: "TLSv1.2", ca });
    return provider;
  };
}

type Session = Awaited<ReturnType<DBSQLClient["openSession"]>>;

class DatabricksSession implements SqlSession {
  readonly #client: DBSQLClient;
  readonly #session: Session;

  constructor(client: DBSQLClient, session: Session) {
    this.#client = client;
    this.#session = session;
  }

  async run({ sql, parameters }: Statement, signal?: AbortSignal): Promise<Answer> {
    const operation = await this.#session.executeStatement(
      sql,
      parameters === undefined ? {} : { namedParameters: { ...parameters } },
    );
    const cancel = () => void operation.cancel().catch(() => {});
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) cancel();
    try {
      return (await operation.fetchAll()) as Answer;
    } finally {
      signal?.removeEventListener("abort", cancel);
      await operation.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.close();
    await this.#client.close();
  }
}
