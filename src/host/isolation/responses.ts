/** A Response as the items of a stream: what its head says, then its body in pieces. */
export async function* responseParts(answer: Promise<Response>): AsyncGenerator<ResponseHead | Uint8Array> {
  const { status, statusText, headers, body } = await answer;
  yield { status, statusText, headers: [...headers] };
  if (body !== null) yield* body;
}

export interface ResponseHead {
  readonly status: number;
  readonly statusText: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** Statuses that may not have a body. */
const NO_BODY = [101, 204, 205, 304];

/** The other way round. Cancelling the body leaves the stream. */
export async function responseOf(parts: AsyncGenerator<ResponseHead | Uint8Array>): Promise<Response> {
  const { value } = await parts.next();
  const { headers, ...init } = value as ResponseHead;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await parts.next();
      if (next.done) controller.close();
      else controller.enqueue(next.value as Uint8Array);
    },
    cancel: async () => void (await parts.return(undefined)),
  });
  const named = headers.map(([name, text]): [string, string] => [name, text]);
  if (!NO_BODY.includes(init.status)) return new Response(body, { ...init, headers: named });
  await body.cancel();
  return new Response(null, { ...init, headers: named });
}
