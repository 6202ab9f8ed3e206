import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type SseEvent, SseParser } from "../../adapters/openai/sse.ts";

function parse(...pieces: readonly (string | Uint8Array)[]): SseEvent[] {
  const parser = new SseParser();
  const events = pieces.flatMap((piece) => parser.push(Buffer.from(piece)));
  return [...events, ...parser.end()];
}

const data = (...pieces: readonly string[]) => parse(...pieces).map((event) => event.data);

describe("events", () => {
  it.each([
    ["LF", "data: a\n\ndata: b\n\n"],
    ["CRLF", "data: a\r\n\r\ndata: b\r\n\r\n"],
    ["CR", "data: a\r\rdata: b\r\r"],
    ["no space after the colon", "data:a\n\ndata:b\n\n"],
    ["comments between", ": ping\n\ndata: a\n: ping\n\n: ping\n\ndata: b\n\n"],
    ["other fields", "id: 1\nretry: 5\ndata: a\nnonsense\n\nevent\ndata: b\n\n"],
    ["a byte order mark", "\ufeffdata: a\n\ndata: b\n\n"],
    ["no blank line at the end", "data: a\n\ndata: b"],
  ])("are read with %s", (_what, stream) => {
    expect(data(stream)).toEqual(["a", "b"]);
  });

  it("have a name, and several lines", () => {
    expect(parse("event: error\ndata: one\ndata:  two\ndata\n\n")).toEqual([
      { event: "error", data: "one\n two\n" },
    ]);
    expect(parse("event: lost\n\ndata: x\n\n")).toEqual([{ event: "message", data: "x" }]);
  });

  it("come as soon as their blank line does", () => {
    const parser = new SseParser();
    expect(parser.push(Buffer.from("data: a\r\n\r"))).toHaveLength(1);
    expect(parser.push(Buffer.from("\ndata: b\r\n"))).toHaveLength(0);
    expect(parser.push(Buffer.from("\r\n"))).toHaveLength(1);
  });

  it("are the same however packets cut them", () => {
    const lineEnd = fc.constantFrom("\n", "\r\n", "\r");
    const words = fc.array(fc.string({ unit: "grapheme" }).map((text) => text.replace(/[\r\n\ufeff]/g, "")));
    const cuts = fc.array(fc.nat());
    fc.assert(
      fc.property(words, lineEnd, cuts, (texts, end, places) => {
        const bytes = Buffer.from(texts.map((text) => `data: ${text}${end}${end}`).join(""));
        const at = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b);
        const pieces = [0, ...at].map((start, index) => bytes.subarray(start, at[index] ?? bytes.length));
        expect(parse(...pieces).map((event) => event.data)).toEqual(texts);
      }),
    );
  });

  it("are refused when one has no end", () => {
    const parser = new SseParser();
    const line = Buffer.from(`data: ${"x".repeat(1024 * 1024)}\n`);
    const flood = () => {
      for (let count = 0; count < 20; count += 1) parser.push(line);
    };
    expect(flood).toThrow("16 MiB");
  });
});
