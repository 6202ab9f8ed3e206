import { readFileSync } from "node:fs";
import path from "node:path";
import { ServerCredentials } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { testCall } from "../../src/testing/index.ts";
import { failure, open, request, x } from "./remote-open.ts";
import { grpcServer, httpServer } from "./remote-servers.ts";

/** Self-signed for `remote.test`, so that it is its own authority, and the client's certificate as well. */
const read = (file: string): Buffer => readFileSync(path.join(import.meta.dirname, "remote-tls", file));
const [cert, key] = [read("cert.pem"), read("key.pem")];

const SERVERS = {
  https: () => httpServer({ tls: { cert, key, ca: cert, requestCert: true, rejectUnauthorized: true } }),
  grpcs: () =>
    grpcServer({
      credentials: ServerCredentials.createSsl(cert, [{ cert_chain: cert, private_key: key }], true),
    }),
};

describe.each(Object.entries(SERVERS))("%s", (_, start) => {
  const files = { ca: "./remote-tls/cert.pem", cert: "./remote-tls/cert.pem", key: "./remote-tls/key.pem" };

  it("trusts the given authority, shows its own certificate, and checks the name it is told", async () => {
    await using server = await start();
    await using runtime = await open(server.url, { tls: { ...files, server_name: "remote.test" } });
    expect((await runtime.infer(request(x(1, 2)), testCall())).outputs).toHaveLength(1);
  });

  it.each([
    ["without the authority", { cert: files.cert, key: files.key, server_name: "remote.test" }],
    ["without a certificate of its own", { ca: files.ca, server_name: "remote.test" }],
    ["for an address that the certificate does not name", files],
  ])("does not connect %s", async (__, tls) => {
    await using server = await start();
    const error = await failure(open(server.url, { tls, retries: 0, connect_timeout: "2s" }));
    expect([error.code, error.message]).toEqual(["UPSTREAM", expect.stringContaining(server.url)]);
  });
});
