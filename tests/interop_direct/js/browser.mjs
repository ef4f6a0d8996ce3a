/**
 * The peer in a headless browser, as a program.
 *
 *     node browser.mjs chromium|firefox <program> <folder for the profile> 1|2
 */

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

import { launch } from "puppeteer-core";

import { answerAll, tell } from "./lines.mjs";

const [kind, executablePath, userDataDir, version] = process.argv.slice(2);

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
/** The browser refuses changed credentials, as it will by default one day. */
const NO_MUNGING = "--force-fieldtrials=WebRTC-NoSdpMangleUfrag/Enabled/";

const script = await readFile(new URL("page.js", import.meta.url));
const server = createServer((request, response) => {
  const [type, content] =
    request.url === "/page.js"
      ? ["text/javascript", script]
      : ["text/html", '<!doctype html><meta charset="utf-8"><script type="module" src="page.js"></script>'];
  response.writeHead(200, { "content-type": type }).end(content);
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));

const browser = await launch({
  browser: kind === "firefox" ? "firefox" : "chrome",
  executablePath,
  userDataDir,
  headless: true,
  args: kind === "firefox" ? [] : [...CHROMIUM_FLAGS, ...(version === "2" ? [NO_MUNGING] : [])],
  // Echoes of many MiB take longer than the protocol's default in Firefox.
  protocolTimeout: 600_000,
});
const page = await browser.newPage();
page.on("console", (message) => console.error(message.text()));
page.on("pageerror", (error) => console.error(`error: ${error.message}`));
await page.exposeFunction("tell", tell);
await page.evaluateOnNewDocument((number) => {
  globalThis.version = number;
}, Number(version));
// Loopback counts as a secure context, without which there is no WebCrypto.
await page.goto(`http://127.0.0.1:${server.address().port}/`);
await page.waitForFunction("globalThis.peer !== undefined");
tell({ event: "started", browser: await browser.version() });

await answerAll((command, parameters) =>
  page.evaluate(
    async (name, values) => {
      try {
        return await globalThis.peer[name](values);
      } catch (error) {
        throw new Error(globalThis.describe(error));
      }
    },
    command,
    parameters,
  ),
);
await page.evaluate(() => globalThis.peer.stop());
await browser.close();
server.close();
