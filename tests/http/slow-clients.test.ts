import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { SAMPLES, serve, type TestServer } from "../support/server.ts";

const HEAD = "POST /v2/models/iris/infer HTTP/1.1\r\nhost: localhost\r\n";
const DRIP_MS = 20;

const open = ({ running }: TestServer): Socket => connect(running.http.port, "127.0.0.1");

/** Sends `first`, then a piece now and then; what the server says before it closes. */
async function dripping(server: TestServer, first: string, piece: string): Promise<string> {
  const socket = open(server);
  socket.on("error", () => {});
  socket.write(first);
  const timer = setInterval(() => socket.write(piece), DRIP_MS);
  try {
    return await text(socket);
  } finally {
    clearInterval(timer);
    socket.destroy();
  }
}

describe("a client that is slow", () => {
  it("to send its headers is told so, and let go", async () => {
    await using server = await serve(SAMPLES, { header_timeout: "200ms" });
    const answer = await dripping(server, HEAD, "x-a: b\r\n");
    expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    expect(answer).toContain("header_timeout");
  });

  it("to send its body is told so, and let go", async () => {
    await using server = await serve(SAMPLES, { header_timeout: "1h", body_timeout: "400ms" });
    const answer = await dripping(server, `${HEAD}content-length: 100000\r\n\r\n{`, " ");
    expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    expect(answer).toContain("body_timeout");
  });

  it("and says nothing at all is let go", async () => {
    await using server = await serve(SAMPLES, { header_timeout: "200ms" });
    const socket = open(server);
    expect(await text(socket)).toMatch(/^(HTTP\/1\.1 408 |$)/);
  });
});

describe("a server's connections", () => {
  it("are no more than it is told; those that are closed make room", async () => {
    await using server = await serve(SAMPLES, { max_connections: 2 });
    const taken = [open(server), open(server)];
    await Promise.all(taken.map((socket) => once(socket, "connect")));
    const refused = open(server);
    refused.on("error", () => {});
    await once(refused, "close");
    taken[0]!.end();
    await once(taken[0]!.resume(), "close");
    await expect
      .poll(() => server.get("/v2/health/live").catch(() => undefined))
      .toMatchObject({ status: 200 });
    taken[1]!.destroy();
  });
});
