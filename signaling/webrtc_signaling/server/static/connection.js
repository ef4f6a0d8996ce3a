/** Dialing a peer with the browser's RTCPeerConnection (libp2p specs, webrtc/webrtc.md), and the connection after it. */

import { PageError } from "./errors.js";
import { MAX_REASON_LENGTH, MAX_REMOTE_CANDIDATES, MAX_SESSION_SIGNALS, MIN_MESSAGE_SIZE } from "./limits.js";
import { signDescription, verifyDescription } from "./proof.js";
import { nextEvent } from "./signaling.js";
import { Stream } from "./stream.js";

const INIT_LABEL = "init";

/** Our candidates leave room in the session for the offer and the end. */
const MAX_LOCAL_CANDIDATES = MAX_SESSION_SIGNALS - 6;

/** How long the signaling server may take to be there. */
const SERVER_TIMEOUT = 5_000;

/** For a whole dial, from the offer to the first possible stream. */
const DIAL_TIMEOUT = 30_000;

/** How long the peer may take to close the channel that we opened first. */
const INIT_CLOSE_TIMEOUT = 2_000;

/** @typedef {"prepare" | "signaling" | "ice" | "dtls" | "sctp"} Phase */

/** @typedef {Record<Phase, number>} SetupTimes milliseconds that each phase took */

/**
 * @typedef {object} CandidatePair
 * @property {"host" | "srflx" | "prflx" | "relay"} kind how direct the path is
 * @property {string} local address and port of this end, if the browser tells them
 * @property {string} remote the same of the peer
 */

/** The error of a phase that a deadline cut off. */
const TIMED_OUT = {
  prepare: "server-down",
  signaling: "peer-silent",
  ice: "ice-failed",
  dtls: "dtls-failed",
  sctp: "sctp-failed",
};

/**
 * Connect to a peer.
 *
 * @param {object} options
 * @param {import("./signaling.js").SignalingClient} options.signaling
 * @param {import("./peer-id.js").Identity} options.identity
 * @param {string} options.peer peer id, in base58btc
 * @param {AbortSignal} options.abort gives the attempt up
 * @param {(phase: Phase, times: Partial<SetupTimes>) => void} [options.onPhase] a phase begins; those before it are over
 * @returns {Promise<Connection>}
 * @throws {PageError} that says what to do; the reason of `abort` if it was aborted
 */
export async function dial({ signaling, identity, peer, abort, onPhase = () => {} }) {
  if (peer === identity.peerId) throw new PageError("own-peer-id");
  if (globalThis.RTCPeerConnection === undefined) throw new PageError("no-webrtc");
  const attempt = new Attempt(signaling, identity, peer, abort, onPhase);
  return attempt.run();
}

/** One dial: from the first signal to a connection whose peer is proven. */
class Attempt {
  #signaling;
  #identity;
  #peer;
  #phases;
  /** Aborted when the attempt is over, for whatever reason. */
  #over = new AbortController();
  #remoteCandidates = 0;

