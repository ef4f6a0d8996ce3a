/** A libp2p peer on js-libp2p that speaks webrtc-direct, in Node and in browsers; ../README.md has the protocol. */

import { identify } from "@libp2p/identify";
import { ping } from "@libp2p/ping";
import { webRTCDirect } from "@libp2p/webrtc";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";

/** Copies until EOF, then ends its own side. */
const ECHO = "/echo/1.0.0";
/** Reads until EOF, and only then answers, with the SHA-256. */
const DIGEST = "/digest/1.0.0";
/** `l`: the listener resets; `d`: it echoes that, and tells how the stream ends. */
const RESET = "/reset/1.0.0";

/** The default of 32 inbound and 64 outbound streams is less than the tests open. */
const LIMITS = { maxInboundStreams: 512, maxOutboundStreams: 512 };

const encode = (text) => new TextEncoder().encode(text);
const decode = (bytes) => new TextDecoder().decode(bytes);

/** `tell` takes events; the commands are what is returned. */
export async function createPeer(tell) {
  let node;
  let connection;
  let identified;

  async function start(listen) {
    node = await createLibp2p({
      addresses: { listen },
      transports: [webRTCDirect()],
      // A browser's default is to dial no private address.
      connectionGater: { denyDialMultiaddr: () => false },
      services: { identify: identify(), ping: ping() },
    });
    node.addEventListener("peer:connect", ({ detail }) => tell({ event: "connected", peer: String(detail) }));
    node.addEventListener("peer:disconnect", ({ detail }) => tell({ event: "disconnected", peer: String(detail) }));
    await node.handle(ECHO, (stream) => serve(stream, serveEcho), LIMITS);
    await node.handle(DIGEST, (stream) => serve(stream, serveDigest), LIMITS);
    await node.handle(RESET, (stream) => serve(stream, (opened) => serveReset(opened, tell)), LIMITS);
  }

  const open = (protocol) => connection.newStream(protocol, LIMITS);

  return {
    async listen({ address }) {
      await start([address]);
      return { addresses: node.getMultiaddrs().map(String) };
    },
    async dial({ address }) {
      node ?? (await start([]));
      const target = multiaddr(address);
      // It identifies each peer by itself, and would refuse to do it twice at once.
      identified = new Promise((resolve) =>
        node.addEventListener("peer:identify", ({ detail }) => resolve(detail), { once: true }),
      );
      const started = performance.now();
      connection = await node.dial(target);
      return { peer: String(connection.remotePeer), seconds: since(started) };
    },
    async identify() {
      const started = performance.now();
      const { agentVersion, protocols } = await identified;
      return { agent: agentVersion, protocols, seconds: since(started) };
    },
    async ping() {
      return { seconds: (await node.services.ping.ping(connection.remotePeer)) / 1000 };
    },
    async echo({ bytes, chunk }) {
      const content = randomBytes(bytes);
      const started = performance.now();
      const stream = await open(ECHO);
      const [, echoed] = await Promise.all([sendAll(stream, content, chunk), readAll(stream)]);
      const seconds = since(started);
      return { sent: await sha256(content), received: await sha256(echoed), bytes: echoed.length, seconds };
    },
    async streams({ count, at_once: atOnce }) {
      const started = performance.now();
      // All of them are open, and each has been answered once, before the first one ends.
      // At most so many at once wait for their first answer.
      const opened = [];
      for (let first = 0; first < count; first += atOnce) {
        const numbers = Array.from({ length: Math.min(atOnce, count - first) }, (_, index) => first + index);
        opened.push(...(await Promise.allSettled(numbers.map((number) => firstAnswer(open, `stream ${number}`)))));
      }
      const ended = await Promise.allSettled(opened.filter((one) => one.value).map(({ value }) => endOfMany(value)));
      const failed = [...opened, ...ended].filter(({ status }) => status === "rejected");
      if (failed.length > 0) throw new Error(`${failed.length} of ${count} streams: ${describe(failed[0].reason)}`);
      return { count, seconds: since(started) };
    },
    async half_close({ count, chunk }) {
      const started = performance.now();
      const content = randomBytes(100_000);
      const expected = await sha256(content);
      for (let number = 0; number < count; number += 1) {
        const stream = await open(DIGEST);
        const [, answer] = await Promise.all([sendAll(stream, content, chunk), readAll(stream)]);
        if (hex(answer) !== expected) throw new Error(`${answer.length} bytes of answer, not the digest`);
      }
      return { count, seconds: since(started) };
    },
    async reset({ by }) {
      const stream = await open(RESET);
      stream.send(encode(by[0]));
      if (by === "dialer") {
        await reader(stream)(1);
        stream.abort(new Error("reset by the dialer"));
        return {};
      }
      return { how: await howItEnds(stream) };
    },
    async close() {
      await node.hangUp(connection.remotePeer);
      return {};
    },
    async stop() {
      await node?.stop();
      return {};
    },
  };
}

