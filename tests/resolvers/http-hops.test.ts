import { expect, it, vi } from "vitest";
import http from "../../resolvers/http/index.ts";
import { locateWith } from "./support/fetching-host.ts";
import { FileServer, redirect, status } from "./support/file-server.ts";

// No test may need the internet: 127.0.0.2 stands for a private address here, and 127.0.0.1 for a public one.
vi.mock("../../resolvers/http/addresses.ts", async (original) => {
  const actual = await original<typeof import("../../resolvers/http/addresses.ts")>();
  return {
    ...actual,
    refusePrivate({ hostname }: URL) {
      if (hostname === "127.0.0.2") throw new actual.PrivateAddressError(hostname, hostname);
    },
  };
});

it("checks the address of every hop", async () => {
  await using server = await FileServer.start();
  server.routes.set("/a", redirect(`http://127.0.0.2:${server.port}/secret`));
  server.routes.set("/secret", status(200, { etag: '"1"' }, "secret"));
  await expect(locateWith(http, server.url("/a"), {})).rejects.toMatchObject({
    code: "UPSTREAM",
    message: expect.stringMatching(/127\.0\.0\.2.*a redirect, is not followed.*private network/),
  });
  expect(server.seen).toEqual(["HEAD /a"]);
});

it("checks what the name of a hop resolves to", async () => {
  await using server = await FileServer.start();
  server.routes.set("/a", redirect(`http://localhost:${server.port}/secret`));
  await expect(locateWith(http, server.url("/a"), {})).rejects.toThrow(
    /localhost is (127|::1).*private network/,
  );
  expect(server.seen).toEqual(["HEAD /a"]);
});

it("asks what it may", async () => {
  await using server = await FileServer.start();
  server.routes.set("/a", status(200, { etag: '"1"' }, "public"));
  expect(await locateWith(http, server.url("/a"), {})).toMatchObject({ revision: 'etag:"1"' });
});
