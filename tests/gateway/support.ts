import http from "node:http";
import { parseUpstream } from "../../src/gateway/address.ts";
import { startGateway } from "../../src/gateway/server.ts";
import { serverSettingsSchema } from "../../src/settings/server.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { eventually } from "../support/eventually.ts";
import { eventsOf, type ServerEvent } from "../support/scripted-llm.ts";

export interface TestGateway extends AsyncDisposable {
  readonly url: string;
  close(lingerMs?: number): Promise<void>;
}

/** A gateway in this process, in front of `host:port`; `settings` are those of settings.json. */
export async function gatewayTo(upstream: string, settings: object = {}): Promise<TestGateway> {
  const parsed = serverSettingsSchema.parse({ http_port: 0, ...settings });
  const log = await createLog({ level: "silent", pretty: false });
  const gateway = await startGateway(parsed, parseUpstream(upstream)!, log);
  const { close } = gateway;
  return { url: `http://127.0.0.1:${gateway.http.port}`, close, [Symbol.asyncDispose]: () => close() };
}

/** Reads a stream of events as it comes. */
export class EventReader implements Disposable {
  readonly #request: http.ClientRequest;
  #response: http.IncomingMessage | undefined;
  #ended = false;
  text = "";

  constructor(url: string, { headers = {}, method = "GET", body }: Sent = {}) {
    this.#request = http.request(url, { method, headers: { ...headers } }, (response) => {
      this.#response = response;
      response.setEncoding("utf8").on("data", (chunk: string) => {
        this.text += chunk;
      });
      response.on("close", () => {
        this.#ended = true;
      });
    });
    this.#request.on("error", () => {
      this.#ended = true;
    });
    this.#request.end(body);
  }

  get events(): ServerEvent[] {
    const complete = this.text.slice(0, this.text.lastIndexOf("\n\n") + 2);
    return eventsOf(complete);
  }

  /** The pieces of the answer together. */
  get answer(): string {
    return answerOf(this.events);
  }

  /** Waits for so many events. */
  async atLeast(count: number): Promise<ServerEvent[]> {
    await eventually(() => this.events.length >= count);
    return this.events;
  }

  /** Waits for the end of the stream. */
  async ended(): Promise<{ readonly status: number | undefined; readonly events: ServerEvent[] }> {
    await eventually(() => this.#ended);
    return { status: this.#response?.statusCode, events: this.events };
  }

  /** Breaks the connection off. */
  leave(): void {
    this.#request.destroy();
  }

  [Symbol.dispose](): void {
    this.leave();
  }
}

interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly body?: string;
}

export function answerOf(events: readonly ServerEvent[]): string {
  const tokens = events.filter(({ event }) => event === "token");
  return tokens.map(({ data }) => (JSON.parse(data) as { text: string }).text).join("");
}

export const dataOfEvent = ({ data }: ServerEvent): unknown => JSON.parse(data);
