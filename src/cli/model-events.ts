import { setTimeout as sleep } from "node:timers/promises";
import type { ModelEvent } from "../host/journal.ts";

/** Where events come from, and which. */
export interface EventsAsked {
  readonly url: string;
  readonly key?: string | undefined;
  readonly model?: string | undefined;
  /** An event's id, or a time. */
  readonly since?: string | undefined;
}

const RETRY_MS = 1000;

/** The events so far. @throws Error with what the server said. */
export async function readEvents(asked: EventsAsked): Promise<readonly ModelEvent[]> {
  return (await (await request(asked, "application/json")).json()) as ModelEvent[];
}

/**
 * The events so far and those that come, until `signal` aborts. A connection that breaks off is made again, and goes on
 * after the last event.
 * @throws Error with what the server said, where it never answered well.
 */
export async function* followEvents(asked: EventsAsked, signal: AbortSignal): AsyncGenerator<ModelEvent> {
  let response = await request(asked, "text/event-stream", signal);
  let seen: number | undefined;
  while (!signal.aborted) {
    for await (const event of eventsIn(response)) {
      seen = event.id;
      yield event;
    }
    response = await again(asked, seen, signal);
  }
}

/** A server that starts anew is waited for. */
async function again(asked: EventsAsked, seen: number | undefined, signal: AbortSignal): Promise<Response> {
  for (;;) {
    await sleep(RETRY_MS, undefined, { signal }).catch(() => {});
    if (signal.aborted) return new Response();
    const response = await request(asked, "text/event-stream", signal, seen).catch(() => undefined);
    if (response !== undefined) return response;
  }
}

async function request(
  { url, key, model, since }: EventsAsked,
  accept: string,
  signal?: AbortSignal,
  seen?: number,
): Promise<Response> {
  const target = new URL(`${url.replace(/\/+$/, "")}/v2/repository/events`);
  if (model !== undefined) target.searchParams.set("model", model);
  if (since !== undefined) target.searchParams.set("since", since);
  const headers = {
    accept,
    ...(key && { authorization: `Bearer ${key}` }),
    ...(seen !== undefined && { "last-event-id": String(seen) }),
  };
  const response = await fetch(target, { headers, ...(signal && { signal }) }).catch((cause: Error) => {
    throw new Error(`No server answers at ${url}: ${(cause.cause as Error)?.message ?? cause.message}`);
  });
  if (response.ok) return response;
  const { error } = (await response.json().catch(() => ({}))) as { error?: string };
  throw new Error(error ?? `The server answered ${response.status}`);
}

/** Ends where the connection does, however it does. */
async function* eventsIn({ body }: Response): AsyncGenerator<ModelEvent> {
  let rest = "";
  try {
    for await (const text of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const events = (rest + text).split("\n\n");
      rest = events.pop()!;
      for (const event of events) {
        const data = event.split("\n").find((line) => line.startsWith("data: "));
        if (data !== undefined) yield JSON.parse(data.slice("data: ".length)) as ModelEvent;
      }
    }
  } catch (error) {
    if (error instanceof SyntaxError) throw error;
  }
}

/** One line of text: when, what, of which model, and what is known besides. */
export function lineOf({ time, type, model, version, ...details }: ModelEvent): string {
  const { alias, previous, weight, digest, step, reason, retryAt, by } = details;
  const facts = [
    alias && `@${alias}`,
    previous && previous !== version && `in place of ${previous}`,
    weight !== undefined && `${weight} %`,
    digest && `digest ${digest.slice(0, 12)}`,
    by && `by ${by}`,
    step && `at ${step}`,
    retryAt && `at ${retryAt}`,
    reason,
  ];
  return [time, type.padEnd(18), `${model}:${version}`, ...facts.filter(Boolean)].join("  ");
}
