import { z } from "zod";
import { invalid } from "../../contracts/index.ts";
import type { Exchange } from "../exchange.ts";
import { checkFields, type JsonObject, readJsonObject } from "../json-body.ts";
import { answerHeaders, chooseModel } from "../language-model.ts";
import { optional, text, whole } from "../sampling.ts";
import { sendJson } from "../send.ts";
import { passedThrough } from "./passthrough.ts";
import { noTokenIds, textsOf, textsOrTokenIds } from "./token-ids.ts";

export const embeddingsSchema = z.looseObject({
  model: optional(text().min(1, "must not be empty")),
  input: textsOrTokenIds(),
  encoding_format: optional(z.enum(["float", "base64"], "must be 'float' or 'base64'")),
  dimensions: optional(whole()),
});

/**
 * `POST /v1/embeddings` of the OpenAI API. Vectors are rounded to the digits a 32 bit float has, or base64 of their
 * little-endian bytes. Token ids, vectors of another length than the model's and fields that are not known here are for
 * the model's upstream, if it has one.
 */
export async function embeddings(x: Exchange): Promise<void> {
  const json = await readJsonObject(x);
  const body = checkFields(embeddingsSchema, json);
  const target = chooseModel(x, body.model);
  const texts = textsOf(body.input);
  const isOwn = texts !== undefined && body.dimensions === undefined && !hasOthers(json);
  if (!isOwn && (await passedThrough(x, "embeddings", target, json))) return;
  if (texts === undefined) throw noTokenIds(target, "input");
  const headers = answerHeaders(x, target);
  const vectors = await x.parts.plane.embed(target.name, target.version, texts, x.call());
  checkDimensions(body.dimensions, vectors);
  const write = body.encoding_format === "base64" ? base64 : shortest;
  const data = vectors.map((vector, index) => ({ object: "embedding", index, embedding: write(vector) }));
  const { inputTokens = 0 } = x.call().record;
  const usage = { prompt_tokens: inputTokens, total_tokens: inputTokens };
  const answer = { object: "list", data, model: target.name, usage };
  return sendJson(x, 200, answer, headers());
}

const OWN = new Set([...Object.keys(embeddingsSchema.shape), "user"]);

const hasOthers = (body: JsonObject): boolean => Object.keys(body).some((name) => !OWN.has(name));

/** A model's vectors have the length they have. */
function checkDimensions(wanted: number | undefined, [vector]: readonly Float32Array[]): void {
  if (wanted === undefined || vector === undefined || vector.length === wanted) return;
  const message = `'dimensions' is ${wanted}, and this model's vectors have ${vector.length}: leave it out`;
  throw invalid(message, { param: "dimensions" });
}

function base64(vector: Float32Array): string {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString("base64");
}

/** Nine digits always identify a 32 bit float. */
function shortest(vector: Float32Array): number[] {
  return Array.from(vector, (value) => Number(value.toPrecision(9)));
}