  constructor(signaling, identity, peer, abort, onPhase) {
    this.#signaling = signaling;
    this.#identity = identity;
    this.#peer = peer;
    this.#phases = new PhaseClock(onPhase);
    const giveUp = () => this.#over.abort(abort.reason);
    if (abort.aborted) giveUp();
    abort.addEventListener("abort", giveUp, { once: true, signal: this.#over.signal });
  }

  async run() {
    this.#phases.begin("prepare");
    await this.#waitForServer();
    const deadline = this.#setDeadline(DIAL_TIMEOUT);
    const session = this.#signaling.open(this.#peer);
    const pc = new RTCPeerConnection();
    try {
      const init = pc.createDataChannel(INIT_LABEL);
      await Promise.race([this.#opened(pc, init), this.#negotiate(pc, session), rejection(this.#over.signal)]);
      const connection = new Connection(pc, this.#peer, this.#phases.finish());
      closeSignaling(init, session);
      return connection;
    } catch (error) {
      session.refuse("connect-failed", String(error?.message ?? error).slice(0, MAX_REASON_LENGTH));
      pc.close();
      throw error;
    } finally {
      clearTimeout(deadline);
      this.#over.abort(new PageError("internal", "the attempt is over"));
    }
  }

  async #waitForServer() {
    const deadline = this.#setDeadline(SERVER_TIMEOUT);
    try {
      await this.#signaling.ready(this.#over.signal);
    } finally {
      clearTimeout(deadline);
    }
  }

  #setDeadline(milliseconds) {
    return setTimeout(() => {
      const detail = `nothing after ${milliseconds / 1000} s, in the phase ${this.#phases.current}`;
      this.#over.abort(new PageError(TIMED_OUT[this.#phases.current] ?? "timed-out", detail));
    }, milliseconds);
  }

  /** Negotiate until the connection stands. Never returns: it ends with an error, or with the attempt. */
  async #negotiate(pc, session) {
    sendCandidates(pc, session);
    const offer = await pc.createOffer();
    // Before it becomes our description, because that begins to find candidates, and the offer is the first signal.
    await this.#sendOffer(session, offer.sdp);
    this.#phases.begin("signaling");
    await pc.setLocalDescription(offer);
    await this.#receiveAnswer(pc, session);
    this.#phases.begin("ice");
    await this.#receiveCandidates(pc, session);
  }

  async #sendOffer(session, sdp) {
    const route = { session: session.id, sender: this.#identity.peerId, receiver: this.#peer };
    const proof = await signDescription(this.#identity, { kind: "offer", ...route, sdp });
    session.send({ type: "offer", data: { type: "offer", sdp }, proof });
  }

  async #receiveAnswer(pc, session) {
    const signal = await session.receive();
    if (signal === null) throw new PageError("peer-refused", "the peer ended the session without an answer");
    if (signal.type !== "answer") {
      throw new PageError("invalid-answer", `the peer answered the offer with ${signal.type}`);
    }
    const { sdp } = signal.data;
    const route = { session: session.id, sender: this.#peer, receiver: this.#identity.peerId };
    await verifyDescription(signal.proof, { kind: "answer", ...route, sdp });
    try {
      await pc.setRemoteDescription({ type: "answer", sdp });
    } catch (error) {
      throw new PageError("invalid-answer", String(error));
    }
    if (!(maxMessageSize(pc) >= MIN_MESSAGE_SIZE)) {
      throw new PageError("invalid-answer", `the peer takes messages of ${maxMessageSize(pc)} bytes at most`);
    }
  }

  /** Take the candidates of the peer. Never returns, either. */
  async #receiveCandidates(pc, session) {
    for (;;) {
      const signal = await this.#nextSignal(session);
      if (signal.type !== "candidate") continue;
      this.#remoteCandidates += 1;
      if (this.#remoteCandidates > MAX_REMOTE_CANDIDATES) continue;
      try {
        await pc.addIceCandidate(signal.data ?? undefined);
      } catch (error) {
        // One candidate that this browser doesn't understand is no reason to refuse the others.
        console.info("a candidate of the peer is not usable:", error);
      }
    }
  }

  async #nextSignal(session) {
    try {
      const signal = await session.receive();
      if (signal !== null) return signal;
    } catch (error) {
      // The peer gave up, and knows why. But without the server, what the peers know already may do.
      if (error.code === "peer-refused" || error.code === "invalid-answer") throw error;
      console.info("no more candidates of the peer:", error);
    }
    return new Promise(() => {});
  }

  /** Tell the phases as they begin; resolved when a stream can be opened. */
  #opened(pc, init) {
    return new Promise((resolve, reject) => {
      const options = { signal: this.#over.signal };
      const update = () => {
        if (pc.iceConnectionState === "failed") {
          reject(new PageError("ice-failed", `the browser tried ${this.#remoteCandidates} addresses of the peer`));
        } else if (pc.connectionState === "failed") {
          reject(new PageError("dtls-failed"));
        } else if (init.readyState === "open") {
          resolve();
        } else if (pc.connectionState === "connected") {
          this.#phases.begin("sctp");
        } else if (pc.iceConnectionState === "connected" || pc.iceConnectionState === "completed") {
          this.#phases.begin("dtls");
        }
      };
      pc.addEventListener("iceconnectionstatechange", update, options);
      pc.addEventListener("connectionstatechange", update, options);
      init.addEventListener("open", update, options);
      init.addEventListener("close", () => reject(new PageError("sctp-failed")), options);
    });
  }
}

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
      this.#setState(connectionState === "disconnected" ? "disconnected" : "connected");
    }
  }

  #end(reason) {
    if (this.state === "closed") return;
    this.endReason = reason;
    this.#pc.close();
    const error = reason ?? new PageError("connection-lost", "this page closed it");
    for (const stream of this.#streams) stream.connectionEnded(error);
    this.#streams.clear();
    this.#setState("closed");
    this.dispatchEvent(new Event("ended"));
  }

  #setState(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("statechange"));
  }
}

/** Measures the phases of a dial. */
class PhaseClock {
  /** @type {Partial<SetupTimes>} */
  #times = {};
  #since = 0;
  #onPhase;

  constructor(onPhase) {
    /** @type {Phase | null} */
    this.current = null;
    this.#onPhase = onPhase;
  }

  begin(phase) {
    if (phase === this.current || phase in this.#times) return;
    this.#stop();
    this.current = phase;
    this.#onPhase(phase, { ...this.#times });
  }

  /** @returns {SetupTimes} */
  finish() {
    this.#stop();
    return { prepare: 0, signaling: 0, ice: 0, dtls: 0, sctp: 0, ...this.#times };
  }

  #stop() {
    const now = performance.now();
    if (this.current !== null) this.#times[this.current] = now - this.#since;
    this.#since = now;
  }
}

/** Send our candidates as they are found, and their end. */
function sendCandidates(pc, session) {
  let sent = 0;
  pc.onicecandidate = ({ candidate }) => {
    if (candidate === null) {
      session.send({ type: "candidate", data: null });
    } else if (candidate.candidate !== "" && sent < MAX_LOCAL_CANDIDATES) {
      sent += 1;
      const { candidate: line, sdpMid, sdpMLineIndex, usernameFragment } = candidate.toJSON();
      session.send({ type: "candidate", data: { candidate: line, sdpMid, sdpMLineIndex, usernameFragment } });
    }
  };
}

/** The spec's last step: the first channel is closed in both directions, then the session. */
async function closeSignaling(init, session) {
  try {
    if (init.readyState !== "closed") {
      const closed = nextEvent(init, "close", AbortSignal.timeout(INIT_CLOSE_TIMEOUT));
      init.close();
      await closed;
    }
  } catch {
    console.info("the peer did not close the channel labelled init");
  }
  session.close();
}

function maxMessageSize(pc) {
  return pc.sctp?.maxMessageSize ?? 0;
}

function addressOf({ address, port, protocol }) {
  if (!address || address.endsWith(".local")) return "(hidden by the browser)";
  return `${address.includes(":") ? `[${address}]` : address}:${port}/${protocol}`;
}

/** @returns {Promise<never>} rejected when the signal is aborted */
function rejection(signal) {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
