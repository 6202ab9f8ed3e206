import { readFileSync } from "node:fs";
import { request as secureRequest } from "node:https";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { exchangeRaw } from "../support/raw.ts";
import { IRIS_ROW, SAMPLES, serve } from "../support/server.ts";

const certificate = (name: string) =>
  fileURLToPath(new URL(`../support/certificates/${name}.pem`, import.meta.url));

const preflight = (origin: string) => ({
  method: "OPTIONS",
  headers: {
    origin,
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type",
  },
});

describe("CORS", () => {
  it("lets in the origins of the settings, and no others", async () => {
    await using server = await serve(SAMPLES, {
      cors_settings: {
        allow_origins: ["https://app.example"],
        allow_origin_regex: "https://.*\\.team\\.example",
        allow_methods: ["GET", "POST"],
        allow_headers: ["content-type"],
        expose_headers: ["x-request-id"],
      },
    });
    for (const origin of ["https://app.example", "https://a.team.example"]) {
      const allowed = await server.request("/v2/models/iris/infer", preflight(origin));
      expect(allowed.headers.get("access-control-allow-origin")).toBe(origin);
      expect(allowed.headers.get("access-control-allow-methods")).toContain("POST");
      const answer = await server.request("/v2", { headers: { origin } });
      expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
      expect(answer.headers.get("access-control-expose-headers")).toBe("x-request-id");
    }
    const refused = await server.request("/v2", { headers: { origin: "https://evil.example" } });
    expect(refused.headers.get("access-control-allow-origin")).toBeNull();
  });

  it("is off without settings", async () => {
    await using server = await serve(SAMPLES);
    const answer = await server.request("/v2", { headers: { origin: "https://app.example" } });
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
  });
});

it("gives every answer an id, also those that no route gives", async () => {
  await using server = await serve(SAMPLES, { cors_settings: { allow_origins: ["https://app.example"] } });
  const asked = await server.request("/v2", preflight("https://app.example"));
  expect([asked.status, asked.headers.get("x-request-id")]).toEqual([204, expect.stringMatching(/^\S{36}$/)]);
  for (const request of [
    "GET /v2 HTTP/1.1\r\nhost: a\r\nno header\r\n\r\n",
    "GET /v2 HTTP/1.1\r\nhost: a b c\r\n\r\n",
    `GET /v2 HTTP/1.1\r\nhost: a\r\nx-big: ${"a".repeat(40_000)}\r\n\r\n`,
  ]) {
    const answer = await exchangeRaw(server.running.http.port, request);
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d .*\r\nx-request-id: \S{36}\r\n/s);
  }
});

describe("TLS", () => {
  const get = (port: number, options: object): Promise<number | string> =>
    new Promise((resolve) => {
      const ca = readFileSync(certificate("ca"));
      const request = secureRequest(
        { host: "127.0.0.1", port, path: "/v2/health/live", ca, ...options },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode!);
        },
      );
      request.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      request.end();
    });
  const tls = { cert: certificate("server"), key: certificate("server-key") };

  it("serves HTTPS with the certificate of the settings", async () => {
    await using server = await serve(SAMPLES, { tls });
    expect(await get(server.running.http.port, {})).toBe(200);
  });

  it("asks clients for a certificate when it is told whom to trust", async () => {
    await using server = await serve(SAMPLES, { tls: { ...tls, client_ca: certificate("ca") } });
    expect(await get(server.running.http.port, {})).not.toBe(200);
    const known = { cert: readFileSync(certificate("client")), key: readFileSync(certificate("client-key")) };
    expect(await get(server.running.http.port, known)).toBe(200);
  });
});

describe("settings of HTTP", () => {
  it("put every route under root_path, and leave gzip and metrics out when told so", async () => {
    await using server = await serve(SAMPLES, {
      root_path: "/models-api",
      gzip_enabled: false,
      metrics_endpoint: null,
    });
    expect((await server.post("/models-api/v2/models/iris/infer", IRIS_ROW)).status).toBe(200);
    expect((await server.get("/v2")).status).toBe(404);
    expect((await server.request("/models-api/metrics")).status).toBe(404);
    expect(server.running.metrics).toBeUndefined();
    const big = await server.request("/models-api/v2/models/iris/config", {
      headers: { "accept-encoding": "gzip" },
    });
    expect(big.headers.get("content-encoding")).toBeNull();
  });
});
