/** A libp2p stream: one data channel as a byte stream in both directions, with half-close and reset. */

import { PageError } from "./errors.js";
import { encodeData, encodeFlag, Flag, FrameDecoder, FramingError } from "./framing.js";
import { FRAME_OVERHEAD, MAX_FRAME_LENGTH, MAX_UNREAD, SEND_BUFFER_HIGH, SEND_BUFFER_LOW } from "./limits.js";

/** How long the peer may take to acknowledge the end of a stream (js-libp2p waits as long). */
const FIN_ACK_TIMEOUT = 10_000;

/**
 * How long the peer gets to close the channel first, after we have sent its last frame: libraries drop a frame that is
 * followed at once by the close of its channel.
 */
const CHANNEL_LINGER = 1_000;

/** States of the half that we send on. */
const Send = Object.freeze({
  OPEN: "open",
  STOPPED: "stopped",
  FIN_SENT: "fin-sent",
  FIN_ACKED: "fin-acked",
  RESET: "reset",
});

/** States of the half that we receive on. */
const Receive = Object.freeze({ OPEN: "open", STOPPED: "stopped", FIN_RECEIVED: "fin-received", RESET: "reset" });

/** The state table is that of webrtc_transport/protocol/stream_state.py. */
export class Stream {
  #channel;
  #payloadLimit;
  #decoder = new FrameDecoder();
  #send = Send.OPEN;
  #receive = Receive.OPEN;
  /** @type {Uint8Array[]} */
  #chunks = [];
  #unread = 0;
  /** @type {PageError | null} */
  #error = null;
  #changed = Promise.withResolvers();
  #isClosing = false;
  #onClosed;

  /**
   * @param {RTCDataChannel} channel
   * @param {number} maxMessageSize bytes of one message that the peer takes
   * @param {(stream: Stream) => void} onClosed called when the channel is closed in both directions
   */
  constructor(channel, maxMessageSize, onClosed) {
    this.#channel = channel;
    this.#onClosed = onClosed;
    this.#payloadLimit = Math.min(MAX_FRAME_LENGTH, maxMessageSize) - FRAME_OVERHEAD;
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = SEND_BUFFER_LOW;
    channel.onopen = () => this.#notify();
    channel.onbufferedamountlow = () => this.#notify();
    channel.onmessage = ({ data }) => this.#received(data);
    channel.onclose = () => this.#closed();
  }

