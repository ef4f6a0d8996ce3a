/** A browser as a peer: commands on standard input go to a page. Arguments: kind, program, npm packages, profile. */

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [kind, executablePath, packages, userDataDir] = process.argv.slice(2);
const { launch } = createRequire(`${packages}/`)("puppeteer-core");

const browser = await launch({
  browser: kind === "firefox" ? "firefox" : "chrome",
  executablePath,
  userDataDir,
  headless: true,
  // Commands wait for transfers and for the end of a connection.
  protocolTimeout: 300_000,
  args: kind === "firefox" ? [] : ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"],
});
const page = await browser.newPage();
await page.goto(new URL("page.html", import.meta.url).href);
process.stdout.write(`${JSON.stringify({ id: 0, result: { version: await browser.version() } })}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  page
    .evaluate((told) => globalThis.actor.run(told), command)
    .catch((error) => ({ id: command.id, error: String(error) }))
    .then((answer) => process.stdout.write(`${JSON.stringify(answer)}\n`));
}
await browser.close();
