import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { serveLlms } from "../../support/scripted-llm.ts";
import { pythonWith } from "../python-venv.ts";

const run = promisify(execFile);
const HERE = import.meta.dirname;

it("the openai package of Python works unchanged", async () => {
  const python = await pythonWith("openai-3.52.0", join(HERE, "requirements.txt"));
  await using served = await serveLlms();
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
  const args = [join(HERE, "checks.py"), served.server.url];
  const { stdout } = await run(python, args, { env, timeout: 60_000 });
  expect(JSON.parse(stdout)).toEqual({
    chat: [
      [
        ["Echo: hi", "length"],
        ["Echo: hi", "length"],
      ],
      6,
    ],
    chat_stream: [["Echo:", " hi"], 3],
    tools: [
      ["weather", '{"city":"Rome"}'],
      ["time", "{}"],
    ],
    completions: ["Echo: a", "Echo: b"],
    embeddings: [4, true],
    models: [["echo", "scripted"], "echo"],
    errors: [
      ["NotFoundError", "model_not_found"],
      ["RateLimitError", "rate_limited"],
      ["temperature", "invalid_request_error"],
      ["APIError", "The upstream broke off"],
    ],
    concurrently: true,
  });
});
