import { execFileSync } from "node:child_process";
import path from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestRepository } from "../../support/server.ts";
import { startRedis } from "./peers.ts";
import { Process, servePage, wireTo } from "./processes.ts";

const CHROMIUM = path.join(path.dirname(import.meta.dirname), "chromium.sh");
const FREE_PORTS = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"];
const PROMPT = "one two three four five six seven eight nine ten eleven twelve";
const WHOLE = `Echo: ${PROMPT}`;

const opened = new AsyncDisposableStack();
let browser: Browser;
let origin: string;
let gateway: () => Promise<Process>;
beforeAll(async () => {
  const redis = opened.use(await startRedis());
  const repository = opened.use(await TestRepository.create());
  const extra = { framework: "echo", delay_ms: 250 };
  await repository.write("dummy", { name: "dummy", implementation: "llm", parameters: { extra } });
  const server = opened.use(await Process.start(["start", repository.root, ...FREE_PORTS]));
  origin = opened.use(await servePage()).url;
  const args = ["--upstream", server.ready.grpc, "--http-port", "0", "--redis", redis.url];
  gateway = async () => opened.use(await Process.start(["gateway", ...args, "--allow-origin", origin]));
  const executablePath = execFileSync(CHROMIUM, { encoding: "utf8" }).trim();
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  opened.defer(() => browser.close());
});
afterAll(() => opened.disposeAsync());

let page: Page;
beforeEach(async () => {
  const context = await browser.newContext({ viewport: { width: 900, height: 720 } });
  page = await context.newPage();
  return () => context.close();
});

/** Asks, and waits for the first words. */
async function ask(...gateways: string[]) {
  const query = new URLSearchParams({ prompt: PROMPT, model: "dummy", gateways: gateways.join(" ") });
  await page.goto(`${origin}/?${query}`);
  await page.evaluate(RECORD_STATES);
  await page.getByRole("button", { name: "Ask" }).click();
  await page.locator("#answer", { hasText: "two" }).waitFor();
}

/** Keeps every state that the page shows, in the page. */
const RECORD_STATES = `
  const state = document.querySelector("#state");
  window.seenStates = [];
  new MutationObserver(() => seenStates.push(state.dataset.state)).observe(state, { attributes: true });`;

async function end() {
  await page.locator("#state[data-state=done], #state[data-state=failed]").waitFor();
  const states: unknown = await page.evaluate("window.seenStates");
  return { answer: await page.locator("#answer").textContent(), states };
}

const urlOf = ({ ready }: Process) => `http://${ready.http}`;
/** Pictures for a person to look at, where PEERS_SCREENSHOTS names a folder for them. */
async function screenshot(name: string): Promise<void> {
  const folder = process.env.PEERS_SCREENSHOTS;
  if (folder !== undefined) await page.screenshot({ path: path.join(folder, `browser-stream-${name}.png`) });
}

describe("the example page in Chromium", () => {
  it("shows an answer as it comes", async () => {
    await ask(urlOf(await gateway()));
    await screenshot("coming");
    expect(await end()).toEqual({ answer: WHOLE, states: ["asked", "done"] });
    await screenshot("done");
  });

  it("goes on through another gateway when its connection breaks off", async () => {
    const [first, second] = await Promise.all([gateway(), gateway()]);
    await using wire = await wireTo(first.ready.http);
    await ask(wire.url, urlOf(second));
    wire.cut();
    expect(await end()).toEqual({ answer: WHOLE, states: ["asked", "resumed", "done"] });
    await screenshot("resumed");
  });

  it("ends with the whole answer once when its gateway is killed in mid-answer", async () => {
    const [first, second] = await Promise.all([gateway(), gateway()]);
    await ask(urlOf(first), urlOf(second));
    await first.end("SIGKILL");
    expect(await end()).toEqual({
      answer: WHOLE,
      states: ["asked", "resumed", "asked again", "done"],
    });
  });

  it("goes on through the gateway that asks the model when the one it came back to is killed", async () => {
    const [first, second] = await Promise.all([gateway(), gateway()]);
    await using wire = await wireTo(first.ready.http);
    await ask(wire.url, urlOf(second), urlOf(first));
    wire.cut();
    await page.locator("#answer", { hasText: "five" }).waitFor();
    await second.end("SIGKILL");
    expect(await end()).toEqual({ answer: WHOLE, states: ["asked", "resumed", "resumed", "done"] });
  });

  it("finishes what it has when its gateway is told to stop", async () => {
    const first = await gateway();
    await ask(urlOf(first));
    const [code, ended] = await Promise.all([first.end("SIGTERM"), end()]);
    expect(code).toBe(0);
    expect(ended).toEqual({ answer: WHOLE, states: ["asked", "done"] });
  });

  it("says so when no gateway answers, and stops asking", async () => {
    await page.goto(`${origin}/?gateways=${encodeURIComponent("http://127.0.0.1:1")}`);
    await page.getByRole("button", { name: "Ask" }).click();
    await page.waitForSelector("#state[data-state=failed]");
    expect(await page.locator("#state").textContent()).toBe("NOT_READY: no gateway answers");
  });
});
