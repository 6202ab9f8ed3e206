import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { eventually } from "./eventually.ts";

interface Value {
  readonly stringValue?: string;
  readonly intValue?: number | string;
  readonly doubleValue?: number;
  readonly boolValue?: boolean;
  readonly arrayValue?: { readonly values: readonly Value[] };
}

interface Attribute {
  readonly key: string;
  readonly value: Value;
}

interface RawSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: readonly Attribute[];
  readonly events: readonly { readonly name: string; readonly attributes: readonly Attribute[] }[];
  readonly status: { readonly code?: number };
}

/** OTLP's JSON of one export. */
interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly RawSpan[] }[];
  }[];
}

export interface SeenSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: "internal" | "server" | "client" | "other";
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly {
    readonly name: string;
    readonly attributes: Readonly<Record<string, unknown>>;
  }[];
  readonly failed: boolean;
  readonly resource: Readonly<Record<string, unknown>>;
}

const KINDS = ["other", "internal", "server", "client"] as const;
const ERROR = 2;

/** A collector in this process that takes traces over OTLP/HTTP in JSON, and keeps them. */
export class OtlpCollector implements AsyncDisposable {
  readonly spans: SeenSpan[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer(async (request, response) => {
      for (const span of spansIn((await json(request)) as Export)) this.spans.push(span);
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  }

  static async start(): Promise<OtlpCollector> {
    const collector = new OtlpCollector();
    await new Promise<void>((resolve) => collector.#server.listen(0, "127.0.0.1", resolve));
    return collector;
  }

  /** What a process needs to know to send its traces here. */
  get env(): Record<string, string> {
    const { port } = this.#server.address() as AddressInfo;
    return {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_BSP_SCHEDULE_DELAY: "20",
    };
  }

  /** The spans of a trace, when there are so many. */
  async trace(traceId: string, count: number): Promise<SeenSpan[]> {
    const found = () => this.spans.filter((span) => span.traceId === traceId);
    await eventually(() => found().length >= count);
    return found();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function spansIn({ resourceSpans }: Export): SeenSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const shared = recordOf(resource.attributes);
    return scopeSpans.flatMap(({ spans }) => spans.map((span) => seen(span, shared)));
  });
}

function seen(span: RawSpan, resource: Readonly<Record<string, unknown>>): SeenSpan {
  const { traceId, spanId, parentSpanId, name, kind, attributes, events, status } = span;
  return {
    ...{ traceId, spanId, name, resource },
    parentSpanId: parentSpanId || undefined,
    kind: KINDS[kind] ?? "other",
    attributes: recordOf(attributes),
    events: events.map((event) => ({ name: event.name, attributes: recordOf(event.attributes) })),
    failed: status.code === ERROR,
  };
}

function recordOf(attributes: readonly Attribute[] = []): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]));
}

function plain({ stringValue, intValue, doubleValue, boolValue, arrayValue }: Value): unknown {
  if (arrayValue !== undefined) return arrayValue.values.map(plain);
  if (intValue !== undefined) return Number(intValue);
  return stringValue ?? doubleValue ?? boolValue;
}
