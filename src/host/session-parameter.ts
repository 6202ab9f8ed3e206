import type { InferRequest } from "../contracts/index.ts";

/**
 * A V2 request with the conversation that it belongs to among its parameters.
 * @param header `X-Session-Id`, which counts where no parameter `session_id` is given.
 */
export function withSession(request: InferRequest, header: string | undefined): InferRequest {
  if (!header || request.parameters.session_id) return request;
  return { ...request, parameters: { ...request.parameters, session_id: header } };
}
