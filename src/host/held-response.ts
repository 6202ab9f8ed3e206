/** The same response; `done` is called once, when its body has ended in whatever way. */
export function whenRead(response: Response, done: () => void): Response {
  if (response.body === null) {
    done();
    return response;
  }
  const body = response.body.pipeThrough(new TransformStream({ flush: done, cancel: done }));
  const { status, statusText, headers } = response;
  return new Response(body, { status, statusText, headers });
}
