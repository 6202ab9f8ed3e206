import type { ReadableStream } from "node:stream/web";
import { invalid, toCapstanError } from "../../contracts/index.ts";
import type { Target } from "../../host/language-model.ts";
import { readBody } from "../body.ts";
import { errorBody, reportError } from "../error-body.ts";
import type { Exchange } from "../exchange.ts";
import { checkJsonType, parseObject } from "../json-body.ts";
import { answerHeaders, chooseModel } from "../language-model.ts";
import type { Route } from "../route.ts";
import type { Headers } from "../send.ts";
import { roomIn, sseData } from "../sse.ts";

/** Routes of OpenAI's API that a model's upstream answers by itself, behind `/v1/`. */
const ROUTES = [
  "images/generations",
  "images/edits",
  "audio/speech",
  "audio/transcriptions",
  "audio/translations",
];

/** What is put in by whoever sends the answer, or belongs to one connection. */
const NOT_COPIED = new Set([
  ...["content-length", "content-encoding", "transfer-encoding", "connection", "keep-alive", "date"],
  ...["set-cookie", "x-request-id", "server"],
]);

export const passthroughRoutes: Route[] = ROUTES.map((route) => ({
  method: "POST",
  path: `/v1/${route}`,
  handle: (x) => passthrough(x, route),
}));

async function passthrough(x: Exchange, route: string): Promise<void> {
  return passThrough(x, route, await readAny(x));
}

/**
 * As {@link passThrough}, for what this server has no form for itself.
 * @returns false where nobody else is there to answer; a lazy model may turn out to have nobody.
 */
export async function passedThrough(x: Exchange, route: string, { name }: Target, body: unknown) {
  if (x.parts.plane.languageModel(name)?.upstream !== true) return false;
  try {
    await passThrough(x, route, { body, model: name });
    return true;
  } catch (thrown) {
    if (toCapstanError(thrown).code === "UNSUPPORTED") return false;
    throw thrown;
  }
}

/** The body goes to the upstream as it is, JSON or a form; so does the answer come back. */
export async function passThrough(x: Exchange, route: string, { body, model }: AnyBody): Promise<void> {
  const target = chooseModel(x, model);
  const call = x.call();
  const ownHeaders = answerHeaders(x, target);
  const answer = await x.parts.plane.passthrough(target.name, target.version, route, body, call);
  const headers = { ...headersOf(answer), ...ownHeaders(), "x-request-id": x.requestId };
  x.response.writeHead(answer.status, headers);
  const content = answer.body as ReadableStream<Uint8Array> | null;
  if (content !== null) await pipe(x, content, isStream(answer));
  x.response.end();
}

function headersOf(answer: Response): Headers {
  return {
    ...Object.fromEntries([...answer.headers].filter(([name]) => !NOT_COPIED.has(name))),
    ...(isStream(answer) ? { "x-accel-buffering": "no" } : {}),
  };
}

const isStream = ({ headers }: Response) =>
  headers.get("content-type")?.startsWith("text/event-stream") === true;

/** As fast as the client takes it. An answer of events that breaks off ends with an error; any other is cut. */
async function pipe(x: Exchange, body: ReadableStream<Uint8Array>, events: boolean): Promise<void> {
  const { response } = x;
  const { signal } = x.call();
  try {
    for await (const chunk of body) {
      signal.throwIfAborted();
      if (!response.write(chunk)) await roomIn(response, signal);
      signal.throwIfAborted();
    }
  } catch (thrown) {
    const error = reportError(x, thrown);
    if (!events) response.destroy();
    else if (!response.destroyed) response.write(`\n\n${sseData(errorBody(x, error))}`);
  }
}

interface AnyBody {
  readonly body: unknown;
  readonly model: string | undefined;
}

async function readAny(x: Exchange): Promise<AnyBody> {
  const type = x.header("content-type");
  const isForm = type?.trim().toLowerCase().startsWith("multipart/form-data") === true;
  if (!isForm) checkJsonType(type);
  const bytes = await readBody(x.request, x.parts.settings.max_body_bytes);
  if (isForm) return readForm(bytes, type!);
  const body = parseObject(bytes);
  return { body, model: modelField(body.model) };
}

async function readForm(bytes: Buffer, type: string): Promise<AnyBody> {
  try {
    const headers = { "content-type": type };
    const body = await new Response(new Uint8Array(bytes), { headers }).formData();
    return { body, model: modelField(body.get("model") ?? undefined) };
  } catch (cause) {
    throw invalid(`The body is not the form its Content-Type says: ${(cause as Error).message}`, { cause });
  }
}

function modelField(value: unknown): string | undefined {
  if (value == null || (typeof value === "string" && value !== "")) return value ?? undefined;
  throw invalid("'model': must be a name", { param: "model" });
}
