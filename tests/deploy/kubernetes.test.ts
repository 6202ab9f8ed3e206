import { readdirSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { loadServerSettings } from "../../src/settings/load-server.ts";
import { serve, TestRepository } from "../support/server.ts";
import { DEPLOY, manifest, uselessVariables } from "./manifests.ts";

type Labels = Readonly<Record<string, string>>;

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string | number };
}

interface Container {
  readonly args: readonly string[];
  readonly envFrom: readonly {
    readonly configMapRef?: { name: string };
    readonly secretRef?: { name: string };
  }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly startupProbe: Probe;
  readonly readinessProbe: Probe;
  readonly livenessProbe: Probe;
  readonly lifecycle: { readonly preStop: { readonly sleep: { readonly seconds: number } } };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

interface Deployment {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly selector: { readonly matchLabels: Labels };
    readonly template: {
      readonly metadata: { readonly labels: Labels; readonly annotations: Labels };
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly securityContext: { readonly runAsNonRoot: boolean };
        readonly containers: readonly [Container];
        readonly volumes: readonly { name: string; persistentVolumeClaim?: { claimName: string } }[];
      };
    };
  };
}

const file = (name: string) => `kubernetes/${name}.yaml`;
let deployment: Deployment;
let configMap: { readonly metadata: { readonly name: string }; readonly data: Record<string, string> };
beforeAll(async () => {
  deployment = await manifest(file("deployment"));
  configMap = await manifest(file("configmap"));
});
const pod = () => deployment.spec.template.spec;
const container = () => pod().containers[0];

describe("the Kubernetes manifests", () => {
  it("are all applied by the kustomization", async () => {
    const { resources } = await manifest<{ resources: string[] }>(file("kustomization"));
    const there = readdirSync(path.join(DEPLOY, "kubernetes")).filter(
      (name) => name !== "kustomization.yaml",
    );
    expect(resources.toSorted()).toEqual(there.toSorted());
  });

  it("set variables that are settings, with values that the server takes", async () => {
    expect(uselessVariables(configMap.data)).toEqual([]);
    const { warnings } = await loadServerSettings({ cwd: DEPLOY, env: configMap.data, flags: {} });
    expect(warnings).toEqual([]);
    expect(Object.keys(configMap.data).filter((name) => /KEY|SECRET|PASSWORD|URL/.test(name))).toEqual([]);
    const sources = container().envFrom.map(
      ({ configMapRef, secretRef }) => (configMapRef ?? secretRef)?.name,
    );
    expect(sources).toEqual([configMap.metadata.name, "capstan"]);
  });

  it("listen on the server's ports, and probe routes that answer without a key", async () => {
    const { settings } = await loadServerSettings({ cwd: DEPLOY, env: configMap.data, flags: {} });
    const ports = Object.fromEntries(
      container().ports.map(({ name, containerPort }) => [name, containerPort]),
    );
    const { http_port, grpc_port, metrics_port, metrics_endpoint } = settings;
    expect(ports).toEqual({ http: http_port, grpc: grpc_port, metrics: metrics_port });
    expect(deployment.spec.template.metadata.annotations).toMatchObject({
      "prometheus.io/port": `${metrics_port}`,
      "prometheus.io/path": metrics_endpoint,
    });
    await using repository = await TestRepository.create();
    const auth = { enabled: true, database_url: `sqlite:${repository.path("keys.db")}` };
    await using server = await serve(repository.root, { auth });
    const { startupProbe, readinessProbe, livenessProbe } = container();
    for (const { httpGet } of [startupProbe, readinessProbe, livenessProbe]) {
      expect(httpGet.port).toBe("http");
      expect((await server.request(httpGet.path)).status).toBe(200);
    }
  });

  it("leave time for the sleep before the signal, and for the drain", async () => {
    const { settings } = await loadServerSettings({ cwd: DEPLOY, env: configMap.data, flags: {} });
    const needed = container().lifecycle.preStop.sleep.seconds + settings.drain_timeout / 1000;
    expect(pod().terminationGracePeriodSeconds).toBeGreaterThan(needed);
  });

  it("choose the pods of the Deployment everywhere", async () => {
    const { labels } = deployment.spec.template.metadata;
    const service = await manifest<{ spec: { selector: Labels; ports: { targetPort: string }[] } }>(
      file("service"),
    );
    const budget = await manifest<{ spec: { selector: { matchLabels: Labels } } }>(file("disruption-budget"));
    expect(deployment.spec.selector.matchLabels).toEqual(labels);
    expect(service.spec.selector).toEqual(labels);
    expect(budget.spec.selector.matchLabels).toEqual(labels);
    const names = container().ports.map(({ name }) => name);
    expect(service.spec.ports.filter(({ targetPort }) => !names.includes(targetPort))).toEqual([]);
  });

  it("mount volumes that they define, the models where the server looks for them", async () => {
    const { metadata } = await manifest<{ metadata: { name: string } }>(file("models"));
    const models = pod().volumes.find(({ name }) => name === "models");
    expect(models?.persistentVolumeClaim?.claimName).toBe(metadata.name);
    const mounts = container().volumeMounts;
    expect(mounts.map(({ name }) => name)).toEqual(pod().volumes.map(({ name }) => name));
    expect(mounts[0]!.mountPath).toBe(container().args[1]);
  });

  it("scale the Deployment by a metric that the server has", async () => {
    const { spec } = await manifest<{
      spec: { scaleTargetRef: { name: string }; metrics: { pods?: { metric: { name: string } } }[] };
    }>(file("autoscaler"));
    expect(spec.scaleTargetRef.name).toBe(deployment.metadata.name);
    const names = spec.metrics.flatMap(({ pods }) => pods?.metric.name ?? []);
    await using repository = await TestRepository.create();
    await using server = await serve(repository.root);
    const metrics = await (await server.request("/metrics")).text();
    expect(names).toEqual(["capstan_model_active_requests"]);
    for (const name of names) expect(metrics).toContain(`# TYPE ${name} gauge`);
  });
});
