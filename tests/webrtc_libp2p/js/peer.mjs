/** A js-libp2p peer for tests, in Node.js and in browsers: echo, half-close and reset over WebRTC, each way. */

import { noise } from "@chainsafe/libp2p-noise";
import { yamux } from "@chainsafe/libp2p-yamux";
import { circuitRelayTransport } from "@libp2p/circuit-relay-v2";
import { identify } from "@libp2p/identify";
import { ping } from "@libp2p/ping";
import { webRTC, webRTCDirect } from "@libp2p/webrtc";
import { webSockets } from "@libp2p/websockets";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";

const ECHO = "/echo/1.0.0";
const COUNT = "/count/1.0.0";
const RESET = "/reset/1.0.0";
const PIECE = 64 * 1024;
const MANY = { maxInboundStreams: 1000, maxOutboundStreams: 1000 };

/**
 * Milliseconds that js-libp2p waits for a peer which is only slow. Its defaults of 5 to 10 s are over before a crowded
 * machine has moved the 10 MiB that a ping, or the end of a stream, has to wait for.
 */
const PATIENCE = 100_000;
const dataChannel = { finAckTimeout: PATIENCE };

/** Sends bytes as fast as they are taken. */
async function sendAll(stream, data) {
  for (let start = 0; start < data.length; start += PIECE) {
    if (!stream.send(data.subarray(start, start + PIECE))) await stream.onDrain();
  }
}

async function readAll(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece.subarray());
  const whole = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}

async function sha256(data) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function randomBytes(size) {
  const data = new Uint8Array(size);
  for (let start = 0; start < size; start += 65536) crypto.getRandomValues(data.subarray(start, start + 65536));
  return data;
}

/** Starts a peer: with the address of a relay, it listens through that; `direct` is one of webrtc-direct. */
export async function start({ relay = null, direct = null, transports = [], rtcConfiguration = { iceServers: [] } }) {
  const node = await createLibp2p({
    addresses: {
      listen: [...(relay === null ? [] : ["/webrtc", `${relay}/p2p-circuit`]), ...(direct === null ? [] : [direct])],
    },
    transports: [webSockets(), circuitRelayTransport(), webRTC({ rtcConfiguration, dataChannel }), webRTCDirect({ dataChannel }), ...transports],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping() },
    connectionManager: {
      // It closes what comes in at more than 5 a second by default.
      inboundConnectionThreshold: 1000,
      inboundUpgradeTimeout: PATIENCE,
      inboundStreamProtocolNegotiationTimeout: PATIENCE,
      outboundStreamProtocolNegotiationTimeout: PATIENCE,
    },
    // It ends a connection on which a ping took longer than 5 s by default, or still goes on when the next one is due.
    connectionMonitor: { pingInterval: PATIENCE, pingTimeout: { minTimeout: PATIENCE } },
    // Browsers refuse addresses of private networks by default.
    connectionGater: { denyDialMultiaddr: () => false },
  });
  await node.handle(ECHO, async (stream) => {
    for await (const piece of stream) if (!stream.send(piece)) await stream.onDrain();
    await stream.close();
  }, MANY);
  await node.handle(COUNT, async (stream) => {
    const { length } = await readAll(stream);
    stream.send(new TextEncoder().encode(String(length)));
    await stream.close();
  }, MANY);
  await node.handle(RESET, async (stream) => {
    for await (const _ of stream) {
      stream.abort(new Error("as asked for"));
      return;
    }
  }, MANY);

  let connection = null;
  /** The connection to the one peer that has dialed us over WebRTC. */
  const find = () => {
    const found = node.getConnections().find(({ remoteAddr, limits }) => /\/webrtc/.test(`${remoteAddr}`) && limits == null);
    if (found === undefined) throw new Error("no WebRTC connection");
    return found;
  };

  return {
    /** Where peers reach us over WebRTC; waits for the reservation. */
    async addresses({ direct = false } = {}) {
      const wanted = direct ? /\/webrtc-direct\// : /\/p2p-circuit\/webrtc\/p2p\//;
      for (let i = 0; i < 200; i++) {
        const found = node.getMultiaddrs().map(String).filter((address) => wanted.test(address));
        if (found.length > 0) return found;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error(`no reservation; ${node.getMultiaddrs().join(" ")}`);
    },
    /** Connects, and returns the milliseconds that it took. */
    async dial({ address }) {
      const started = performance.now();
      connection = await node.dial(multiaddr(address), { signal: AbortSignal.timeout(20_000) });
      return performance.now() - started;
    },
    /** Takes the connection that the other end has made. */
    async adopt() {
      connection = find();
      return String(connection.remoteAddr);
    },
    /** What the peer speaks, once identify has told: each protocol that was spoken before is known before. */
    async protocols() {
      let known = [];
      for (let i = 0; i < 100 && !known.includes(ECHO); i++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        known = (await node.peerStore.get(connection.remotePeer)).protocols;
      }
      return known;
    },
    async ping() {
      return await node.services.ping.ping(connection.remotePeer);
    },
    /** Sends bytes there and back over as many streams as told, and compares the digests. */
    async echo({ size, streams = 1 }) {
      const one = async () => {
        const data = randomBytes(size);
        const stream = await connection.newStream(ECHO, MANY);
        const [echoed] = await Promise.all([readAll(stream), sendAll(stream, data).then(() => stream.close())]);
        return (await sha256(echoed)) === (await sha256(data));
      };
      return (await Promise.all(Array.from({ length: streams }, one))).every(Boolean);
    },
    /** What the peer answers after our half of the stream is closed. */
    async count({ size }) {
      const stream = await connection.newStream(COUNT);
      const answer = readAll(stream);
      await sendAll(stream, randomBytes(size));
      await stream.close();
      return new TextDecoder().decode(await answer);
    },
    /** How a stream ends that the peer resets. */
    async reset() {
      const stream = await connection.newStream(RESET);
      const ended = new Promise((resolve) => stream.addEventListener("close", (event) => resolve(String(event.error?.name ?? "no error"))));
      stream.send(new Uint8Array([1]));
      return await ended;
    },
    /** Gives the connection up; the relayed one stays. */
    async close() {
      connection.abort(new Error("as asked for"));
    },
    async stop() {
      await node.stop();
    },
  };
}
