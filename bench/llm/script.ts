/** What the mock upstream is to do with one request: the text of the request's last message, as JSON. */
export interface Script {
  /** Of a stream; a whole answer has one text. */
  readonly events: number;
  /** Milliseconds between two events; before a whole answer. */
  readonly gapMs: number;
}

/** A chat request whose answer the script says. */
export function chatBody(script: Script, stream: boolean) {
  return { model: "upstream", messages: [{ role: "user", content: JSON.stringify(script) }], stream };
}

/** Far longer than any measurement: nobody waits for the end of it. */
export const NEVER_MS = 3_600_000;
