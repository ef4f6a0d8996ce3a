/** The peer in a browser. `browser.mjs` has put `tell` and `version` on the page, and calls `peer`. */

import { createPeer, describe } from "./peer.mjs";
import { UnmungedPeerConnection } from "./v2.mjs";

// js-libp2p dials v1 only; this is version 2 below it.
if (globalThis.version === 2) globalThis.RTCPeerConnection = UnmungedPeerConnection;
globalThis.describe = describe;
globalThis.peer = await createPeer((event) => globalThis.tell(event));