  /**
   * Send bytes. Waits while the send buffer is full.
   *
   * @param {Uint8Array} data
   * @returns {Promise<void>}
   * @throws {PageError} if the stream was reset, or the peer doesn't read it any more
   */
  async write(data) {
    for (let start = 0; start < data.length; start += this.#payloadLimit) {
      await this.#until(
        () => this.#channel.readyState === "open" && this.#channel.bufferedAmount < SEND_BUFFER_HIGH,
        () => this.#send !== Send.OPEN,
      );
      if (this.#send === Send.STOPPED) throw new PageError("stream-failed", "the peer doesn't read this stream");
      if (this.#send !== Send.OPEN) throw this.#error ?? new PageError("stream-failed", "its end was sent already");
      this.#transmit(encodeData(data.subarray(start, start + this.#payloadLimit)));
    }
  }

  /**
   * Send the end of our half. The peer reads the end of the stream, and can still answer.
   *
   * @returns {Promise<void>} resolved when the peer has everything
   * @throws {PageError} if the stream was reset, or there is no acknowledgement in time
   */
  async closeWrite() {
    await this.#until(() => this.#channel.readyState === "open");
    if (this.#send === Send.OPEN || this.#send === Send.STOPPED) {
      this.#send = Send.FIN_SENT;
      this.#transmit(encodeFlag(Flag.FIN));
    }
    const timer = setTimeout(() => {
      if (this.#send === Send.FIN_SENT) this.#fail("the peer did not acknowledge the end of the stream in time");
    }, FIN_ACK_TIMEOUT);
    try {
      await this.#until(() => this.#send === Send.FIN_ACKED);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Wait for bytes of the peer.
   *
   * @returns {Promise<Uint8Array | null>} null at the end of the stream
   * @throws {PageError} if the stream was reset
   */
  async read() {
    // What has arrived can be read, even when the connection is over.
    if (this.#chunks.length === 0) {
      await this.#until(
        () => this.#chunks.length > 0,
        () => this.#receive === Receive.FIN_RECEIVED,
      );
    }
    const chunk = this.#chunks.shift() ?? null;
    this.#unread -= chunk?.length ?? 0;
    return chunk;
  }

  /**
   * End the stream in both directions: send its end, tell the peer that nothing is read any more.
   *
   * @returns {Promise<void>} resolved when the peer has everything
   * @throws {PageError} as `closeWrite` does
   */
  async close() {
    const acknowledged = this.closeWrite();
    if (this.#receive === Receive.OPEN && this.#channel.readyState === "open") {
      this.#receive = Receive.STOPPED;
      this.#transmit(encodeFlag(Flag.STOP_SENDING));
    }
    await acknowledged;
  }

  /** Give the stream up at once, in both directions. */
  reset() {
    this.#fail("this page reset the stream");
  }

  /**
   * For the connection: it is over. What has arrived can still be read.
   *
   * @param {PageError} error
   */
  connectionEnded(error) {
    this.#end(error);
  }

  /** Wait for one of the conditions, or for the error that makes them impossible. */
  async #until(...conditions) {
    while (!conditions.some((condition) => condition())) {
      if (this.#error !== null) throw this.#error;
      await this.#changed.promise;
    }
  }

  #notify() {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  #transmit(frame) {
    if (this.#channel.readyState === "open") this.#channel.send(frame);
  }

  // --- what the channel tells ----------------------------------------------------------------------------------------

  #received(data) {
    try {
      if (!(data instanceof ArrayBuffer)) throw new FramingError("a message is text");
      for (const frame of this.#decoder.feed(new Uint8Array(data))) this.#act(frame);
    } catch (error) {
      if (!(error instanceof FramingError)) throw error;
      this.#fail(`the peer broke the framing: ${error.message}`);
    }
  }

  #act({ flag, payload }) {
    // After a reset, nothing that the peer sends matters.
    if (this.#error !== null) return;
    if (payload.length > 0) this.#take(payload);
    if (this.#error !== null || flag === null) return;
    if (flag === Flag.FIN) {
      this.#receive = Receive.FIN_RECEIVED;
      this.#transmit(encodeFlag(Flag.FIN_ACK));
    } else if (flag === Flag.FIN_ACK) {
      if (this.#send !== Send.FIN_SENT && this.#send !== Send.FIN_ACKED) throw new FramingError("FIN_ACK without FIN");
      this.#send = Send.FIN_ACKED;
    } else if (flag === Flag.STOP_SENDING) {
      if (this.#send === Send.OPEN) this.#send = Send.STOPPED;
    } else {
      this.#end(new PageError("stream-failed", "the peer reset the stream"));
      this.#channel.close();
      return;
    }
    this.#notify();
    this.#closeIfFinished(flag);
  }

  #take(payload) {
    if (this.#receive === Receive.FIN_RECEIVED) throw new FramingError("data after FIN");
    if (this.#receive !== Receive.OPEN) return;
    if (this.#unread + payload.length > MAX_UNREAD) {
      this.#fail(`the peer sent over ${MAX_UNREAD} bytes that nobody has read yet`);
      return;
    }
    this.#chunks.push(payload);
    this.#unread += payload.length;
    this.#notify();
  }

  #closeIfFinished(flag) {
    if (!this.#isFinished) return;
    if (flag === Flag.FIN) this.#closeLater();
    else this.#channel.close();
  }

  #closed() {
    // A peer may close once both ends have sent FIN, and its last FIN_ACK be lost in that.
    if (this.#send === Send.FIN_SENT && this.#receive === Receive.FIN_RECEIVED) this.#send = Send.FIN_ACKED;
    if (!this.#isFinished) {
      this.#end(new PageError("stream-failed", "the peer closed the channel before the end of the stream"));
    }
    this.#notify();
    this.#onClosed(this);
  }

  /** Reset the stream, and tell the peer. */
  #fail(reason) {
    if (this.#error !== null) return;
    this.#transmit(encodeFlag(Flag.RESET));
    this.#end(new PageError("stream-failed", reason));
    this.#closeLater();
  }

  #end(error) {
    if (this.#isFinished) return;
    this.#error ??= error;
    // A half that has ended well keeps its state.
    if (this.#send !== Send.FIN_ACKED) this.#send = Send.RESET;
    if (this.#receive !== Receive.FIN_RECEIVED) this.#receive = Receive.RESET;
    this.#notify();
  }

  get #isFinished() {
    return this.#send === Send.FIN_ACKED && this.#receive === Receive.FIN_RECEIVED;
  }

  #closeLater() {
    if (this.#isClosing) return;
    this.#isClosing = true;
    setTimeout(() => this.#channel.close(), CHANNEL_LINGER);
  }
}
