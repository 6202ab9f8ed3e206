import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { Capstan } from "../support/capstan.ts";
import { OtlpCollector } from "../support/otlp.ts";
import { IRIS_ROW, TestRepository } from "../support/server.ts";

const PORTS = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"];

/** Says on standard error which modules of OpenTelemetry are loaded; its API alone is one that prom-client looks for. */
const LISTENING = `data:text/javascript,${encodeURIComponent(`
import { registerHooks } from "node:module";
registerHooks({
  load(url, context, next) {
    if (url.includes("@opentelemetry/") && !url.includes("@opentelemetry/api/")) process._rawDebug("loaded " + url);
    return next(url, context);
  },
});`)}`;

let started: Capstan | undefined;
afterEach(() => {
  started?.child.kill("SIGKILL");
  started = undefined;
});

/** A server of its own process, and its answer to one request. */
async function serveOnce(root: string, env: Record<string, string>, headers: Record<string, string> = {}) {
  started = new Capstan(["start", root, ...PORTS], env);
  const { http } = await started.line("ready");
  const { status } = await fetch(`http://${http}/v2/models/iris/infer`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(IRIS_ROW),
  });
  return { status, server: started };
}

async function repositoryOfIris(): Promise<TestRepository> {
  const repository = await TestRepository.create();
  await repository.addSample("iris");
  return repository;
}

async function stop(server: Capstan): Promise<number | null> {
  server.child.kill("SIGTERM");
  return server.exit();
}

const warningsOf = ({ lines }: Capstan) => lines.filter(({ msg }) => msg.startsWith("Traces may be lost"));

describe("the process of a server", () => {
  it("loads nothing of OpenTelemetry while nobody asks for traces", async () => {
    await using repository = await repositoryOfIris();
    const { status, server } = await serveOnce(repository.root, { NODE_OPTIONS: `--import=${LISTENING}` });
    expect(status).toBe(200);
    expect(await stop(server)).toBe(0);
    expect(server.stderr).not.toContain("@opentelemetry");
  });

  it("sends what is left when it ends, under the name that the environment gives", async () => {
    await using collector = await OtlpCollector.start();
    await using repository = await repositoryOfIris();
    const env = { ...collector.env, OTEL_BSP_SCHEDULE_DELAY: "60000", OTEL_SERVICE_NAME: "flowers" };
    const { status, server } = await serveOnce(repository.root, {
      ...env,
      NODE_OPTIONS: `--import=${LISTENING}`,
    });
    expect(status).toBe(200);
    expect(await stop(server)).toBe(0);
    expect(server.stderr).toContain("@opentelemetry");
    expect(collector.spans.map(({ name }) => name).toSorted()).toEqual([
      "POST /v2/models/:model/infer",
      "infer iris",
      "load iris",
    ]);
    expect(collector.spans[0]!.resource["service.name"]).toBe("flowers");
  });

  it("answers, warns once and ends when there is no collector", async () => {
    await using repository = await repositoryOfIris();
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1", OTEL_BSP_SCHEDULE_DELAY: "20" };
    const { status, server } = await serveOnce(repository.root, env);
    expect(status).toBe(200);
    expect(await stop(server)).toBe(0);
    expect(warningsOf(server)).toHaveLength(1);
  });

  it("ends when the collector of tracing_server takes connections and says nothing", async () => {
    await using repository = await repositoryOfIris();
    const mute = createServer(() => {});
    await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
    const { port } = mute.address() as AddressInfo;
    let taken = 0;
    mute.on("connection", (socket) => {
      taken += 1;
      socket.on("error", () => {});
    });
    const { status, server } = await serveOnce(repository.root, {
      MLSERVER_TRACING_SERVER: `127.0.0.1:${port}`,
    });
    expect(status).toBe(200);
    expect(await stop(server)).toBe(0);
    expect(taken).toBeGreaterThan(0);
    expect(warningsOf(server)).toHaveLength(1);
    mute.close();
  });
});

describe("the log", () => {
  it("names the trace of a request", async () => {
    await using collector = await OtlpCollector.start();
    await using repository = await repositoryOfIris();
    started = new Capstan(["start", repository.root, ...PORTS, "--log-level", "debug"], collector.env);
    const { http } = await started.line("ready");
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const type = { "content-type": "application/json" };
    const headers = { ...type, traceparent: `00-${traceId}-b7ad6b7169203331-01`, "x-request-id": "mine" };
    await fetch(`http://${http}/v2/models/nope/infer`, { method: "POST", headers, body: "{}" });
    const [span] = await collector.trace(traceId, 1);
    const line = started.lines.find(({ request_id }) => request_id === "mine");
    expect(line).toMatchObject({ trace_id: traceId, span_id: span!.spanId, code: "NOT_FOUND" });
  });
});
