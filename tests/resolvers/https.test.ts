import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterAll, beforeAll, expect, it } from "vitest";
import http from "../../resolvers/http/index.ts";
import { fetchWith, locateWith } from "./support/fetching-host.ts";
import { file, type Handler, redirect } from "./support/file-server.ts";

const certificate = (name: string) =>
  readFileSync(new URL(`../support/certificates/${name}.pem`, import.meta.url), "utf8");

let handler: Handler = file(() => "weights");
let server: Server;
const trusted = getCACertificates();

beforeAll(async () => {
  const tls = { key: certificate("server-key"), cert: certificate("server") };
  server = createServer(tls, (request, response) => handler(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  setDefaultCACertificates(trusted);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const uri = () => `https://localhost:${(server.address() as AddressInfo).port}/model.onnx`;
const OPTIONS = { allow_private: true, max_retries: 0 };

it("refuses a certificate that nobody it trusts has signed", async () => {
  await expect(locateWith(http, uri(), OPTIONS)).rejects.toMatchObject({
    code: "UPSTREAM",
    message: expect.stringMatching(/certificate/),
  });
});

it("reads a file over https", async () => {
  setDefaultCACertificates([...trusted, certificate("ca")]);
  expect(await fetchWith(http, uri(), OPTIONS)).toEqual({ "model.onnx": "weights" });
});

it("does not follow a redirect to http", async () => {
  setDefaultCACertificates([...trusted, certificate("ca")]);
  handler = redirect("http://localhost:1/model.onnx");
  await expect(locateWith(http, uri(), OPTIONS)).rejects.toThrow(
    "redirects from https to http://localhost:1/model.onnx",
  );
});
