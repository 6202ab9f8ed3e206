import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataOfEvent, EventReader, gatewayTo, type TestGateway } from "../../gateway/support.ts";
import { install, type Peer, start } from "../remote/peers.ts";

let triton: Peer;
let gateway: TestGateway;
beforeAll(async () => {
  await install("triton.sh");
  triton = await start("triton.sh");
  gateway = await gatewayTo(triton.grpc.replace("grpc://", ""));
}, 600_000);
afterAll(async () => {
  await gateway?.close();
  await triton?.[Symbol.asyncDispose]();
}, 60_000);

const url = (path: string) => `${gateway.url}/v2/models/${path}`;
async function read(path: string, sent?: ConstructorParameters<typeof EventReader>[1]) {
  using reader = new EventReader(url(path), sent);
  return { ...(await reader.ended()), text: reader.text };
}

describe("a gateway before Triton", () => {
  it("streams a decoupled model, which tells no usage", async () => {
    const { status, events } = await read("words/stream?prompt=one+two+three");
    expect(status).toBe(200);
    expect(events.map(({ event, data }) => [event, data])).toEqual([
      ["token", '{"text":"one"}'],
      ["token", '{"text":"two"}'],
      ["token", '{"text":"three"}'],
      ["done", '{"finish_reason":"stop"}'],
    ]);
  });

  it("takes an inference request, and goes on with a stream", async () => {
    const inputs = [{ name: "text_input", shape: [1], datatype: "BYTES", data: ["a b c d e f g h"] }];
    const method = "POST";
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ inputs, parameters: { resume: true } });
    using first = new EventReader(url("words/stream"), { method, headers, body });
    const [token] = await first.atLeast(1);
    first.leave();
    const { events } = await read("words/stream?resume=1", { headers: { "last-event-id": token!.id! } });
    expect(events.slice(0, -1).map((event) => (dataOfEvent(event) as { text: string }).text)).toEqual(
      ["b", "c", "d", "e", "f", "g", "h"].slice(first.events.length - 1),
    );
    expect(events.at(-1)).toMatchObject({ event: "done" });
  });

  it("says what Triton refuses", async () => {
    expect(await read("none/stream?prompt=a")).toMatchObject({
      status: 502,
      text: expect.stringMatching(/none/),
    });
    expect((await fetch(`${gateway.url}/v2/health/ready`)).status).toBe(200);
  });
});
