/** A session with one peer over the signaling server: what was sent and received in it. */

import { PageError, sessionError } from "./errors.js";
import { MAX_SESSION_SIGNALS } from "./limits.js";

/** One exchange of descriptions and candidates with one peer. */
export class Session {
  #client;
  #inbox = [];
  #expected = 0;
  /** What `receive` says when the inbox is empty: an error, or null for a good end; undefined while it goes on. */
  #end = undefined;
  #wake = () => {};

  /**
   * @param {import("./signaling.js").SignalingClient} client
   * @param {string} peer
   * @param {string} id
   */
  constructor(client, peer, id) {
    this.#client = client;
    this.peer = peer;
    this.id = id;
    /** Kept for a server that has lost its memory. */
    this.sent = [];
  }

  /** @returns {boolean} whether nothing can be sent any more */
  get isOver() {
    return this.#end !== undefined;
  }

  /**
   * Send a signal. After the end of the session it is discarded: `receive` tells the reason.
   *
   * @param {import("./messages.js").Signal} signal
   */
  send(signal) {
    const isLast = signal.type === "bye" || signal.type === "error";
    if (this.isOver || this.sent.length >= MAX_SESSION_SIGNALS - (isLast ? 0 : 1)) return;
    const route = { from: this.#client.peerId, to: this.peer, session: this.id, index: this.sent.length };
    const envelope = { ...route, ...signal };
    this.sent.push(envelope);
    this.#client.push(envelope);
    if (isLast) this.#finish(null);
  }

  /**
   * Wait for the next signal of the peer.
   *
   * @returns {Promise<import("./messages.js").Signal | null>} null at the end
   * @throws {PageError} if the session failed
   */
  async receive() {
    while (this.#inbox.length === 0 && this.#end === undefined) {
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#inbox.length > 0) return this.#inbox.shift();
    if (this.#end !== null) throw this.#end;
    return null;
  }

  /** Say good-bye. Safe to call twice. */
  close() {
    this.send({ type: "bye", data: { reason: "" } });
  }

  /**
   * Tell the peer why there will be no connection, so that it needn't wait for its deadline.
   *
   * @param {string} code
   * @param {string} message
   */
  refuse(code, message) {
    this.send({ type: "error", data: { code, message } });
  }

  /** For the client: a message of the peer arrived. */
  feed({ kind, index, signal, reason }) {
    if (kind === "malformed") {
      this.#reject(`a signal of the peer is malformed: ${reason}`);
    } else if (signal.type === "error") {
      // It ends the session whatever came before: who says it may have forgotten how far we were.
      this.fail(sessionError(signal.data.code, signal.data.message));
    } else if (index > this.#expected) {
      this.#reject(`signal ${this.#expected} of the peer is missing`);
    } else if (index === this.#expected) {
      this.#expected += 1;
      if (signal.type === "bye") this.#finish(null);
      else this.#inbox.push(signal);
      this.#wake();
    }
  }

  /** For the client: the session is over. */
  fail(error) {
    this.#finish(error);
  }

  #reject(reason) {
    this.refuse("invalid-signal", reason);
    this.#end = new PageError("invalid-answer", reason);
  }

  #finish(end) {
    if (this.#end === undefined) this.#end = end;
    this.#client.forget(this);
    this.#wake();
  }
}