async function serve(stream, handler) {
  try {
    await handler(stream);
  } catch (error) {
    console.error(`${stream.protocol}: ${describe(error)}`);
    stream.abort(error);
  }
}

async function serveEcho(stream) {
  for await (const chunk of stream) {
    if (!stream.send(chunk.subarray())) await stream.onDrain();
  }
  await stream.close();
}

async function serveDigest(stream) {
  const content = await readAll(stream);
  stream.send(new Uint8Array(await crypto.subtle.digest("SHA-256", content)));
  await stream.close();
}

async function serveReset(stream, tell) {
  const read = reader(stream);
  const order = await read(1);
  if (decode(order) === "l") {
    stream.abort(new Error("reset by the listener"));
    return;
  }
  stream.send(order);
  tell({ event: "stream-ended", how: await howItEnds({ [Symbol.asyncIterator]: () => read.rest() }) });
}

async function firstAnswer(open, text) {
  const stream = await open(ECHO);
  const read = reader(stream);
  stream.send(encode(text));
  const echoed = decode(await read(text.length));
  if (echoed !== text) throw new Error(`sent ${text}, received ${echoed}`);
  return { stream, rest: read.rest() };
}

async function endOfMany({ stream, rest }) {
  const [, left] = await Promise.all([stream.close(), readAll({ [Symbol.asyncIterator]: () => rest })]);
  if (left.length > 0) throw new Error(`${left.length} bytes too many`);
}

async function sendAll(stream, content, size) {
  for (let start = 0; start < content.length; start += size) {
    if (!stream.send(content.subarray(start, start + size))) await stream.onDrain();
  }
  await stream.close();
}

/** Reads exactly so many bytes; its `rest` are the chunks after them. */
function reader(stream) {
  const chunks = stream[Symbol.asyncIterator]();
  let left = new Uint8Array(0);
  const read = async (size) => {
    while (left.length < size) {
      const { done, value } = await chunks.next();
      if (done) throw new Error(`the stream ended after ${left.length} of ${size} bytes`);
      left = concatenate([left, value.subarray()]);
    }
    const wanted = left.subarray(0, size);
    left = left.subarray(size);
    return wanted;
  };
  read.rest = async function* rest() {
    if (left.length > 0) yield left;
    while (true) {
      const { done, value } = await chunks.next();
      if (done) return;
      yield value;
    }
  };
  return read;
}

async function readAll(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk.subarray());
  return concatenate(chunks);
}

async function howItEnds(stream) {
  try {
    await readAll(stream);
    return "eof";
  } catch (error) {
    return error.name === "StreamResetError" ? "reset" : describe(error);
  }
}

function concatenate(chunks) {
  const all = new Uint8Array(chunks.reduce((total, { length }) => total + length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}

function randomBytes(size) {
  const bytes = new Uint8Array(size);
  // The most that one call gives.
  for (let start = 0; start < size; start += 65536) crypto.getRandomValues(bytes.subarray(start, start + 65536));
  return bytes;
}

const since = (started) => (performance.now() - started) / 1000;
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const sha256 = async (content) => hex(new Uint8Array(await crypto.subtle.digest("SHA-256", content)));

export function describe(error) {
  const causes = error?.errors ? ` (${error.errors.map(describe).join("; ")})` : "";
  return `${error?.name}: ${error?.message}${causes}`;
}
