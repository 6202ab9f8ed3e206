import { CapstanError } from "../../contracts/index.ts";
import type { Exchange } from "../exchange.ts";
import { sendJson } from "../send.ts";

/** OpenAI's field for when a model was made, which is not known here. */
const CREATED = 0;

/** `GET /v1/models`: the language models that are loaded, and that the caller may use. */
export function listModels(x: Exchange): Promise<void> {
  const data = usable(x).map(({ name }) => modelBody(name));
  return sendJson(x, 200, { object: "list", data });
}

/** `GET /v1/models/:model` */
export function retrieveModel(x: Exchange): Promise<void> {
  const name = x.params.model!;
  if (usable(x).some((model) => model.name === name)) {
    return sendJson(x, 200, modelBody(name));
  }
  const message = `No language model ${JSON.stringify(name)} is loaded; GET /v1/models lists them`;
  throw new CapstanError("NOT_FOUND", message, { param: "model" });
}

const usable = ({ parts, principal }: Exchange) =>
  parts.plane.languageModels().filter(({ name }) => parts.access?.allows(principal, name) ?? true);

function modelBody(id: string) {
  return { id, object: "model", created: CREATED, owned_by: "capstan" };
}
