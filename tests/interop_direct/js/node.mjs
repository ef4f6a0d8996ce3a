/** The peer as a program: `node node.mjs`. */

import { answerAll, tell } from "./lines.mjs";
import { createPeer } from "./peer.mjs";

const peer = await createPeer(tell);
await answerAll(async (command, parameters) => peer[command](parameters));
await peer.stop();
process.exit(0);
