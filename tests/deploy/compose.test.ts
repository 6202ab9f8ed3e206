import { existsSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { command as gateway } from "../../src/cli/gateway.ts";
import { command as start } from "../../src/cli/start.ts";
import { loadServerSettings } from "../../src/settings/load-server.ts";
import { ROOT } from "../support/source-files.ts";
import { DEPLOY, manifest, seconds, uselessVariables } from "./manifests.ts";

interface Service {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly pull_policy?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, { readonly condition: string }>>;
  readonly stop_grace_period?: string;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const OWN_IMAGE = "capstan:local";

let compose: Compose;
let services: [string, Service][];
beforeAll(async () => {
  compose = await manifest<Compose>("compose.yaml");
  services = Object.entries(compose.services);
});

/** Variables as Compose fills them in: the default, or a value of the test's. */
const filled = (text: string) =>
  text.replace(/\$\{\w+(?::-([^}]*)|:\?[^}]*)?\}/g, (_, or) => or ?? "secret-of-the-test");
const environmentOf = ({ environment = {} }: Service) =>
  Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, filled(value)]));
const own = () => services.filter(([, { image }]) => image === OWN_IMAGE);

describe("compose.yaml", () => {
  it("has the server with all that it can use", () => {
    const names = ["gateway", "grafana", "postgres", "prometheus", "redis", "server"];
    expect(services.map(([name]) => name).toSorted()).toEqual(names);
  });

  it("gives the server variables that are settings, with values that it takes", async () => {
    for (const [name, service] of own()) {
      const env = environmentOf(service);
      expect([name, uselessVariables(env)]).toEqual([name, []]);
      const { settings, warnings } = await loadServerSettings({ cwd: DEPLOY, env, flags: {} });
      expect(warnings).toEqual([]);
      expect(settings.redis_url).toBe("redis://redis:6379");
    }
  });

  it("has access control on a database that is one of its services", async () => {
    const env = environmentOf(compose.services.server!);
    const { settings } = await loadServerSettings({ cwd: DEPLOY, env, flags: {} });
    const { username, hostname, pathname, password } = new URL(settings.auth.database_url);
    const { POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD } = environmentOf(compose.services.postgres!);
    expect(settings.auth.enabled).toBe(true);
    expect([hostname, username, pathname]).toEqual(["postgres", POSTGRES_USER, `/${POSTGRES_DB}`]);
    expect(password).toBe(POSTGRES_PASSWORD);
  });

  it("writes no secret down: each is asked for", () => {
    const all = services.flatMap(([, { environment = {} }]) => Object.entries(environment));
    const secrets = all.filter(([name]) => /KEY|PASSWORD/.test(name)).map(([, value]) => value);
    expect(secrets.length).toBe(3);
    for (const value of secrets) expect(value).toMatch(/^\$\{\w+:\?[^}]+\}$/);
  });

  it("publishes ports that are listened on", async () => {
    const { settings } = await loadServerSettings({ cwd: DEPLOY, env: {}, flags: {} });
    const inside = (name: string) =>
      compose.services[name]!.ports!.map((port) => Number(port.split(":").at(-1))).toSorted();
    expect(inside("server")).toEqual([settings.http_port, settings.grpc_port]);
    const flags = compose.services.gateway!.command!;
    expect(inside("gateway")).toEqual([Number(flags[flags.indexOf("--http-port") + 1])]);
    expect(flags[flags.indexOf("--upstream") + 1]).toBe(`server:${settings.grpc_port}`);
    const published = services.flatMap(([, { ports = [] }]) => ports.map((port) => port.split(":").at(-2)));
    expect(new Set(published).size).toBe(published.length);
  });

  it("calls commands and flags that there are", () => {
    for (const [, { command: words = ["start"] }] of own()) {
      const program = [start(), gateway()].find((each) => each.name() === words[0])!;
      const known = program.options.map(({ long }) => long);
      expect(words.filter((word) => word.startsWith("--") && !known.includes(word))).toEqual([]);
    }
  });

  it("mounts files that are there, and volumes that are declared", () => {
    const mounted = services.flatMap(([, { volumes = [] }]) =>
      volumes.map((volume) => filled(volume).split(":")[0]!),
    );
    const [files, names] = [
      mounted.filter((each) => /^[./]/.test(each)),
      mounted.filter((each) => /^\w/.test(each)),
    ];
    expect(files.filter((file) => !existsSync(path.resolve(DEPLOY, file)))).toEqual([]);
    expect(names.toSorted()).toEqual(Object.keys(compose.volumes).toSorted());
  });

  it("builds its image once: two builds of one name at the same time fail, and a pull finds none", () => {
    const builds = own().flatMap(([, { build }]) => build ?? []);
    expect(builds).toHaveLength(1);
    expect(path.resolve(DEPLOY, builds[0]!.context)).toBe(path.resolve(ROOT));
    expect(existsSync(path.join(ROOT, builds[0]!.dockerfile))).toBe(true);
    const others = own().filter(([, { build }]) => build === undefined);
    expect(others.map(([, { pull_policy }]) => pull_policy)).toEqual(["never"]);
  });

  it("waits for services that say when they are healthy", () => {
    for (const [, { depends_on = {} }] of services) {
      const awaited = Array.isArray(depends_on) ? depends_on : Object.keys(depends_on);
      expect(awaited.filter((name) => compose.services[name] === undefined)).toEqual([]);
      const healthy = Object.entries(depends_on).filter(([, is]) => is.condition === "service_healthy");
      for (const [name] of healthy) {
        const { healthcheck, image } = compose.services[name]!;
        expect([name, healthcheck !== undefined || image === OWN_IMAGE]).toEqual([name, true]);
      }
    }
  });

  it("gives the server longer to stop than it takes to drain", async () => {
    for (const [, service] of own()) {
      const { settings } = await loadServerSettings({ cwd: DEPLOY, env: environmentOf(service), flags: {} });
      expect(seconds(service.stop_grace_period!) * 1000).toBeGreaterThan(settings.drain_timeout);
    }
  });

  it("lets Prometheus ask the services, and Grafana Prometheus", async () => {
    const { scrape_configs } = await manifest<{
      scrape_configs: { static_configs?: { targets: string[] }[] }[];
    }>("prometheus/prometheus.yml");
    const targets = scrape_configs
      .flatMap((each) => each.static_configs ?? [])
      .flatMap((each) => each.targets);
    expect(targets).toEqual(expect.arrayContaining(["server:8082"]));
    expect(targets.filter((target) => compose.services[target.split(":")[0]!] === undefined)).toEqual([]);
    const { datasources } = await manifest<{ datasources: { type: string; url: string }[] }>(
      "grafana/provisioning/datasources/prometheus.yml",
    );
    expect(datasources).toMatchObject([{ type: "prometheus", url: "http://prometheus:9090" }]);
  });

  it("gives Prometheus its alerts, and Grafana the dashboards where it looks for them", async () => {
    const { rule_files } = await manifest<{ rule_files: string[] }>("prometheus/prometheus.yml");
    for (const file of rule_files) expect(await manifest(`prometheus/${file}`)).toHaveProperty("groups");
    const { providers } = await manifest<{ providers: { options: { path: string } }[] }>(
      "grafana/provisioning/dashboards/capstan.yml",
    );
    const [{ options }] = providers as [(typeof providers)[0]];
    expect(compose.services.grafana!.volumes).toContain(`./grafana/dashboards:${options.path}:ro`);
    expect(compose.services.prometheus!.volumes).toContain("./prometheus:/etc/prometheus:ro");
  });
});
