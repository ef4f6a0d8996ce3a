/**
 * Runs functions of the page's modules on data that Python made: one JSON object on standard input, of lists by name,
 * and one on standard output, of the results by the same names. Started with the folder of the modules.
 */

import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const folder = pathToFileURL(`${process.argv[2]}/`);
const load = (name) => import(new URL(name, folder));

const { toHex } = await load("bytes.js");
const { encodeData, encodeFlag, FrameDecoder, FramingError } = await load("framing.js");
const { InvalidMessage, parseServerMessage, registerPayload } = await load("messages.js");
const { Identity, parsePeerId } = await load("peer-id.js");
const { proofPayload, signDescription, verifyDescription } = await load("proof.js");

const fromHex = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));

/** The code of the error that a function throws, or its result. */
async function outcome(run) {
  try {
    return { result: (await run()) ?? null };
  } catch (error) {
    if (error instanceof FramingError || error instanceof InvalidMessage) return { error: error.constructor.name };
    if (error.code === undefined) throw error;
    return { error: error.code };
  }
}

function decodeFrames(messages) {
  const decoder = new FrameDecoder();
  return messages
    .flatMap((message) => decoder.feed(fromHex(message)))
    .map(({ flag, payload }) => [flag, toHex(payload)]);
}

async function sign(description) {
  const identity = await Identity.generate();
  const signed = { ...description, sender: identity.peerId };
  return { description: signed, proof: await signDescription(identity, signed) };
}

const functions = {
  peerIds: (id) => parsePeerId(id),
  payloads: async ({ description, issuedAt }) => toHex(await proofPayload(description, issuedAt)),
  verify: ({ proof, description, now }) => verifyDescription(proof ?? undefined, description, now),
  sign,
  decode: decodeFrames,
  encodeData: (payload) => toHex(encodeData(fromHex(payload))),
  encodeFlag: (flag) => toHex(encodeFlag(flag)),
  messages: (message) => parseServerMessage(message),
  register: ({ nonce, peer }) => toHex(registerPayload(nonce, peer)),
};

const results = {};
for (const [name, inputs] of Object.entries(JSON.parse(await text(process.stdin)))) {
  results[name] = [];
  for (const input of inputs) results[name].push(await outcome(() => functions[name](input)));
}
process.stdout.write(JSON.stringify(results));
