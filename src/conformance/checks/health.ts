/** R1, R4, R5: the endpoints, health, and what the server says it can do. */
import { type Check, checksFrom } from "../define.ts";
import { array, expect, expectEqual, record, string } from "../expect.ts";
import { expectOk } from "../http-client.ts";
import { modelPath, type Session } from "../session.ts";
import { http, practice, rest } from "../sources.ts";

const endpoints = checksFrom(rest("API table"));
const ofModel = checksFrom(rest("API table"), ["target"]);
const ofVersion = checksFrom(rest("API table"), ["target", "versions"]);
const semantics = checksFrom(http("9.1, GET and HEAD"), ["target"]);
const metadata = checksFrom(rest("Server Metadata Response JSON Object"));

async function getOk(session: Session, path: string): Promise<void> {
  expectOk(await session.http.get(path), `GET ${path}`);
}

async function describesItself(session: Session): Promise<void> {
  const body = record(expectOk(await session.http.get("/v2"), "GET /v2").json(), "server metadata");
  string(body.name, "name");
  string(body.version, "version");
  for (const extension of array(body.extensions, "extensions")) string(extension, "an extension");
}

async function answersHead(session: Session): Promise<void> {
  const paths = ["/v2", "/v2/health/live", "/v2/health/ready", modelPath(session.target.name)];
  for (const path of paths) {
    const reply = await session.http.send("HEAD", path);
    expect(reply.status === 200, `HEAD ${path}: expected 200, got ${reply.status}`);
    expectEqual(reply.body.length, 0, `bytes in the body of HEAD ${path}`);
  }
}

/** Extensions that have a route of their own to try. */
const ROUTED = ["model_repository", "statistics", "model_configuration", "trace", "logging"];

async function advertisedWork(session: Session): Promise<void> {
  const { answers, extensions } = session.facts;
  const dead = ROUTED.filter((name) => extensions.has(name) && !answers.has(name));
  expect(dead.length === 0, `advertised, but its route does not answer 200: ${dead.join(", ")}`);
}

async function workingAreAdvertised(session: Session): Promise<void> {
  const { answers, extensions } = session.facts;
  const silent = ROUTED.filter((name) => answers.has(name) && !extensions.has(name));
  expect(silent.length === 0, `works, but is not in extensions: ${silent.join(", ")}`);
}

const version = (session: Session): string => session.target.versions[0] ?? "";

export const healthChecks: readonly Check[] = [
  endpoints.must("R1.live", "GET /v2/health/live is 200", (s) => getOk(s, "/v2/health/live")),
  endpoints.must("R1.ready", "GET /v2/health/ready is 200", (s) => getOk(s, "/v2/health/ready")),
  metadata.must("R1.server-metadata", "GET /v2 gives name, version and extensions", describesItself),
  checksFrom(practice("proxies and clients add the slash")).should(
    "R1.trailing-slash",
    "GET /v2/ is GET /v2",
    async (s) => {
      const plain = expectOk(await s.http.get("/v2"), "GET /v2").json();
      expectEqual(expectOk(await s.http.get("/v2/"), "GET /v2/").json(), plain, "body");
    },
  ),
  ofModel.must("R1.model-metadata", "GET /v2/models/{m} is 200", (s) => getOk(s, modelPath(s.target.name))),
  ofModel.must("R1.model-ready", "GET /v2/models/{m}/ready is 200", (s) =>
    getOk(s, `${modelPath(s.target.name)}/ready`),
  ),
  ofVersion.must("R1.version-metadata", "GET /v2/models/{m}/versions/{v} is 200", (s) =>
    getOk(s, modelPath(s.target.name, version(s))),
  ),
  ofVersion.must("R1.version-ready", "GET /v2/models/{m}/versions/{v}/ready is 200", (s) =>
    getOk(s, `${modelPath(s.target.name, version(s))}/ready`),
  ),
  semantics.should("R1.head", "HEAD works where GET does", answersHead),
  checksFrom(rest("Model Ready")).must("R4.unknown-not-ready", "an unknown model is not ready", async (s) => {
    const reply = await s.http.get(`${modelPath("no-such-model")}/ready`);
    expect(reply.status >= 400, `expected an HTTP error, got ${reply.status}`);
  }),
  metadata.must("R5.advertised-work", "every advertised extension answers", advertisedWork),
  metadata.should("R5.working-are-advertised", "every working extension is advertised", workingAreAdvertised),
];
