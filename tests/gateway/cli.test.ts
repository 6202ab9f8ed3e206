import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { run } from "../../src/cli/program.ts";
import { parseUpstream } from "../../src/gateway/address.ts";
import { serveLlms } from "../support/scripted-llm.ts";
import { answerOf, EventReader } from "./support.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

let child: ChildProcess | undefined;
afterEach(() => child?.kill("SIGKILL"));

describe("capstan gateway", () => {
  it("says ready, streams, and ends with 0 on SIGTERM after the streams that it has", async () => {
    await using served = await serveLlms();
    const upstream = `127.0.0.1:${served.server.running.grpc.port}`;
    const args = [
      "gateway",
      "--upstream",
      upstream,
      "--http-port",
      "0",
      "--allow-origin",
      "https://page.test",
    ];
    child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    const lines: { msg: string; http?: string; upstream?: string }[] = [];
    const output = createInterface({ input: child.stdout! });
    output.on("line", (line) => lines.push(JSON.parse(line)));
    await once(output, "line");
    expect(lines[0]).toMatchObject({ msg: "ready", upstream });
    const url = `http://${lines[0]!.http}/v2/models/scripted/stream`;
    const preflight = await fetch(url, {
      method: "OPTIONS",
      headers: { origin: "https://page.test", "access-control-request-method": "POST" },
    });
    expect(preflight.headers.get("access-control-allow-headers")).toContain("last-event-id");
    expect(preflight.headers.get("access-control-allow-headers")).toContain("traceparent");
    using reader = new EventReader(`${url}?prompt=slow&resume=1`);
    await reader.atLeast(1);
    child.kill("SIGTERM");
    expect(answerOf((await reader.ended()).events)).toBe("one two");
    const [code] = child.exitCode === null ? await once(child, "exit") : [child.exitCode];
    expect(code).toBe(0);
    expect(lines.map(({ msg }) => msg)).toEqual(["ready", "stopping", "stopped"]);
  });

  it.each([
    [[]],
    [["--upstream", "nowhere"]],
    [["--upstream", "a:1", "--http-port", "x"]],
    [["--upstream", "a:1", "--redis", "a:1"]],
  ])("refuses %j with 2", async (args) => {
    expect(await run(["gateway", ...args])).toBe(2);
  });
});

describe("an address of a server behind", () => {
  it.each([
    ["127.0.0.1:8081", { host: "127.0.0.1:8081", tls: false }],
    ["grpc://models.test:1/", { host: "models.test:1", tls: false }],
    ["grpcs://models.test:443", { host: "models.test:443", tls: true }],
    ["[::1]:8081", { host: "[::1]:8081", tls: false }],
    ["http://models.test:1", undefined],
    ["models.test", undefined],
    ["a:1:2", undefined],
  ])("%s", (text, address) => {
    expect(parseUpstream(text)).toEqual(address);
  });
});
