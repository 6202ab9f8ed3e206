/** The generate extension, on a model that takes `text_input` and gives `text_output`. */
import { type Check, checksFrom } from "../define.ts";
import { expect, expectEqual, record, shown, string } from "../expect.ts";
import { expectOk, expectRefused, type Reply } from "../http-client.ts";
import { parseJson } from "../json.ts";
import { modelPath, type Session } from "../session.ts";
import { extension, practice } from "../sources.ts";
import { NotApplicable } from "../types.ts";

const generate = checksFrom(extension("generate", "Generate Request JSON Object"), ["generate"]);
const errors = checksFrom(extension("generate", "Generate Response JSON Error Object"), ["generate"]);
const PROMPT = { text_input: "hello", parameters: { max_tokens: 8 } };

function path(session: Session, route: "generate" | "generate_stream"): string {
  const { generator } = session.facts;
  if (generator === undefined) throw new NotApplicable("no model generates text");
  return `${modelPath(generator)}/${route}`;
}

/** The JSON of each SSE event. */
function eventsOf(reply: Reply): Record<string, unknown>[] {
  const lines = reply.text.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  return lines.map((line) => record(parseJson(line.slice("data:".length)), "an event"));
}

async function answers(session: Session): Promise<void> {
  const reply = expectOk(await session.http.post(path(session, "generate"), PROMPT), "generate");
  const body = record(reply.json(), "the response");
  expectEqual(body.model_name, session.facts.generator, "model_name");
  string(body.model_version, "model_version");
  string(body.text_output, "text_output");
}

async function streams(session: Session): Promise<void> {
  const reply = expectOk(
    await session.http.post(path(session, "generate_stream"), PROMPT),
    "generate_stream",
  );
  const type = reply.headers["content-type"] ?? "none";
  expect(/^text\/event-stream/.test(type), `content-type is ${type}`);
  const texts = eventsOf(reply).filter(({ text_output }) => typeof text_output === "string");
  expect(texts.length > 0, `no event has a text_output: ${shown(reply.text)}`);
}

const BAD = [{}, { text_input: 5 }, { text_input: { a: 1 } }];

export const generateChecks: readonly Check[] = [
  generate.must("GEN.generate", "generate answers with text_output", answers),
  generate.must("GEN.stream", "generate_stream sends events with text_output", streams),
  errors.must("GEN.bad-request", "a request without text is an error object", async (s) => {
    for (const body of BAD) expectRefused(await s.http.post(path(s, "generate"), body), shown(body));
  }),
  errors.must(
    "GEN.stream-error",
    "an error before the first event is an error object with its status",
    async (s) => {
      const unknown = `${modelPath("no-such-model")}/generate_stream`;
      expectRefused(await s.http.post(unknown, PROMPT), "generate_stream at an unknown model");
      expectRefused(await s.http.post(path(s, "generate_stream"), {}), "generate_stream without text");
    },
  ),
  checksFrom(practice("a fault of the caller is a 4xx"), ["generate"]).should(
    "GEN.status",
    "unknown models are 404, faults are 4xx",
    async (s) => {
      const unknown = await s.http.post(`${modelPath("no-such-model")}/generate`, PROMPT);
      expectEqual(unknown.status, 404, "status for an unknown model");
      for (const body of BAD) {
        const { status } = await s.http.post(path(s, "generate"), body);
        expect(status < 500, `${shown(body)}: ${status}`);
      }
    },
  ),
];
