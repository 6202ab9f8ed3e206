import { z } from "zod";
import { isHttpAddress, refused } from "./gateway-environment.ts";
import type { Environment } from "./interpolate.ts";

const PATIENCE_MS = 5000;
/** What `GET /v1/models` answers (OpenAI API). */
const listSchema = z.object({ data: z.array(z.object({ id: z.string().min(1) })).min(1) });

/**
 * The environment with the name of the model at `VLLM_URL`: where no variable tells it, the server there is asked, and its
 * first model is taken.
 * @throws SettingsError naming VLLM_URL when that does not answer.
 */
export async function withUpstreamName(env: Environment, cwd: string): Promise<Environment> {
  const { VLLM_URL, MODEL_NAME, DEFAULT_MODEL } = env;
  if (!VLLM_URL || MODEL_NAME || DEFAULT_MODEL || !isHttpAddress(VLLM_URL)) return env;
  try {
    return { ...env, MODEL_NAME: await firstModelAt(VLLM_URL) };
  } catch (error) {
    const { message, cause } = error as Error;
    const why = cause instanceof Error ? cause.message : message;
    const hint = "set MODEL_NAME or DEFAULT_MODEL to the model's name there";
    throw refused("VLLM_URL", `does not tell which models it has (${why}): ${hint}`, cwd);
  }
}

async function firstModelAt(address: string): Promise<string> {
  const { origin, pathname } = new URL(address);
  const url = `${origin}${pathname === "/" ? "/v1" : pathname.replace(/\/+$/, "")}/models`;
  const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw new Error(`GET ${url} answered ${response.status}`);
  const list = listSchema.safeParse(await response.json());
  if (!list.success) throw new Error(`GET ${url} answered no list of models`);
  return list.data.data[0]!.id;
}
