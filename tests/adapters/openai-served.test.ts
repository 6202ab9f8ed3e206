import { describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { chat, chunk, OpenaiUpstream, reply, stalls } from "../support/openai-upstream.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

const ASK = { model: "gpt", messages: [{ role: "user", content: "hello" }], logprobs: true };

/** A server with a model of the upstream, and `dummy-model` to fall back on. */
async function withUpstream(
  answer = chat("well", " met"),
  use: (server: TestServer, upstream: OpenaiUpstream) => unknown,
) {
  await using upstream = await OpenaiUpstream.start(answer);
  await using repository = await TestRepository.create();
  const openai = {
    framework: "openai",
    base_url: upstream.origin,
    model: "served-name",
    api_key: "${NO_SUCH_KEY:-}",
    upstream_timeout: "60s",
    max_retries: 0,
    fallbacks: ["dummy-model"],
  };
  const llm = (name: string, extra: object) => ({ name, implementation: "llm", parameters: { extra } });
  await repository.write("gpt", llm("gpt", openai));
  await repository.write("dummy-model", llm("dummy-model", { framework: "echo" }));
  await using server = await serve(repository.root);
  await use(server, upstream);
}

describe("a model of an upstream, over HTTP", () => {
  it("answers", () =>
    withUpstream(undefined, async (server, upstream) => {
      const { status, body } = await server.post("/v1/chat/completions", ASK);
      expect(status).toBe(200);
      expect(body).toMatchObject({ choices: [{ message: { content: "well met" } }] });
      expect(upstream.requests[0]!.body).toMatchObject({ model: "served-name", logprobs: true });
    }));

  it.each([
    ["/v1/chat/completions", ASK],
    ["/v1/completions", { model: "gpt", prompt: "hello" }],
  ])("asks for pieces only where its caller does: %s", (path, body) =>
    withUpstream(undefined, async (server, upstream) => {
      for (const stream of [false, true]) {
        await server.request(path, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ ...body, stream }),
        });
        expect(upstream.requests.at(-1)!.body).toMatchObject({ stream });
      }
    }),
  );

  it("answers with its fallback when the upstream cannot", () =>
    withUpstream(reply(503, {}), async (server) => {
      const { body } = await server.post("/v1/chat/completions", ASK);
      expect(body).toMatchObject({ choices: [{ message: { content: "Echo: hello" } }] });
    }));

  it.each([false, true])("closes the upstream's connection when the client leaves (stream: %s)", (stream) =>
    withUpstream(stalls(chunk({ content: "one" })), async (server, upstream) => {
      const controller = new AbortController();
      const init = {
        method: "POST",
        headers: { "content-type": "application/json" },
        signal: controller.signal,
      };
      const left = server.request("/v1/chat/completions", {
        ...init,
        body: JSON.stringify({ ...ASK, stream }),
      });
      const ended = left.then((response) => response.text());
      ended.catch(() => {});
      await eventually(() => upstream.open === 1);
      controller.abort();
      await expect(ended).rejects.toThrow();
      await upstream.idle();
      expect(upstream.left).toBe(1);
    }),
  );
});
