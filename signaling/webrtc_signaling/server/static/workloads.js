/** What the page does with a connection to an echo peer: a text, small messages in a loop, and a large transfer. */

import { equal, sha256, toHex, utf8 } from "./bytes.js";
import { PageError } from "./errors.js";

const ECHO_TIMEOUT = 10_000;
const PING_INTERVAL = 250;
const PING_SIZE = 32;
const STALL_TIMEOUT = 20_000;

/** What `crypto.getRandomValues` fills at once. */
const RANDOM_BLOCK = 65_536;

/**
 * Send a text, and wait until it is back.
 *
 * @param {import("./connection.js").Connection} connection
 * @param {string} text
 * @returns {Promise<{reply: string, milliseconds: number}>}
 * @throws {PageError} if it doesn't come back
 */
export async function echoText(connection, text) {
  const data = utf8(text);
  const stream = connection.openStream();
  const started = performance.now();
  const reply = await withDeadline(connection, stream, ECHO_TIMEOUT, async () => {
    const [received] = await Promise.all([receive(stream, data.length), sendAll(stream, data)]);
    return received;
  });
  const milliseconds = reply.finished - started;
  return { reply: new TextDecoder().decode(reply.data), milliseconds };
}

/**
 * @typedef {object} TransferResult
 * @property {boolean} isEqual whether the same bytes came back
 * @property {string} sentDigest SHA-256 in hexadecimal
 * @property {string} receivedDigest
 * @property {number} seconds from the first byte out to the last byte in
 */

/**
 * Send random bytes, and compare what comes back by SHA-256.
 *
 * @param {import("./connection.js").Connection} connection
 * @param {number} size bytes
 * @param {(received: number) => void} onProgress
 * @returns {Promise<TransferResult>}
 * @throws {PageError} if the stream breaks off, or stands still
 */
export async function transfer(connection, size, onProgress) {
  const data = randomBytes(size);
  const stream = connection.openStream();
  const started = performance.now();
  const reply = await withDeadline(connection, stream, STALL_TIMEOUT, async (progressed) => {
    const report = (received) => {
      progressed();
      onProgress(received);
    };
    const [received] = await Promise.all([receive(stream, size, report), sendAll(stream, data)]);
    return received;
  });
  const [sentDigest, receivedDigest] = (await Promise.all([sha256(data), sha256(reply.data)])).map(toHex);
  const seconds = (reply.finished - started) / 1000;
  return { isEqual: sentDigest === receivedDigest, sentDigest, receivedDigest, seconds };
}

/** Measures the round trip of a small message again and again, on one stream. */
export class PingLoop {
  #connection;
  #onSample;
  #onError;
  #stream = null;
  #isStopped = false;
  #timer = 0;

  /**
   * @param {import("./connection.js").Connection} connection
   * @param {(milliseconds: number) => void} onSample
   * @param {(error: unknown) => void} onError the loop is over
   */
  constructor(connection, onSample, onError) {
    this.#connection = connection;
    this.#onSample = onSample;
    this.#onError = onError;
  }

  /** Begin. */
  async start() {
    try {
      const stream = this.#connection.openStream();
      this.#stream = stream;
      while (!this.#isStopped) {
        this.#onSample(await withDeadline(this.#connection, stream, ECHO_TIMEOUT, () => ping(stream)));
        await new Promise((resolve) => {
          this.#timer = setTimeout(resolve, PING_INTERVAL);
        });
      }
    } catch (error) {
      if (!this.#isStopped) this.#onError(error);
    }
  }

  /** End the loop, and its stream. */
  stop() {
    if (this.#isStopped) return;
    this.#isStopped = true;
    clearTimeout(this.#timer);
    // The connection may be over; then there is nobody to tell.
    this.#stream?.close().catch(() => {});
  }
}

async function ping(stream) {
  const data = crypto.getRandomValues(new Uint8Array(PING_SIZE));
  const started = performance.now();
  await stream.write(data);
  const reply = await readExactly(stream, PING_SIZE);
  if (!equal(reply, data)) throw new PageError("no-echo", "other bytes came back than were sent");
  return performance.now() - started;
}

async function sendAll(stream, data) {
  await stream.write(data);
  await stream.closeWrite();
}

/** Receive `size` bytes and then the end of the stream; tells when the last byte came. */
async function receive(stream, size, onProgress = () => {}) {
  const data = await readExactly(stream, size, onProgress);
  const finished = performance.now();
  if ((await stream.read()) !== null) {
    stream.reset();
    throw new PageError("no-echo", "more bytes came back than were sent");
  }
  return { data, finished };
}

async function readExactly(stream, size, onProgress = () => {}) {
  const data = new Uint8Array(size);
  let received = 0;
  while (received < size) {
    const chunk = await stream.read();
    if (chunk === null) throw new PageError("no-echo", `the stream ended after ${received} of ${size} bytes`);
    if (chunk.length > size - received) {
      stream.reset();
      throw new PageError("no-echo", "more bytes came back than were sent");
    }
    data.set(chunk, received);
    received += chunk.length;
    onProgress(received);
  }
  return data;
}

/**
 * Do something with a stream; reset it when nothing has progressed for so long. While the peer doesn't answer at all,
 * that is the connection's matter.
 */
async function withDeadline(connection, stream, milliseconds, action) {
  let timer = 0;
  let isLate = false;
  const progressed = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (connection.state === "disconnected") return progressed();
      isLate = true;
      stream.reset();
    }, milliseconds);
  };
  progressed();
  try {
    return await action(progressed);
  } catch (error) {
    if (isLate) throw new PageError("no-echo", `nothing came back for ${milliseconds / 1000} s`);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function randomBytes(size) {
  const data = new Uint8Array(size);
  for (let start = 0; start < size; start += RANDOM_BLOCK) {
    crypto.getRandomValues(data.subarray(start, start + RANDOM_BLOCK));
  }
  return data;
}
