import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import http, { type RequestListener, type Server, type ServerOptions } from "node:http";
import https from "node:https";
import { type AddressInfo, Server as NetServer, type Socket } from "node:net";
import { setTimeout as delay, setImmediate } from "node:timers/promises";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import cors from "cors";
import type { ServerSettings } from "../settings/server.ts";
import type { App } from "./app.ts";

/** Longer than the idle time-out of common load balancers (60 s): they must never reuse a closed connection. */
const KEEP_ALIVE_MS = 75_000;

type FetchCallback = Parameters<typeof getRequestListener>[0];

export interface Listening {
  readonly host: string;
  readonly port: number;
  /**
   * Closes idle connections and, after their answer, the others; resolves when all are closed.
   * @param graceMs for so long idle ones stay open: a request may be on its way. Absent: they close at once.
   */
  close(graceMs?: number): Promise<void>;
}

/** What a server that is told to close asks of whoever made it. */
export interface Closing {
  /** The time is up: work that is still under way must come to its end now. */
  overdue(): void;
}

/** Ends just after the system's queue of new connections was emptied: those in it are lost by closing. */
export async function lingerFor(ms: number): Promise<void> {
  await delay(ms);
  await setImmediate();
}

/** Between two looks for requests that take too long to arrive. */
const SLOW_CHECK_MS = 5000;
/** From then on until connections are cut off: enough for the last event of each stream. */
const LAST_WORDS_MS = 500;
/** Connections whose answer was under way when the server was told to close are idle some time later. */
const IDLE_CHECK_MS = 100;

/**
 * Puts an app on a port; port 0 takes a free one.
 * @throws the socket's error, such as EADDRINUSE.
 */
export async function listen(
  app: App,
  address: { readonly host: string; readonly port: number },
  settings: ServerSettings,
  closing?: Closing,
): Promise<Listening> {
  const server = createServer(requestListener(app, settings), settings);
  if (settings.max_connections > 0) server.maxConnections = settings.max_connections;
  server.on("clientError", refuseConnection);
  const silent = watchSilent(server);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(address.port, address.host, resolve);
  });
  const bound = server.address() as AddressInfo;
  const close = (graceMs = 0) => closeServer(server, silent, graceMs, settings.drain_timeout, closing);
  return { host: bound.address, port: bound.port, close };
}

function requestListener({ router, direct }: App, settings: ServerSettings): RequestListener {
  // Every answer is written by its handler. Hono makes a new response for HEAD, which would be written again.
  const dispatch: FetchCallback = async (request, env) => {
    await router.fetch(request, env as HttpBindings);
    return RESPONSE_ALREADY_SENT;
  };
  const route = getRequestListener(dispatch, { hostname: "localhost", errorHandler: refuseRequest });
  const handle: RequestListener = (request, response) => {
    if (!direct(request, response)) void route(request, response);
  };
  if (!settings.cors_settings) return handle;
  const allow = corsMiddleware(settings.cors_settings);
  return (request, response) => {
    // A preflight is answered by the middleware.
    if (request.method === "OPTIONS") response.setHeader(REQUEST_ID, randomUUID());
    allow(request, response, () => handle(request, response));
  };
}

function corsMiddleware(settings: NonNullable<ServerSettings["cors_settings"]>) {
  const pattern = settings.allow_origin_regex;
  const origins: (string | RegExp)[] = [...(settings.allow_origins ?? [])];
  if (pattern) origins.push(new RegExp(`^(?:${pattern})$`));
  return cors({
    origin: origins.includes("*") ? "*" : origins,
    credentials: settings.allow_credentials ?? false,
    methods: settings.allow_methods ?? undefined,
    allowedHeaders: settings.allow_headers ?? undefined,
    exposedHeaders: settings.expose_headers ?? undefined,
    maxAge: settings.max_age ?? undefined,
  });
}

