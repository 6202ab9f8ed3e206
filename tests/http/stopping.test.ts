import { Agent, request } from "node:http";
import { describe, expect, it } from "vitest";
import { gatewayTo } from "../gateway/support.ts";
import { SAMPLES, serve } from "../support/server.ts";

const LINGER_MS = 100;

interface Answer {
  readonly status: number | undefined;
  readonly connection: string | undefined;
}

/** One request over the agent's open connection, or a new one. */
function get(agent: Agent, port: number, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ agent, host: "127.0.0.1", port, path }, (answer) => {
      const { statusCode, headers } = answer;
      answer.resume().on("end", () => resolve({ status: statusCode, connection: headers.connection }));
    });
    sent.on("error", reject).end();
  });
}

/** Both close in the same way; a gateway is ready as long as the server behind it is. */
const SERVERS = {
  "capstan start": async () => {
    const { running } = await serve(SAMPLES);
    return { port: running.http.port, close: () => running.close(LINGER_MS) };
  },
  "capstan gateway": async () => {
    const { running } = await serve(SAMPLES);
    const gateway = await gatewayTo(`127.0.0.1:${running.grpc.port}`);
    const close = async () => {
      await gateway.close(LINGER_MS);
      await running.close();
    };
    return { port: Number(new URL(gateway.url).port), close };
  },
};

describe.each(Object.entries(SERVERS))("%s, stopping with clients that do not know", (_name, start) => {
  it("answers all that they send over open connections, and says when to connect elsewhere", async () => {
    using agent = new DisposableAgent();
    const { port, close } = await start();
    expect(await get(agent, port, "/v2/health/ready")).toEqual({ status: 200, connection: "keep-alive" });
    const closed = close();
    const answers: Answer[] = [];
    const sendOn = async () => {
      for (;;) answers.push(await get(agent, port, "/v2/health/ready"));
    };
    await expect(sendOn()).rejects.toThrow("ECONNREFUSED");
    expect(answers.at(-1)!.connection).toBe("close");
    expect(answers[0]!.connection).toBe("keep-alive");
    expect(new Set(answers.slice(1).map(({ status }) => status))).not.toContain(200);
    await closed;
  });

  it("closes connections that nobody uses", async () => {
    using agent = new DisposableAgent();
    const { port, close } = await start();
    await get(agent, port, "/v2/health/live");
    await close();
    await expect(get(agent, port, "/v2/health/live")).rejects.toThrow(/ECONN|hang up/);
  });
});

class DisposableAgent extends Agent implements Disposable {
  constructor() {
    super({ keepAlive: true, maxSockets: 1 });
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}
