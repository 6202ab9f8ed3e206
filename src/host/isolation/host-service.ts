import type { Call, ChatRequest, Host, InferRequest, ModelClient } from "../../contracts/index.ts";
import { Handed, type Service } from "./answers.ts";
import { type Packed, packResponse, unpackRequest } from "./tensors.ts";

/** What a server does for an isolated model. */
export interface IsolationHost extends Pick<Host, "model" | "fetch"> {
  /** @throws CapstanError LOAD_FAILED for code that may not run. */
  trust(file: string): Promise<void>;
}

interface To {
  readonly model: string;
}

interface Fetch {
  readonly uri: string;
  readonly directory: string;
  readonly options?: Parameters<Host["fetch"]>[3];
}

/** The host's side of a {@link GuestHost}: models are connected once for each name, however many workers ask. */
export function hostService(host: IsolationHost): Service {
  const clients = new Map<string, ModelClient>();
  const client = (name: string): ModelClient => {
    const known = clients.get(name) ?? host.model(name);
    clients.set(name, known);
    return known;
  };
  return {
    methods: {
      connect: (name: string) => void client(name),
      trust: (file: string) => host.trust(file),
      fetch: ({ uri, directory, options }: Fetch, call: Call) => host.fetch(uri, directory, call, options),
      infer: async ({ model, request }: To & { request: Packed<InferRequest> }, call: Call) => {
        const packed = packResponse(await client(model).infer(unpackRequest(request), call));
        return new Handed(packed, [packed.buffer]);
      },
      embed: ({ model, texts }: To & { texts: readonly string[] }, call: Call) =>
        client(model).embed(texts, call),
    },
    streams: {
      chat: ({ model, request }: To & { request: ChatRequest }, call: Call) =>
        client(model).chat(request, call),
    },
  };
}
