import { afterEach, beforeEach, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { addRecall, type RecallServer, serveRecall, Talker } from "../support/recall.ts";

let served: RecallServer;
let talker: Talker;
beforeEach(async () => {
  served = await serveRecall({ store: "in-process" }, {});
  const admission = { max_concurrency: 2, max_queue: 2, timeout: "30s" };
  await addRecall(served.repository, "recall", "chats", { admission });
  expect((await served.server.post("/v2/repository/models/recall/load")).status).toBe(200);
  talker = new Talker(served.server, "recall");
});
afterEach(() => served[Symbol.asyncDispose]());

/** A turn that lasts until it is left. */
async function endless(session: string): Promise<() => void> {
  const leaving = new AbortController();
  const messages = [{ role: "user", content: "wait" }];
  const answer = await served.server.request("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "recall", messages, conversation: session, stream: true }),
    signal: leaving.signal,
  });
  await answer.body!.getReader().read();
  return () => leaving.abort();
}

it("leaves the places of a model to others while the turns of one session wait for each other", async () => {
  const leave = await endless("a");
  const order: string[] = [];
  const waiting = ["one", "two"].map(async (name) => {
    await talker.says(`my name is ${name}`, "a");
    order.push(name);
  });
  expect(await talker.says("who am I?", "b")).toBe("You are a stranger");
  expect(order).toEqual([]);
  leave();
  await Promise.all(waiting);
  expect(order).toEqual(["one", "two"]);
});

it("refuses turns of a session that more wait for than the queue has places", async () => {
  const leave = await endless("a");
  const leaving = AbortSignal.timeout(20_000);
  const answers = await Promise.all(
    ["1", "2", "3"].map(async (text) => {
      const body = { model: "recall", messages: [{ role: "user", content: text }], conversation: "a" };
      const asked = served.server.request("/v1/chat/completions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        signal: leaving,
      });
      void asked.then(({ status }) => status === 429 && leave());
      return (await asked).status;
    }),
  );
  expect(answers.sort()).toEqual([200, 200, 429]);
  await eventually(async () => (await talker.turns("a")).length === 2);
});
