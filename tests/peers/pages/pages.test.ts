import { execFileSync } from "node:child_process";
import path from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { serve, TestRepository, type TestServer } from "../../support/server.ts";

const CHROMIUM = path.join(path.dirname(import.meta.dirname), "chromium.sh");
const ADMIN = "an-admin-key-of-the-operator";
const ROOT = "/a/prefix";

const opened = new AsyncDisposableStack();
let browser: Browser;
let server: TestServer;
let locked: TestServer;
beforeAll(async () => {
  const repository = opened.use(await TestRepository.create());
  await repository.addSample("iris");
  await repository.write("echo", {
    ...{ name: "echo", implementation: "llm" },
    parameters: { extra: { framework: "echo" } },
  });
  const auth = { enabled: true, database_url: `sqlite:${repository.path("keys.db")}` };
  server = opened.use(await serve(repository.root));
  locked = opened.use(await serve(repository.root, { auth, root_path: ROOT }, { CAPSTAN_ADMIN_KEY: ADMIN }));
  const executablePath = execFileSync(CHROMIUM, { encoding: "utf8" }).trim();
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  opened.defer(() => browser.close());
});
afterAll(() => opened.disposeAsync());

let page: Page;
let complaints: string[];
beforeEach(async () => {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  page = await context.newPage();
  complaints = [];
  page.on("console", (said) => said.type() === "error" && complaints.push(said.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => {
    if (isForeign(request.url())) complaints.push(`asks ${request.url()}`);
  });
  return () => context.close();
});

const isForeign = (url: string) =>
  !/^(data|blob):/.test(url) && ![server.url, locked.url].some((own) => url.startsWith(`${own}/`));

/** Pictures for a person to look at, where PEERS_SCREENSHOTS names a folder for them. */
async function screenshot(name: string): Promise<void> {
  const folder = process.env.PEERS_SCREENSHOTS;
  if (folder !== undefined) await page.screenshot({ path: path.join(folder, `pages-${name}.png`) });
}

/** Opens an operation of Swagger UI and sends its example; the status and the answer that the page shows. */
async function tryOut(route: string) {
  await page.locator(`.opblock-post [data-path="${route}"]`).click();
  await page.getByRole("button", { name: "Execute" }).click();
  const live = page.locator(".live-responses-table");
  await live.locator(".response-col_description .highlight-code").first().waitFor();
  return {
    status: await live.locator(".response-col_status").last().innerText(),
    answer: await live.locator(".highlight-code code").first().innerText(),
  };
}

async function authorize(scheme: string, key: string): Promise<void> {
  await page.getByRole("button", { name: "Authorize" }).first().click();
  const form = page.locator(".auth-container", { hasText: scheme });
  await form.locator("input").fill(key);
  await form.getByRole("button", { name: /apply.*credentials/i }).click();
  await page.getByRole("button", { name: "Close" }).last().click();
}

describe("the API pages in Chromium", () => {
  it.each([
    ["docs", "/docs", "/v2/models/{model}/infer"],
    ["v2-docs", "/v2/docs", "/v2/models/{model}/infer"],
    ["model", "/v2/models/iris/docs", "/v2/models/iris/infer"],
    ["language-model", "/v2/models/echo/docs", "/v2/models/echo/generate"],
    ["redoc", "/redoc", "Chat completion"],
  ])("shows %s without a complaint, from its own server alone", async (name, url, text) => {
    await page.goto(server.url + url, { waitUntil: "networkidle" });
    await page.getByText(text).first().waitFor({ state: "attached" });
    await screenshot(name);
    expect(complaints).toEqual([]);
  });

  it("tries an inference out", async () => {
    await page.goto(`${server.url}/v2/models/iris/docs`);
    const { status, answer } = await tryOut("/v2/models/iris/infer");
    await screenshot("tried-out");
    expect(status).toBe("200");
    expect(JSON.parse(answer)).toMatchObject({ model_name: "iris", outputs: [{ name: "label" }, {}] });
    expect(complaints).toEqual([]);
  });

  it("finds routes by their text, in ReDoc", async () => {
    await page.goto(`${server.url}/redoc`);
    await page.getByPlaceholder("Search...").fill("embeddings");
    await page.locator('[role="search"] li', { hasText: "Embeddings" }).first().waitFor();
    await screenshot("redoc-search");
    expect(complaints).toEqual([]);
  });

  it.each(["bearer", "key"])("sends a key as %s, below a prefix", async (scheme) => {
    await page.goto(`${locked.url}${ROOT}/v2/models/iris/docs`);
    await authorize(scheme, ADMIN);
    const { status, answer } = await tryOut("/v2/models/iris/infer");
    await screenshot(`authorized-${scheme}`);
    expect([status, JSON.parse(answer)]).toEqual(["200", expect.objectContaining({ model_name: "iris" })]);
    expect(complaints).toEqual([]);
  });

  it("shows why a call without a key was refused", async () => {
    await page.goto(`${locked.url}${ROOT}/v2/models/iris/docs`);
    const { status, answer } = await tryOut("/v2/models/iris/infer");
    expect([status, answer]).toEqual([expect.stringContaining("401"), expect.stringContaining("key")]);
    // Chromium itself says that a request was answered with 401.
    expect(complaints).toEqual([expect.stringContaining("401")]);
  });
});
