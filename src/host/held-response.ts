/**
 * The same response; `done` is called once, when its body has ended in whatever way.
 * @param done `whole`: the body was read to its end.
 */
export function whenRead(response: Response, done: (whole: boolean) => void): Response {
  if (response.body === null) {
    done(true);
    return response;
  }
  const ends = { flush: () => done(true), cancel: () => done(false) };
  const body = response.body.pipeThrough(new TransformStream(ends));
  const { status, statusText, headers } = response;
  return new Response(body, { status, statusText, headers });
}
