/** Dialing a peer with the browser's RTCPeerConnection (libp2p specs, webrtc/webrtc.md). */

import { Connection, maxMessageSize } from "./connection.js";
import { PageError } from "./errors.js";
import { nextEvent, rejection } from "./events.js";
import { MAX_REASON_LENGTH, MAX_REMOTE_CANDIDATES, MAX_SESSION_SIGNALS, MIN_MESSAGE_SIZE } from "./limits.js";
import { signDescription, verifyDescription } from "./proof.js";

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

/** The error for each phase, when it fails or a deadline cuts it off. */
const PHASE_ERRORS = {
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
 * @param {(phase: Phase, times: Partial<SetupTimes>) => void} [options.onPhase] a phase begins
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
      session.refuse("connect-failed", describe(error));
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
      this.#over.abort(new PageError(PHASE_ERRORS[this.#phases.current] ?? "timed-out", detail));
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
      if (error.code === "peer-gave-up") throw new PageError(PHASE_ERRORS[this.#phases.current], error.message);
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
          // Firefox may tell of the whole connection before it tells which part has failed.
          reject(new PageError(PHASE_ERRORS[this.#phases.current]));
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

/** What the peer is told of an error of ours. */
function describe(error) {
  if (!(error instanceof PageError)) return "the page gave up";
  return [error.title, error.message].filter(Boolean).join(": ").slice(0, MAX_REASON_LENGTH);
}
