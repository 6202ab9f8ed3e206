/** What goes wrong in batching servers: requests that meet each other. */
import { type Check, checksFrom } from "../define.ts";
import { expect, expectEqual, record } from "../expect.ts";
import { malformedBodies, wrongSignature } from "../faults.ts";
import { expectOk } from "../http-client.ts";
import { inputName, outputName } from "../reference-model.ts";
import { expectValues, outputNamed, sampleInputs, withInput } from "../samples.ts";
import { inferPath, type Session } from "../session.ts";
import { http, practice } from "../sources.ts";
import { sendFault } from "./errors.ts";

const together = checksFrom(practice("a request is answered for itself, whoever is beside it"), ["target"]);
const CALLERS = 32;

const numbers = Array.from({ length: CALLERS }, (_, index) => index);

async function ownAnswers(session: Session): Promise<void> {
  const { reference } = session;
  const name = inputName("INT32");
  const inputs = sampleInputs(reference);
  await Promise.all(
    numbers.map(async (index) => {
      const rows = 1 + (index % 3);
      const data = Array.from({ length: rows * 2 }, () => index);
      const changed = withInput(inputs, name, { shape: [rows, 2], data });
      const reply = expectOk(await session.infer(reference, { id: String(index), inputs: changed }), "infer");
      const body = record(reply.json(), "the response");
      expectEqual(body.id, String(index), "id");
      expectValues("INT32", outputNamed(body, outputName(name)).data, data, `data of request ${index}`);
    }),
  );
}

/** One request in four is bad; the others must not notice. */
async function badNeighbours(session: Session): Promise<void> {
  const faults = wrongSignature(session);
  const request = { inputs: sampleInputs(session.target) };
  await Promise.all(
    numbers.map(async (index) => {
      const fault = faults[(index / 4) % faults.length];
      if (fault) await sendFault(session, fault);
      else expectOk(await session.infer(session.target, request), "a good request beside bad ones");
    }),
  );
}

async function connectionSurvives(session: Session): Promise<void> {
  const bodies = [malformedBodies()[0]?.body ?? "", JSON.stringify({})];
  const chunks = bodies.flatMap((body) => {
    const length = String(Buffer.byteLength(body));
    const headers = { "content-type": "application/json", "content-length": length };
    return [session.head("POST", inferPath(session.target.name), headers), Buffer.from(body)];
  });
  const live = session.head("GET", "/v2/health/live", { connection: "close" });
  const { text } = await session.raw([...chunks, live], { answers: 3 });
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]));
  expectEqual(statuses.length, 3, "answers on one connection");
  expect(statuses[2] === 200, `the request after two bad ones: ${statuses[2]}`);
}

export const concurrencyChecks: readonly Check[] = [
  checksFrom(practice("a request is answered for itself, whoever is beside it"), ["reference"]).must(
    "X.own-answers",
    "concurrent requests of different sizes each get their own answer",
    ownAnswers,
  ),
  together.must("X.bad-neighbours", "a bad request does not harm those beside it", badNeighbours),
  checksFrom(http("9.3, persistent connections (RFC 9112)"), ["target"]).should(
    "X.connection",
    "a connection serves on after an error",
    connectionSurvives,
  ),
];
