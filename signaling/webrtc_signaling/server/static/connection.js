/** A connection to a peer: it opens streams, and tells how it is doing. */

import { PageError } from "./errors.js";
import { Stream } from "./stream.js";

/**
 * @typedef {object} CandidatePair
 * @property {"host" | "srflx" | "prflx" | "relay"} kind how direct the path is
 * @property {string} local address and port of this end, if the browser tells them
 * @property {string} remote the same of the peer
 */

/** A connection to a proven peer. It tells changes by the events `statechange` and, once, `ended`. */
export class Connection extends EventTarget {
  #pc;
  #streams = new Set();

  /**
   * @param {RTCPeerConnection} pc
   * @param {string} remotePeer
   * @param {SetupTimes} setupTimes
   */
  constructor(pc, remotePeer, setupTimes) {
    super();
    this.#pc = pc;
    this.remotePeer = remotePeer;
    this.setupTimes = setupTimes;
    /** @type {"connected" | "disconnected" | "closed"} `disconnected`: the peer doesn't answer, but may come back */
    this.state = "connected";
    /** @type {PageError | null} why it is over; null after `close` */
    this.endReason = null;
    pc.ondatachannel = ({ channel }) => channel.close(); // this page serves no streams
    pc.onconnectionstatechange = () => this.#update();
    pc.sctp.onstatechange = () => this.#update();
    pc.sctp.transport.onstatechange = () => this.#update();
  }

  /** @returns {Stream} a stream that can be written to at once */
  openStream() {
    if (this.state === "closed") throw this.endReason ?? new PageError("connection-lost", "this page closed it");
    const channel = this.#pc.createDataChannel("");
    const stream = new Stream(channel, maxMessageSize(this.#pc), (closed) => this.#streams.delete(closed));
    this.#streams.add(stream);
    return stream;
  }

  /** @returns {Promise<CandidatePair | null>} what ICE settled on */
  async candidatePair() {
    const stats = await this.#pc.getStats();
    const all = [...stats.values()];
    const selectedId = all.find(({ type }) => type === "transport")?.selectedCandidatePairId;
    const pair = stats.get(selectedId) ?? all.find(({ type, selected }) => type === "candidate-pair" && selected);
    const local = stats.get(pair?.localCandidateId);
    const remote = stats.get(pair?.remoteCandidateId);
    if (local === undefined || remote === undefined) return null;
    const types = [local.candidateType, remote.candidateType];
    const kind = ["relay", "srflx", "prflx"].find((type) => types.includes(type)) ?? "host";
    return { kind, local: addressOf(local), remote: addressOf(remote) };
  }

  /** Close in an orderly way. The peer notices at once. */
  close() {
    this.#end(null);
  }

  #update() {
    const { connectionState, sctp } = this.#pc;
    if (sctp.state === "closed" || sctp.transport.state === "closed" || connectionState === "closed") {
      this.#end(new PageError("peer-closed"));
    } else if (connectionState === "failed") {
      this.#end(new PageError("connection-lost"));
    } else {
      this.#show(connectionState === "disconnected" ? "disconnected" : "connected");
    }
  }

  #end(reason) {
    if (this.state === "closed") return;
    this.endReason = reason;
    // Before the close, which may tell of itself at once.
    this.state = "closed";
    this.#pc.close();
    const error = reason ?? new PageError("connection-lost", "this page closed it");
    for (const stream of this.#streams) stream.connectionEnded(error);
    this.#streams.clear();
    this.dispatchEvent(new Event("statechange"));
    this.dispatchEvent(new Event("ended"));
  }

  #show(state) {
    if (state === this.state || this.state === "closed") return;
    this.state = state;
    this.dispatchEvent(new Event("statechange"));
  }
}

/**
 * @param {RTCPeerConnection} pc
 * @returns {number} bytes of one message that the peer takes; 0 before it has said so
 */
export function maxMessageSize(pc) {
  return pc.sctp?.maxMessageSize ?? 0;
}

function addressOf({ address, port, protocol }) {
  if (!address || address.endsWith(".local")) return "(hidden by the browser)";
  return `${address.includes(":") ? `[${address}]` : address}:${port}/${protocol}`;
}
