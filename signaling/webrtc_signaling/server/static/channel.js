/**
 * Messages that outlive the connection that carries them: one end of a numbered exchange, as in
 * webrtc_signaling/channel.py. No I/O and no clock.
 */

import { ACK_EVERY, MAX_QUEUED_MESSAGES, MAX_QUEUED_SIZE } from "./limits.js";
import { InvalidMessage } from "./messages.js";

/** Numbers what goes out and keeps it until the other end acknowledges it, and drops what comes in twice. */
export class ReliableChannel {
  /** The messages numbered `#acked + 1` and up. */
  #kept = [];
  #keptSize = 0;
  #acked = 0;
  #transmitted = 0;
  #received = 0;
  #unannounced = 0;

  /** @returns {number} the number of the last message in */
  get received() {
    return this.#received;
  }

  /** @returns {boolean} whether an acknowledgement is owed */
  get owesAck() {
    return this.#unannounced > 0;
  }

  /** @returns {boolean} whether it has waited long enough */
  get owesAckNow() {
    return this.#unannounced >= ACK_EVERY;
  }

  /** @returns {boolean} whether the other end owes us one */
  get awaitsAck() {
    return this.#kept.length > 0;
  }

  /**
   * Queue a message.
   *
   * @param {object} message
   * @returns {boolean} false if too much is unacknowledged already
   */
  push(message) {
    const size = JSON.stringify(message).length;
    if (this.#kept.length >= MAX_QUEUED_MESSAGES || this.#keptSize + size > MAX_QUEUED_SIZE) return false;
    this.#kept.push({ message, size });
    this.#keptSize += size;
    return true;
  }

  /**
   * Take note of the number of an inbound message.
   *
   * @param {number} seq
   * @returns {boolean} false if it was here before
   * @throws {InvalidMessage} if the one before it is missing
   */
  accept(seq) {
    if (seq > this.#received + 1) throw new InvalidMessage(`seq: ${seq} after ${this.#received}`);
    this.#unannounced += 1;
    if (seq <= this.#received) return false;
    this.#received = seq;
    return true;
  }

  /**
   * The other end has everything up to this number.
   *
   * @param {number} ack
   * @throws {InvalidMessage} if that was never transmitted
   */
  acknowledge(ack) {
    if (ack > this.#transmitted) throw new InvalidMessage(`ack: ${ack} was never sent`);
    for (; this.#acked < ack; this.#acked += 1) this.#keptSize -= this.#kept.shift().size;
  }

  /**
   * Go on over a new connection, whose other end has everything up to this number.
   *
   * @param {number} received
   * @throws {InvalidMessage} if that can't be
   */
  resume(received) {
    if (received < this.#acked || received > this.#acked + this.#kept.length) {
      throw new InvalidMessage(`received: ${received} can't be`);
    }
    this.#transmitted = received;
    this.acknowledge(received);
    this.#unannounced = 0;
  }

  /**
   * What the current connection hasn't been given yet; it counts as given from now on.
   *
   * @returns {object[]} messages with their numbers
   */
  transmit() {
    const fresh = this.#kept.slice(this.#transmitted - this.#acked);
    const messages = fresh.map(({ message }) => {
      this.#transmitted += 1;
      return { ...message, seq: this.#transmitted, ack: this.#received };
    });
    if (messages.length > 0) this.#unannounced = 0;
    return messages;
  }

  /** @returns {number} the acknowledgement that is owed; it counts as made */
  takeAck() {
    this.#unannounced = 0;
    return this.#received;
  }
}
