/** Tried so often in a row without an event, over all gateways; the pause makes it last longer than a restart. */
const MAX_TRIES = 20;
const PAUSE_MS = 500;

/**
 * Streams one answer. Losing a gateway it goes on through the next, after the last event it has. When the gateway that
 * asked the model is gone, the rest of the answer is gone with it, and the question is asked again from the beginning.
 *
 * @param {{ gateways: string[], model: string, query: Record<string, string> }} request
 * @param {{
 *   text: (whole: string) => void,
 *   gateway: (address: string, why: "asked" | "resumed" | "asked again") => void,
 *   done: (end: { finish_reason: string, usage?: { input_tokens: number, output_tokens: number } }) => void,
 *   failed: (failure: { code: string, error: string }) => void,
 * }} listener what is told of it.
 * @returns {() => void} stops the stream.
 */
export function streamAnswer({ gateways, model, query }, listener) {
  let source;
  let timer;
  let current = 0;
  let tries = 0;
  let text = "";
  let lastEventId = "";
  let lostBefore = false;

  function connect() {
    const address = gateways[current];
    const url = new URL(`/v2/models/${encodeURIComponent(model)}/stream`, address);
    url.search = String(new URLSearchParams({ ...query, resume: "1" }));
    if (lastEventId !== "") url.searchParams.set("last_event_id", lastEventId);
    source = new EventSource(url);
    source.addEventListener("token", onToken);
    source.addEventListener("done", onDone);
    source.addEventListener("failure", onFailure);
    // A connection that broke off, or a status that is not 200: this gateway does not go on.
    source.addEventListener("error", () => next("no gateway answers"));
    listener.gateway(address, lastEventId !== "" ? "resumed" : lostBefore ? "asked again" : "asked");
  }

  function onToken(event) {
    lastEventId = event.lastEventId;
    text += JSON.parse(event.data).text;
    tries = 0;
    listener.text(text);
  }

  function onDone(event) {
    source.close();
    listener.done(JSON.parse(event.data));
  }

  function onFailure(event) {
    const failure = JSON.parse(event.data);
    if (event.lastEventId.endsWith(":lost")) return askAgain();
    // Without an id of its own it is about this connection, not about the answer.
    if (event.lastEventId === "" || event.lastEventId === lastEventId) return next(failure.error);
    source.close();
    listener.failed(failure);
  }

  function askAgain() {
    source.close();
    lastEventId = "";
    text = "";
    lostBefore = true;
    listener.text(text);
    connect();
  }

  function next(reason) {
    source.close();
    tries += 1;
    if (tries > MAX_TRIES) return listener.failed({ code: "NOT_READY", error: reason });
    current = (current + 1) % gateways.length;
    timer = setTimeout(connect, tries === 1 ? 0 : PAUSE_MS);
  }

  connect();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
