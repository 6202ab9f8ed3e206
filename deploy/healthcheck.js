/**
 * Exits with 0 when the server is ready, else with 1 and a line that says why. Written in JavaScript: Node strips no
 * types inside node_modules, where the image has it.
 * @param argv[2] what to ask; by default the readiness of the server that this process' environment describes.
 */
const { CAPSTAN_HTTP_PORT, MLSERVER_HTTP_PORT, PORT, CAPSTAN_ROOT_PATH, MLSERVER_ROOT_PATH } = process.env;
const port = CAPSTAN_HTTP_PORT ?? MLSERVER_HTTP_PORT ?? PORT ?? "8080";
const root = CAPSTAN_ROOT_PATH ?? MLSERVER_ROOT_PATH ?? "";
const url = process.argv[2] ?? `http://127.0.0.1:${port}${root}/v2/health/ready`;

try {
  const response = await fetch(url, { signal: AbortSignal.timeout(4000) });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
} catch (error) {
  console.error(`${url}: ${error.cause?.message ?? error.message}`);
  process.exitCode = 1;
}
