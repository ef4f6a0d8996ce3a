/**
 * Drives one browser by commands on standard input, one JSON object a line, and answers each with one.
 *
 *     node drive.mjs chromium|firefox <program> <folder with node_modules> <folder for the profile> light|dark
 */

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [kind, executablePath, packages, userDataDir, colorScheme] = process.argv.slice(2);
const { launch } = createRequire(`${packages}/`)("puppeteer-core");

const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
];

/** What a person sees on the page, as data. Runs in the page. */
function look() {
  const get = (id) => document.getElementById(id);
  const shown = (element) => element !== null && element.getClientRects().length > 0;
  const text = (id) => get(id).innerText;
  const phases = [...document.querySelectorAll("#phases tr[data-milliseconds]")];
  const echoes = [...document.querySelectorAll("#echoes li")];
  const problem = {
    code: get("problem").dataset.code,
    title: text("problem-title"),
    cure: text("problem-cure"),
    detail: get("problem-detail").textContent,
  };
  return {
    server: get("server-state").dataset.state,
    serverText: text("server-state"),
    ownPeer: text("own-peer"),
    peer: get("peer").value,
    canConnect: !get("connect").disabled,
    problem: shown(get("problem")) ? problem : null,
    connection: shown(get("connection")) ? get("connection-state").dataset.state : null,
    connectionText: text("connection-state"),
    remotePeer: text("remote-peer"),
    pair: get("pair-kind").dataset.kind ?? null,
    pairAddresses: text("pair-addresses"),
    phases: Object.fromEntries(phases.map(({ dataset }) => [dataset.phase, Number(dataset.milliseconds)])),
    echoes: echoes.map((item) => ({
      text: item.querySelector(".text").textContent,
      milliseconds: Number(item.querySelector(".time").dataset.milliseconds),
    })),
    pings: {
      count: Number(get("ping-summary").dataset.count),
      min: text("ping-min"),
      median: text("ping-median"),
      max: text("ping-max"),
      label: get("plot").getAttribute("aria-label"),
    },
    transfer: get("transfer-result").dataset.state,
    transferText: text("transfer-result"),
    transferProgress: get("transfer-progress").value,
    transferRate: Number(get("transfer-result").dataset.rate ?? 0),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  };
}

/** Wait until something on the page changes, but not longer than so many milliseconds. Runs in the page. */
function change(milliseconds) {
  return new Promise((resolve) => {
    const observer = new MutationObserver(end);
    const timer = setTimeout(end, milliseconds);
    function end() {
      observer.disconnect();
      clearTimeout(timer);
      resolve();
    }
    observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  });
}

const browser = await launch({
  browser: kind === "firefox" ? "firefox" : "chrome",
  executablePath,
  userDataDir,
  headless: true,
  args: kind === "firefox" ? [] : CHROMIUM_FLAGS,
  extraPrefsFirefox: { "layout.css.prefers-color-scheme.content-override": colorScheme === "dark" ? 0 : 1 },
  defaultViewport: null,
});

const pages = new Map();
let lastPage = 0;

const commands = {
  async version() {
    return browser.version();
  },
  async open({ url, script }) {
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    const log = [];
    page.on("console", (message) => log.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => log.push(`error: ${error.message}`));
    if (kind === "chromium") await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: colorScheme }]);
    if (script) await page.evaluateOnNewDocument(script);
    await page.goto(url);
    lastPage += 1;
    pages.set(lastPage, { page, context, log });
    return lastPage;
  },
  async look({ page }) {
    return pages.get(page).page.evaluate(look);
  },
  async change({ page, milliseconds }) {
    await pages.get(page).page.evaluate(change, milliseconds);
  },
  async log({ page }) {
    return pages.get(page).log;
  },
  async type({ page, selector, text }) {
    const input = await pages.get(page).page.$(selector);
    await input.evaluate((element) => {
      element.value = "";
    });
    await input.type(text);
  },
  async resize({ page, width, height }) {
    await pages.get(page).page.setViewport({ width, height });
  },
  async leave({ page }) {
    await pages.get(page).page.goto("about:blank");
  },
  async click({ page, selector }) {
    await pages.get(page).page.click(selector);
  },
  async evaluate({ page, expression }) {
    return (await pages.get(page).page.evaluate(expression)) ?? null;
  },
  async screenshot({ page, path }) {
    await pages.get(page).page.screenshot({ path, fullPage: true });
  },
  async close({ page }) {
    const { context } = pages.get(page);
    pages.delete(page);
    await context.close();
  },
};

const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const { id, command, ...parameters } = JSON.parse(line);
  try {
    answer({ id, result: (await commands[command](parameters)) ?? null });
  } catch (error) {
    answer({ id, error: String(error) });
  }
}
await browser.close();
