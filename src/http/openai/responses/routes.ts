import { type Call, CapstanError, foldParts, invalid } from "../../../contracts/index.ts";
import { openCall } from "../../../host/call.ts";
import { shownMessage } from "../../error-body.ts";
import type { Exchange } from "../../exchange.ts";
import { checkFields, readJsonObject } from "../../json-body.ts";
import { answerHeaders, chooseModel, sessionOf } from "../../language-model.ts";
import type { Route } from "../../route.ts";
import { sendJson } from "../../send.ts";
import { sendEvents } from "../../sse.ts";
import { bodySession } from "../chat-request.ts";
import { passThrough } from "../passthrough.ts";
import { outcomeOf } from "./answer.ts";
import { ResponseEvents } from "./events.ts";
import { Making } from "./making.ts";
import { chatRequestOf, type ResponseBody, responseSchema, wantsForeignTools } from "./request.ts";
import { ResponseStore } from "./store.ts";

/** OpenAI's Responses API, over the same models as chat completions. */
export function responseRoutes(): Route[] {
  const store = new ResponseStore();
  return [
    { method: "POST", path: "/v1/responses", handle: (x) => create(x, store) },
    {
      method: "GET",
      path: "/v1/responses/:response",
      handle: (x) => sendJson(x, 200, found(x, store).response),
    },
    { method: "DELETE", path: "/v1/responses/:response", handle: (x) => remove(x, store) },
    { method: "POST", path: "/v1/responses/:response/cancel", handle: (x) => cancel(x, store) },
  ];
}

const found = (x: Exchange, store: ResponseStore) => store.get(x.params.response!, x.owner);

async function create(x: Exchange, store: ResponseStore): Promise<void> {
  const json = await readJsonObject(x);
  const body = checkFields(responseSchema, json);
  if (wantsForeignTools(body)) return passThrough(x, "responses", { body: json, model: body.model });
  if (body.background && body.stream)
    throw invalid("A response is made in the background or streamed, not both", { param: "background" });
  const target = chooseModel(x, body.model);
  const request = chatRequestOf(body, history(x, body, store), sessionOf(x, { body: bodySession(body) }));
  const background = body.background ? backgroundCall(x) : undefined;
  const making = new Making({
    ...{ model: target.name, owner: x.owner, body, request, store },
    cancel: () => (background?.scope ?? x).cancel("The response was cancelled"),
  });
  const headers = answerHeaders(x, target);
  const ask = (call: Call) => x.parts.plane.chat(target.name, target.version, request, call);
  if (background !== undefined) {
    void complete(making, ask({ ...background.scope, whole: true })).finally(background.end);
    return sendJson(x, 200, making.response({ status: "in_progress", output: [] }), headers());
  }
  if (!body.stream) return sendJson(x, 200, await completeOrThrow(making, ask(x.wholeCall())), headers());
  const events = new ResponseEvents(making);
  const failure = (error: CapstanError) =>
    events.failed(new CapstanError(error.code, shownMessage(x, error)));
  return sendEvents(x, events.of(ask(x.call())), { headers, failure });
}

function history(x: Exchange, { previous_response_id }: ResponseBody, store: ResponseStore) {
  return previous_response_id === undefined ? [] : store.get(previous_response_id, x.owner).messages;
}

type Parts = ReturnType<Exchange["parts"]["plane"]["chat"]>;

async function completeOrThrow(making: Making, parts: Parts) {
  try {
    const { choices, usage } = await foldParts(parts);
    return making.finish(outcomeOf(making.itemId, choices[0]!, usage), choices[0]!);
  } catch (thrown) {
    making.fail(thrown);
    throw thrown;
  }
}

/** Nobody waits: what came of it is in the store. */
async function complete(making: Making, parts: Parts): Promise<void> {
  await completeOrThrow(making, parts).catch(() => {});
}

/** It outlives the request that asked for it, and ends with the server. */
function backgroundCall(x: Exchange) {
  const { requestId, owner, principal } = x;
  const { access, log, running } = x.parts;
  const scope = openCall({
    requestId,
    log,
    header: (name) => x.header(name),
    trace: x.span,
    ...(principal && { principal }),
  });
  const cancel = (reason: string) => scope.cancel(reason);
  const entry = { requestId, owner, cancel };
  running.add(entry);
  const release = principal && access?.hold(principal, cancel);
  const end = () => {
    scope.end();
    release?.();
    running.delete(entry);
  };
  return { scope, end };
}

/** A response that is finished already stays as it is. */
async function cancel(x: Exchange, store: ResponseStore): Promise<void> {
  const { cancel: stop, response } = found(x, store);
  if (stop === undefined) return sendJson(x, 200, response);
  stop();
  await new Promise(setImmediate);
  const now = found(x, store).response;
  return sendJson(x, 200, { ...now, status: now.status === "in_progress" ? "cancelled" : now.status });
}

function remove(x: Exchange, store: ResponseStore): Promise<void> {
  const { response, cancel: stop } = found(x, store);
  stop?.();
  store.delete(response.id);
  return sendJson(x, 200, { id: response.id, object: "response", deleted: true });
}
