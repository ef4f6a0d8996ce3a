/** A js-libp2p relay for tests, over TCP for Python and Node.js, and WebSocket for browsers. */

import { noise } from "@chainsafe/libp2p-noise";
import { yamux } from "@chainsafe/libp2p-yamux";
import { circuitRelayServer } from "@libp2p/circuit-relay-v2";
import { identify } from "@libp2p/identify";
import { ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { webSockets } from "@libp2p/websockets";
import { createLibp2p } from "libp2p";

export async function startRelay(listen) {
  const node = await createLibp2p({
    addresses: { listen },
    transports: [tcp(), webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(),
      ping: ping(),
      relay: circuitRelayServer({ reservations: { maxReservations: 256 } }),
    },
    connectionManager: { inboundConnectionThreshold: 1000 },
    // On a crowded machine its peers may need longer for a ping than the default of 5 s, and it ends a connection on
    // which the next one is due meanwhile.
    connectionMonitor: { pingInterval: 100_000, pingTimeout: { minTimeout: 100_000 } },
  });
  return {
    async addresses() {
      return node.getMultiaddrs().map(String);
    },
    /** Drops every connection to a peer, and with it the circuits through us. */
    async drop({ peer }) {
      const found = node.getConnections().filter(({ remotePeer }) => `${remotePeer}` === peer);
      for (const connection of found) connection.abort(new Error("as asked for"));
      return found.length;
    },
  };
}
