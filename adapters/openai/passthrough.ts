import { FormData } from "undici";
import { invalid } from "../../src/contracts/index.ts";
import { isRecord } from "./json.ts";
import type { Reply } from "./reply.ts";

/**
 * A route as the upstream has it: `/v1/images/generations` is `images/generations` below its base URL.
 * @throws CapstanError INVALID_ARGUMENT for what is no such path.
 */
export function upstreamRoute(route: string): string {
  const path = route.replace(/^\/+/, "").replace(/^v1\//, "");
  if (/^[\w-]+(\/[\w-]+)*$/.test(path)) return path;
  throw invalid(
    `'${route}' is not a route of an OpenAI-compatible upstream; write one like images/generations`,
  );
}

/**
 * The caller's body with the upstream's name of the model: JSON, or a form such as audio takes.
 * @throws CapstanError INVALID_ARGUMENT for anything else.
 */
export function forwardedBody(body: unknown, model: string): object {
  if (body instanceof FormData || body instanceof globalThis.FormData) return forwardedForm(body, model);
  if (isRecord(body) && Object.getPrototypeOf(body) === Object.prototype) return { ...body, model };
  throw invalid("The body must be a JSON object or a form");
}

/** undici sends only forms of its own class, which Node's is not. */
function forwardedForm(given: Iterable<[string, string | Blob]>, model: string): FormData {
  const form = new FormData();
  for (const [name, value] of given) {
    if (name === "model") continue;
    if (typeof value === "string") form.append(name, value);
    else form.append(name, value, value instanceof File ? value.name : undefined);
  }
  form.append("model", model);
  return form;
}

const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 205]);
const FORWARDED = ["content-type", "content-length", "content-disposition"];

/** The reply as a fetch Response whose body is read from the upstream only as fast as it is read here. */
export async function responseOf(reply: Reply): Promise<Response> {
  try {
    const { status, headers } = await reply.head();
    reply.flows();
    const forwarded = FORWARDED.flatMap((name): [string, string][] => {
      const value = headers[name];
      return typeof value === "string" ? [[name, value]] : [];
    });
    if (!WITHOUT_BODY.has(status)) return new Response(bodyOf(reply), { status, headers: forwarded });
    reply[Symbol.dispose]();
    return new Response(null, { status, headers: forwarded });
  } catch (error) {
    reply[Symbol.dispose]();
    throw error;
  }
}

function bodyOf(reply: Reply): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      try {
        const chunk = await reply.next();
        if (chunk !== undefined) {
          controller.enqueue(chunk);
          return;
        }
        controller.close();
      } catch (error) {
        controller.error(error);
      }
      reply[Symbol.dispose]();
    },
    cancel: () => reply[Symbol.dispose](),
  });
}
