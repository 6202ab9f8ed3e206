import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEPLOY } from "../../deploy/manifests.ts";
import type { TestRedis } from "../../gateway/replicas.ts";
import { gatewayTo, type TestGateway } from "../../gateway/support.ts";
import { modelsForKeys, TestAccess } from "../../support/access.ts";
import { type Dashboard, dashboards, queriesOf } from "../../support/dashboards.ts";
import { eventually } from "../../support/eventually.ts";
import { TestRegistry } from "../../support/registry.ts";
import { addScripted } from "../../support/scripted-llm.ts";
import type { TestRepository } from "../../support/server.ts";
import { startRedis } from "../gateway/peers.ts";
import { Prometheus, promtool } from "./peer.ts";
import { Traffic } from "./traffic.ts";

describe("what promtool says", () => {
  it("of the configuration and the alerts", async () => {
    const config = join(DEPLOY, "prometheus", "prometheus.yml");
    expect(await promtool(["check", "config", config])).toContain("SUCCESS");
    const alerts = join(DEPLOY, "prometheus", "alerts.yml");
    expect(await promtool(["check", "rules", alerts])).toContain("SUCCESS");
    const cases = join(import.meta.dirname, "alerts.test.yml");
    expect(await promtool(["test", "rules", cases])).toContain("SUCCESS");
  });
});

const found = await dashboards();
const QUERIES = [...found].flatMap(([name, each]) =>
  queriesOf(each).map(({ title, query }) => [name, title, query] as const),
);

describe("a Prometheus that scrapes a server with everything", () => {
  const opened = new AsyncDisposableStack();
  let access: TestAccess;
  let prometheus: Prometheus;
  let gateway: TestGateway;
  beforeAll(async () => {
    const registry = opened.use(await TestRegistry.start());
    const redis: TestRedis = opened.use(await startRedis());
    const repository = opened.use(await repositoryWith(registry));
    access = opened.use(
      await TestAccess.start(repository.root, `sqlite:${repository.path("access.db")}`, {
        redis_url: redis.url,
        cache_enabled: true,
        inference_log: { enabled: true },
        completion_cache: { store: "memory" },
      }),
    );
    const { running } = access.server;
    gateway = opened.use(await gatewayTo(`127.0.0.1:${running.grpc.port}`));
    prometheus = opened.use(
      await Prometheus.start({
        "server:8082": `127.0.0.1:${running.metrics!.port}`,
        "gateway:8083": new URL(gateway.url).host,
      }),
    );
    const traffic = await Traffic.of(access);
    for (let scrapes = 0; scrapes < 6; scrapes = await scrapesOf(prometheus)) await traffic.round();
  });
  afterAll(() => opened.disposeAsync());

  it("finds nothing to say about what the server writes", async () => {
    const text = await (await access.server.request("/metrics")).text();
    expect(await promtool(["check", "metrics"], ownOf(text))).toBe("");
  });

  it("reaches the server and the gateway", async () => {
    for (const job of ["capstan", "capstan-gateway"]) {
      const [series] = await prometheus.query(`up{job="${job}"}`);
      expect(series?.values.at(-1)?.[1], job).toBe("1");
    }
  });

  it("evaluates every alert, and rings none for what is up", async () => {
    const rules = await eventually(async () => {
      const all = await prometheus.rules();
      return all.length > 0 && all.every(({ health }) => health === "ok") && all;
    });
    const ringing = rules.filter(({ state }) => state === "firing").map(({ name }) => name);
    expect(ringing).not.toContain("CapstanDown");
    expect(ringing).not.toContain("CapstanRedisDown");
  });

  it.each(QUERIES)("answers %s: %s", async (_, __, query) => {
    const isNumber = (value: string) => Number.isFinite(Number(value));
    const answered = await eventually(async () => {
      const series = await prometheus.query(query);
      return series.some(({ values }) => values.some(([, value]) => isNumber(value)));
    });
    expect(answered).toBe(true);
  });

  it.each([...found.values()].map((each) => [each.title, each] as const))(
    "fills the variables of %s",
    async (_, each) => {
      for (const { query } of each.templating.list) expect(await valuesOf(query.query)).not.toEqual([]);
    },
  );

  const valuesOf = (query: string) => {
    const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(query)!;
    return prometheus.labelValues(label!, metric!);
  };
});

describe("every dashboard", () => {
  it("is there, with ids of its own for itself and its panels", () => {
    expect([...found.keys()]).toEqual(["access", "llm", "reload", "server"]);
    for (const [name, { uid, panels }] of found) {
      expect(uid).toBe(`capstan-${name}`);
      expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    }
  });

  it("asks the data source that is provisioned", () => {
    const asked = [...found.values()].flatMap(targetsOf).map(({ datasource }) => datasource.uid);
    expect(new Set(asked)).toEqual(new Set(["prometheus"]));
  });
});

const targetsOf = ({ panels }: Dashboard) => panels.flatMap(({ targets = [] }) => targets);

/** Metrics of prom-client's have names that promtool's linter would have otherwise; ours are MLServer's where it has them. */
function ownOf(text: string): string {
  return text
    .split("\n")
    .filter((line) => /^(# (HELP|TYPE) )?(capstan|llm_gateway|gen_ai|rest_server|grpc_server)_/.test(line))
    .map((line) => `${line}\n`)
    .join("");
}

async function scrapesOf(prometheus: Prometheus): Promise<number> {
  const [series] = await prometheus.query('up{job="capstan"}');
  return series?.values.filter(([, value]) => value === "1").length ?? 0;
}

async function repositoryWith(registry: TestRegistry): Promise<TestRepository> {
  const repository = await modelsForKeys();
  await addScripted(repository);
  const uri = "./model.onnx";
  const iris = { implementation: "onnx", parameters: { uri } };
  const extra = (value: object) => ({ parameters: { uri, extra: value } });
  const variants = {
    queued: extra({ admission: { max_concurrency: 1, max_queue: 8 } }),
    batched: { max_batch_size: 8 },
    kept: { cache_enabled: true },
    isolated: extra({ isolation: "process" }),
  };
  for (const [name, more] of Object.entries(variants))
    await repository.addSample("iris", name, { ...iris, ...more, name });
  registry.aliases.challenger = "2";
  const canary = { alias: "challenger", weight: 50 };
  await repository.write("m", registry.settings("m", { canary }));
  return repository;
}