function createServer(listener: RequestListener, settings: ServerSettings): Server {
  const { tls } = settings;
  const limits = limitsOf(settings);
  if (!tls) return http.createServer(limits, listener);
  const ca = tls.client_ca ? readFileSync(tls.client_ca) : undefined;
  return https.createServer(
    {
      ...limits,
      cert: readFileSync(tls.cert),
      key: readFileSync(tls.key),
      ca,
      requestCert: ca !== undefined,
    },
    listener,
  );
}

/** How long a request may take to arrive. Node looks at all connections at once, now and then. */
function limitsOf({ header_timeout, body_timeout }: ServerSettings): ServerOptions {
  const limits = [header_timeout, body_timeout].filter((ms) => ms > 0);
  return {
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Node takes none that is longer than that of the whole.
    headersTimeout: header_timeout > 0 ? Math.min(...limits) : 0,
    requestTimeout: body_timeout,
    connectionsCheckingInterval: Math.min(SLOW_CHECK_MS, ...limits),
  };
}

/** Of every answer, also of one that no handler gives. */
const REQUEST_ID = "x-request-id";

/** A request that could not even be read as one, such as a malformed Host header. */
function refuseRequest(error: unknown): Response {
  const init = { status: 400, headers: { [REQUEST_ID]: randomUUID() } };
  return Response.json({ error: `The request could not be read: ${String(error)}` }, init);
}

/** What a connection is told that is closed for what came over it. */
const CONNECTION_FAULTS: Readonly<Record<string, readonly [status: string, error: string]>> = {
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "The headers are too large"],
  ERR_HTTP_REQUEST_TIMEOUT: [
    "408 Request Timeout",
    "The request took too long to arrive (settings header_timeout, body_timeout)",
  ],
};

/** Bytes that are not HTTP, headers that are too large, a request that is too slow: no handler has it. */
function refuseConnection(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const [status, message] = CONNECTION_FAULTS[error.code ?? ""] ?? [
    "400 Bad Request",
    `Not a valid HTTP request: ${error.message}`,
  ];
  const body = JSON.stringify({ error: message });
  const head = [
    `HTTP/1.1 ${status}`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    `${REQUEST_ID}: ${randomUUID()}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/** Connections without a request so far. Browsers open them in advance, and Node does not count them as idle. */
function watchSilent(server: Server): ReadonlySet<Socket> {
  const silent = new Set<Socket>();
  server.on(server instanceof https.Server ? "secureConnection" : "connection", (socket: Socket) => {
    silent.add(socket);
    socket.once("close", () => silent.delete(socket));
  });
  server.on("request", ({ socket }) => silent.delete(socket));
  return silent;
}

/**
 * First only new connections are turned away: a client whose request is on its way over an open one hears with its
 * answer that this one closes.
 * @param graceMs for so long connections without a request stay open.
 * @param drainMs what is still open then is told to end, and cut off; 0 waits without end.
 */
async function closeServer(
  server: Server,
  silent: ReadonlySet<Socket>,
  graceMs: number,
  drainMs: number,
  closing: Closing | undefined,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const closeUnused = () => {
    server.closeIdleConnections();
    for (const socket of silent) socket.destroy();
  };
  // That of HTTP would close idle connections as well.
  NetServer.prototype.close.call(server, (error) => (error ? reject(error) : resolve()));
  const timers: NodeJS.Timeout[] = [];
  const after = (ms: number, work: () => void) => timers.push(setTimeout(work, ms));
  after(graceMs, () => {
    closeUnused();
    timers.push(setInterval(closeUnused, IDLE_CHECK_MS));
  });
  if (drainMs > 0) {
    after(drainMs, () => closing?.overdue());
    after(drainMs + LAST_WORDS_MS, () => server.closeAllConnections());
  }
  try {
    await promise;
  } finally {
    for (const timer of timers) clearTimeout(timer);
    // Not listening any more, it only lets go of its own timer.
    server.close();
  }
}
