/** R16 and R17: hostile sizes and names, compressed bodies. After each the server must still answer. */
import { deflateSync, gunzipSync, gzipSync } from "node:zlib";
import { type Check, checksFrom } from "../define.ts";
import { expect, expectEqual, record } from "../expect.ts";
import { expectOk, Reply } from "../http-client.ts";
import { stringifyJson } from "../json.ts";
import { sampleInputs } from "../samples.ts";
import { inferPath, modelPath, type Session } from "../session.ts";
import { http, practice } from "../sources.ts";
import { NotApplicable } from "../types.ts";

const robust = checksFrom(practice("hostile input is refused and does no harm"), ["target"]);
const coding = checksFrom(http("8.4, Content-Encoding"), ["target"]);
const DEPTH = 100_000;
const CLAIMED_BYTES = 64 * 1024 ** 3;

async function stillAnswers(session: Session): Promise<void> {
  const reply = await session.infer(session.target, { inputs: sampleInputs(session.target) });
  expectOk(reply, "an ordinary request afterwards");
}

async function deepNesting(session: Session): Promise<void> {
  const body = `{"inputs": ${"[".repeat(DEPTH)}${"]".repeat(DEPTH)}}`;
  const reply = await session.http.send("POST", inferPath(session.target.name), { body });
  expect(reply.status >= 400, `${DEPTH} nested arrays: expected an HTTP error, got ${reply.status}`);
  await stillAnswers(session);
}

const HOSTILE_NAMES = ["..%2F..%2Fetc%2Fpasswd", "%00", "a%0Ab", "x".repeat(10_000), "%2e%2e", "%zz"];

/** A closed connection is a refusal too. */
async function hostileNames(session: Session): Promise<void> {
  for (const name of HOSTILE_NAMES) {
    const reply = await session.http.get(`/v2/models/${name}/ready`).catch(() => undefined);
    if (!reply) continue;
    const what = `model name ${name.slice(0, 40)}`;
    expect(reply.status >= 400, `${what}: expected an HTTP error, got ${reply.status}`);
    expect(!reply.text.includes("root:"), `${what}: the answer shows a file`);
  }
  await stillAnswers(session);
}

async function hugeLength(session: Session): Promise<void> {
  const path = inferPath(session.target.name);
  const head = session.head("POST", path, { "content-length": String(CLAIMED_BYTES) });
  const { status } = await session.raw([head, Buffer.from("{")]);
  expect(status === 413, `content-length ${CLAIMED_BYTES}: expected 413, got ${status || "no answer"}`);
  await stillAnswers(session);
}

async function compressed(session: Session, encoding: string, pack: (body: string) => Buffer): Promise<void> {
  const body = pack(stringifyJson({ id: encoding, inputs: sampleInputs(session.target) }));
  const headers = { "content-type": "application/json", "content-encoding": encoding };
  const reply = await session.http.send("POST", inferPath(session.target.name), { body, headers });
  expectEqual(record(expectOk(reply, `a ${encoding} body`).json(), "response").id, encoding, "id");
}

async function brokenGzip(session: Session): Promise<void> {
  const reply = await session.http.send("POST", inferPath(session.target.name), {
    body: gzipSync("{}").subarray(0, 12),
    headers: { "content-type": "application/json", "content-encoding": "gzip" },
  });
  expect(reply.status >= 400 && reply.status < 500, `cut-off gzip: expected 4xx, got ${reply.status}`);
  await stillAnswers(session);
}

const LARGE_ROWS = 50;
const WORTH_COMPRESSING = 1000;

/** Small answers may go as they are, so this needs a model whose answer is not small. */
async function gzipResponse(session: Session): Promise<void> {
  const json = { inputs: sampleInputs(session.target, LARGE_ROWS) };
  const path = inferPath(session.target.name);
  const plain = expectOk(await session.http.send("POST", path, { json }), `infer with ${LARGE_ROWS} rows`);
  if (plain.body.length < WORTH_COMPRESSING)
    throw new NotApplicable("the model's answers are too small to compress");
  const reply = await session.http.send("POST", path, { json, headers: { "accept-encoding": "gzip" } });
  expectEqual(expectOk(reply, "infer").headers["content-encoding"], "gzip", "content-encoding");
  record(new Reply(reply.status, {}, gunzipSync(reply.body)).json(), "the response");
}

export const limitChecks: readonly Check[] = [
  robust.must("R16.depth", "deeply nested JSON is refused and does no harm", deepNesting),
  robust.must("R16.names", "hostile model names are refused and do no harm", hostileNames),
  robust.should("R16.size", "a body that says it is 64 GiB is 413 at once", hugeLength),
  robust.must("R16.unfinished", "a client that leaves in mid-request does no harm", async (s) => {
    const head = s.head("POST", inferPath(s.target.name), { "content-length": "1000" });
    await s.raw([head, Buffer.from('{"inputs": [')], { waitMs: 200 });
    await stillAnswers(s);
  }),
  robust.must("R16.no-http", "bytes that are not HTTP do no harm", async (s) => {
    await s.raw([Buffer.from([0x16, 0x03, 0x01, 0, 1, 2, 3]), Buffer.from("\r\n\r\n")], { waitMs: 500 });
    expectOk(await s.http.get(modelPath(s.target.name)), "metadata afterwards");
  }),
  coding.should("R17.gzip-request", "gzip bodies are understood", (s) => compressed(s, "gzip", gzipSync)),
  coding.should("R17.deflate-request", "deflate bodies are understood", (s) =>
    compressed(s, "deflate", deflateSync),
  ),
  coding.should("R17.broken-gzip", "a cut-off gzip body is 4xx and does no harm", brokenGzip),
  coding.should("R17.gzip-response", "gzip is used when asked for", gzipResponse),
];
