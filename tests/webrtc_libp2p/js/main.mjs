/**
 * A js-libp2p peer, or a relay, that is driven by commands on standard input, one JSON object a line.
 *
 *     node main.mjs peer | relay <address to listen on>…
 */

import { createInterface } from "node:readline";

const [role, ...addresses] = process.argv.slice(2);

const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

let commands;
if (role === "relay") {
  const { startRelay } = await import("./relay.mjs");
  commands = await startRelay(addresses);
} else {
  const { start } = await import("./peer.mjs");
  commands = {
    async start(parameters) {
      Object.assign(commands, await start(parameters));
    },
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, command, ...parameters } = JSON.parse(line);
  try {
    answer({ id, result: (await commands[command](parameters)) ?? null });
  } catch (error) {
    answer({ id, error: `${error?.stack ?? error}` });
  }
}
process.exit(0);
