import { CapstanError, type Host } from "../../contracts/index.ts";

const refuse = (): never => {
  throw new CapstanError("UNSUPPORTED", "A memory is no part of a model: it can ask nothing of the host");
};
const refused = async (): Promise<never> => refuse();

/** What a memory store sees of the host: it belongs to the server and not to a model, so there is nothing to load. */
export const storeHost: Host = {
  runtime: refused,
  adapter: refused,
  model: refuse,
  fetch: refused,
  code: refused,
  languageModel: refuse,
};
