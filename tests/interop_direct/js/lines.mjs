/** Lines of JSON on the standard input and output. */

import { createInterface } from "node:readline";

import { describe } from "./peer.mjs";

export const tell = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

/** Answers each request with what `run(command, parameters)` gives, until the input ends. */
export async function answerAll(run) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, command, ...parameters } = JSON.parse(line);
    run(command, parameters).then(
      (result) => tell({ id, result }),
      (error) => tell({ id, error: describe(error) }),
    );
  }
}
