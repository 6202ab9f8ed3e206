/** Load and unload, only with --repository. Each check ends with the model loaded, as it was found. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Check, checksFrom } from "../define.ts";
import { expect, expectEqual, isRecord } from "../expect.ts";
import { expectOk, expectRefused, type Reply } from "../http-client.ts";
import { sampleInputs } from "../samples.ts";
import { modelPath, type Session } from "../session.ts";
import { extension, practice } from "../sources.ts";

const lifecycle = checksFrom(extension("model_repository", "Load, Unload"), [
  "target",
  "repository",
  "writes",
]);
const WAIT_MS = 5000;
const CALLERS = 4;

function repositoryCall(session: Session, action: "load" | "unload", name: string): Promise<Reply> {
  return session.http.post(`/v2/repository/models/${encodeURIComponent(name)}/${action}`, {});
}

async function isReady(session: Session): Promise<boolean> {
  return (await session.http.get(`${modelPath(session.target.name)}/ready`)).status === 200;
}

/** Waits until the model's readiness is `wanted`: unloading may finish after its call. */
async function settle(session: Session, wanted: boolean): Promise<void> {
  const end = performance.now() + WAIT_MS;
  while ((await isReady(session)) !== wanted) {
    expect(
      performance.now() < end,
      `the model is ${wanted ? "not ready after load" : "still ready after unload"}`,
    );
    await sleep(50);
  }
}

/** Runs `body` and loads the model again whatever happens. */
async function thenLoaded(session: Session, body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } finally {
    await repositoryCall(session, "load", session.target.name);
  }
  await settle(session, true);
}

async function unloadAndLoad(session: Session): Promise<void> {
  const { target } = session;
  const request = { inputs: sampleInputs(target) };
  await thenLoaded(session, async () => {
    expectOk(await repositoryCall(session, "unload", target.name), "unload");
    await settle(session, false);
    expectRefused(await session.infer(target, request), "infer at an unloaded model");
    const index = (await session.http.post("/v2/repository/index", {})).json();
    const entry = Array.isArray(index)
      ? index.filter(isRecord).find(({ name }) => name === target.name)
      : undefined;
    expect(entry?.state !== "READY", "the index still says READY after unload");
    expectOk(await repositoryCall(session, "load", target.name), "load");
  });
  expectOk(await session.infer(target, request), "infer after load");
}

async function reloadLosesNothing(session: Session): Promise<void> {
  const { target } = session;
  const request = { inputs: sampleInputs(target) };
  let loading = true;
  const failures: string[] = [];
  const caller = async (): Promise<void> => {
    while (loading) {
      const reply = await session.infer(target, request).catch((error: unknown) => String(error));
      if (typeof reply === "string") failures.push(reply);
      else if (reply.status !== 200) failures.push(`${reply.status} ${reply.text.slice(0, 100)}`);
    }
  };
  const callers = Array.from({ length: CALLERS }, caller);
  const replies = [
    await repositoryCall(session, "load", target.name),
    await repositoryCall(session, "load", target.name),
  ];
  loading = false;
  await Promise.all(callers);
  for (const reply of replies) expectOk(reply, "load of a loaded model");
  expect(
    failures.length === 0,
    `${failures.length} requests failed during a reload, the first: ${failures[0]}`,
  );
}

export const lifecycleChecks: readonly Check[] = [
  lifecycle.must(
    "REPO.unload-load",
    "unload takes the model out of service, load brings it back",
    unloadAndLoad,
  ),
  lifecycle.must("REPO.load-unknown", "loading an unknown model is an error object", async (s) => {
    expectRefused(await repositoryCall(s, "load", "no-such-model"), "load of an unknown model");
  }),
  checksFrom(practice("load, then swap"), ["target", "repository", "writes"]).should(
    "REPO.reload",
    "requests under way during a reload all succeed",
    reloadLosesNothing,
  ),
  lifecycle.must("REPO.still-ready", "the server is ready after all that", async (s) => {
    expectEqual((await s.http.get("/v2/health/ready")).status, 200, "status of /v2/health/ready");
  }),
];
