/** Repository and generate extensions of the fake server. */
import { isRecord } from "../../src/conformance/expect.ts";
import { FAKE_NAME, Refusal } from "./fake-model.ts";

export type ExtensionDefect =
  | "keeps-unloaded"
  | "loads-anything"
  | "drops-during-load"
  | "plain-stream"
  | "no-text-check";

/** What an extension's route answers; text is an event stream. */
export type ExtensionAnswer = { readonly json: unknown } | { readonly text: string; readonly type: string };

const GENERATOR = "words";
const RELOAD_MS = 30;

export class FakeExtensions {
  readonly #defects: ReadonlySet<string>;
  #loaded = true;

  constructor(defects: ReadonlySet<string>) {
    this.#defects = defects;
  }

  get loaded(): boolean {
    return this.#loaded || this.#defects.has("keeps-unloaded");
  }

  index(): unknown {
    const state = this.loaded ? "READY" : "UNAVAILABLE";
    return [
      { name: FAKE_NAME, version: "1", state },
      { name: GENERATOR, version: "1", state: "READY" },
    ];
  }

  generator(path: string): unknown {
    const text = { datatype: "BYTES", shape: [1] };
    const [inputs, outputs] = [[{ name: "text_input", ...text }], [{ name: "text_output", ...text }]];
    const metadata = { name: GENERATOR, versions: ["1"], platform: "fake", inputs, outputs };
    return path === `/v2/models/${GENERATOR}` ? metadata : undefined;
  }

  #repository(path: string): ExtensionAnswer | undefined {
    const [, name, action] = /^\/v2\/repository\/models\/([^/]+)\/(load|unload)$/.exec(path) ?? [];
    if (action === undefined) return undefined;
    if (name !== FAKE_NAME && !this.#defects.has("loads-anything"))
      throw new Refusal(404, `No model '${name}'`);
    const drops = this.#loaded && action === "load" && this.#defects.has("drops-during-load");
    this.#loaded = action === "load" && !drops;
    if (drops) setTimeout(() => (this.#loaded = true), RELOAD_MS);
    return { json: {} };
  }

  #generate(path: string, body: unknown): ExtensionAnswer | undefined {
    const [, route] = new RegExp(`^/v2/models/${GENERATOR}/(generate|generate_stream)$`).exec(path) ?? [];
    if (route === undefined) return undefined;
    const text = isRecord(body) ? body.text_input : undefined;
    if (typeof text !== "string" && !this.#defects.has("no-text-check")) throw new Refusal(400, "text_input");
    const answer = { model_name: GENERATOR, model_version: "1", text_output: String(text) };
    const event = this.#defects.has("plain-stream")
      ? JSON.stringify(answer)
      : `data: ${JSON.stringify(answer)}\n\n`;
    return route === "generate" ? { json: answer } : { text: event, type: "text/event-stream" };
  }

  /** Nothing where the path is another's. */
  post(path: string, body: unknown): ExtensionAnswer | undefined {
    if (path === "/v2/repository/index") return { json: this.index() };
    return this.#repository(path) ?? this.#generate(path, body);
  }
}
