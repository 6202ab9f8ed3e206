/** HTTP/1.1 byte by byte, for what a proper client refuses to send. */
import net from "node:net";
import tls from "node:tls";
import { cut } from "./expect.ts";
import type { Exchange } from "./types.ts";

export interface RawAnswer {
  /** 0 when the server closed without an answer, or did not answer in time. */
  readonly status: number;
  readonly text: string;
  readonly ended: boolean;
}

function open(url: URL): net.Socket {
  const secure = url.protocol === "https:";
  const port = Number(url.port || (secure ? 443 : 80));
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return secure ? tls.connect({ host, port, servername: host }) : net.connect({ host, port });
}

function statusOf(text: string): number {
  return Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0);
}

/** Whether the text holds `count` whole answers, by their content lengths. */
function holdsAnswers(text: string, count: number): boolean {
  let rest = text;
  for (let index = 0; index < count; index += 1) {
    const head = rest.indexOf("\r\n\r\n");
    if (head < 0) return false;
    const length = /content-length: *(\d+)/i.exec(rest.slice(0, head))?.[1];
    const end = head + 4 + Number(length ?? 0);
    if (length === undefined ? !rest.includes("\r\n0\r\n\r\n") : rest.length < end) return false;
    rest = rest.slice(length === undefined ? rest.indexOf("0\r\n\r\n") + 5 : end);
  }
  return true;
}

/** How long, and for how many answers, to read. */
export interface RawOptions {
  readonly answers?: number;
  readonly waitMs?: number;
  readonly signal: AbortSignal;
}

/**
 * Writes `chunks` on a new connection and reads until `answers` answers came (default 1), the server
 * closed, or `waitMs` passed (default 3000).
 */
export function exchangeRaw(url: URL, chunks: readonly Buffer[], options: RawOptions): Promise<RawAnswer> {
  const { answers = 1, waitMs = 3000, signal } = options;
  const { promise, resolve } = Promise.withResolvers<RawAnswer>();
  const socket = open(url);
  let text = "";
  const finish = (ended: boolean): void => {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    socket.destroy();
    resolve({ status: statusOf(text), text, ended });
  };
  const stop = (): void => finish(false);
  const timer = setTimeout(stop, waitMs);
  signal.addEventListener("abort", stop, { once: true });
  socket.on("data", (data: Buffer) => {
    text += data.toString("latin1");
    if (holdsAnswers(text, answers)) finish(false);
  });
  socket.on("error", () => finish(true)).on("close", () => finish(true));
  for (const chunk of chunks) socket.write(chunk);
  return promise;
}

export function rawExchangeLog(chunks: readonly Buffer[], answer: RawAnswer): Exchange {
  const sent = cut(
    Buffer.concat(chunks)
      .toString("latin1")
      .replaceAll(/[^\x20-\x7e\r\n]/g, "."),
    1500,
  );
  return { sent, received: cut(answer.text, 1500) || (answer.ended ? "connection closed" : "no answer") };
}
