/** R3: how failures are told. */
import { type Check, checksFrom } from "../define.ts";
import { expect, expectEqual } from "../expect.ts";
import { EMPTY_BODY, everyFault, type Fault, malformedBodies, wrongTypes } from "../faults.ts";
import { expectRefused, type Reply } from "../http-client.ts";
import { sampleInputs } from "../samples.ts";
import { inferPath, modelPath, type Session } from "../session.ts";
import { http, practice, rest } from "../sources.ts";

const NOBODY = "no-such-model";
const errors = checksFrom(rest("Inference Response JSON Error Object"), ["target"]);
const metadataErrors = checksFrom(rest("Model Metadata Response JSON Error Object"));
const status = checksFrom(http("15.5, Client Error 4xx"), ["target"]);
const routes = checksFrom(practice("one error form for every route"));

export async function sendFault(session: Session, fault: Fault): Promise<Reply> {
  return session.http.send("POST", inferPath(session.target.name), {
    body: fault.body,
    headers: { "content-type": "application/json" },
  });
}

export async function expectAllRefused(session: Session, faults: readonly Fault[]): Promise<void> {
  for (const fault of faults) expectRefused(await sendFault(session, fault), fault.what);
}

async function faultsAre4xx(session: Session): Promise<void> {
  const wrong: string[] = [];
  for (const fault of everyFault(session)) {
    const reply = await sendFault(session, fault);
    if (reply.status >= 500) wrong.push(`${fault.what}: ${reply.status}`);
  }
  expect(wrong.length === 0, `5xx for: ${wrong.join("; ")}`);
}

const TRACE = /Traceback|File "|\n +at |\.(?:py|js|ts|cc):\d+/;

async function noStackTrace(session: Session): Promise<void> {
  for (const fault of everyFault(session)) {
    const reply = await sendFault(session, fault);
    expect(!TRACE.test(reply.text), `${fault.what}: the answer shows where in the server's code it failed`);
  }
}

async function unknownAre404(session: Session): Promise<void> {
  const request = { inputs: sampleInputs(session.target) };
  const { name } = session.target;
  expectEqual((await session.http.get(modelPath(NOBODY))).status, 404, "metadata of an unknown model");
  expectEqual((await session.http.post(inferPath(NOBODY), request)).status, 404, "infer at an unknown model");
  expectEqual(
    (await session.http.get(modelPath(name, "98765"))).status,
    404,
    "metadata of an unknown version",
  );
  const reply = await session.http.post(inferPath(name, "98765"), request);
  expectEqual(reply.status, 404, "infer at an unknown version");
}

export const errorChecks: readonly Check[] = [
  metadataErrors.must("R3.unknown-model", "metadata of an unknown model is an error object", async (s) => {
    expectRefused(await s.http.get(modelPath(NOBODY)), "metadata of an unknown model");
  }),
  errors.must("R3.unknown-model-infer", "infer at an unknown model is an error object", async (s) => {
    expectRefused(await s.http.post(inferPath(NOBODY), { inputs: sampleInputs(s.target) }), "infer");
  }),
  errors.must("R3.unknown-version", "infer at an unknown version is an error object", async (s) => {
    const path = inferPath(s.target.name, "98765");
    expectRefused(await s.http.post(path, { inputs: sampleInputs(s.target) }), "infer");
  }),
  errors.must("R3.malformed", "a body that is no V2 request is an error object", (s) =>
    expectAllRefused(s, malformedBodies()),
  ),
  errors.should("R3.empty-body", "an empty body is an error object", (s) =>
    expectAllRefused(s, [EMPTY_BODY]),
  ),
  errors.must("R3.wrong-types", "members of the wrong JSON type are an error object", (s) =>
    expectAllRefused(s, wrongTypes(s)),
  ),
  routes.should("R3.unknown-route", "an unknown route is 404 with an error object", async (s) => {
    const reply = expectRefused(await s.http.get("/v2/no/such/route"), "GET /v2/no/such/route");
    expectEqual(reply.status, 404, "status");
  }),
  routes.should("R3.wrong-method", "a wrong method is 405 with an error object", async (s) => {
    const reply = expectRefused(await s.http.send("DELETE", "/v2/health/live"), "DELETE /v2/health/live");
    expectEqual(reply.status, 405, "status");
  }),
  status.should("R3.unknown-is-404", "unknown models and versions are 404", unknownAre404),
  status.should("R3.faults-are-4xx", "every fault of the caller is a 4xx, never a 5xx", faultsAre4xx),
  status.should("R3.no-stack-trace", "no error shows the server's code", noStackTrace),
  status.should("R3.media-type", "a body that says it is XML is 415", async (s) => {
    const reply = await s.http.send("POST", inferPath(s.target.name), {
      body: "<inputs/>",
      headers: { "content-type": "application/xml" },
    });
    expectEqual(expectRefused(reply, "an XML body").status, 415, "status");
  }),
  status.should("R3.content-type", "errors are application/json", async (s) => {
    for (const fault of malformedBodies()) {
      const type = (await sendFault(s, fault)).headers["content-type"] ?? "none";
      expect(/^application\/json/.test(type), `${fault.what}: content-type is ${type}`);
    }
  }),
];
