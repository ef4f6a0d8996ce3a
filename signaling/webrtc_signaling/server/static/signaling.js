/**
 * The client of the rendezvous server: one registration, over as many WebSockets as it takes, and the sessions with
 * peers on it. webrtc_signaling/messages.py describes the protocol.
 */

import { encodeBase64 } from "./bytes.js";
import { ReliableChannel } from "./channel.js";
import { PageError, sessionError } from "./errors.js";
import { nextEvent } from "./events.js";
import { ACK_DELAY, ACK_TIMEOUT } from "./limits.js";
import { InvalidMessage, parseServerMessage, registerPayload, SUBPROTOCOL, VERSION } from "./messages.js";
import { newSessionId } from "./proof.js";
import { Session } from "./session.js";

const REGISTER_TIMEOUT = 10_000;
const RETRY_FIRST = 200;
const RETRY_MAX = 5_000;

/** Our close code for a connection that is of no use. 1000 and 1001 would end the registration and its sessions. */
const CLOSE_UNUSABLE = 4000;
const CLOSE_NORMAL = 1000;

/** What the server won't take back, however often it is asked. */
const FATAL_CODES = ["unsupported-version", "invalid-proof", "replaced"];

/** What it takes back with another token. */
const TOKEN_CODES = ["token-required", "invalid-token", "token-expired"];

/** @typedef {"connecting" | "registered" | "reconnecting" | "refused" | "closed"} SignalingState */

/** Registers with the server at `url`, and stays registered. Tells each change by the event `statechange`. */
export class SignalingClient extends EventTarget {
  #url;
  #identity;
  #token;
  #instance = newSessionId();
  #channel = new ReliableChannel();
  #sessions = new Map();
  #socket = null;
  #wasRegistered = false;
  #attempts = 0;
  #timers = { register: 0, retry: 0, ack: 0, watchdog: 0 };

  /**
   * @param {string} url ws:// or wss://
   * @param {import("./peer-id.js").Identity} identity
   * @param {string | null} [token] of the server's operator
   */
  constructor(url, identity, token = null) {
    super();
    this.#url = url;
    this.#identity = identity;
    this.#token = token;
    /** @type {SignalingState} */
    this.state = "connecting";
    /** @type {PageError | null} why it isn't registered */
    this.error = null;
    /** @type {string | null} a warning of the server, for people */
    this.notice = null;
  }

  /** @returns {string} our peer id */
  get peerId() {
    return this.#identity.peerId;
  }

  /** Connect now: at first, or instead of waiting for the next attempt. */
  connect() {
    if (this.#socket !== null || this.state === "refused" || this.state === "closed") return;
    clearTimeout(this.#timers.retry);
    this.#attempts += 1;
    const socket = new WebSocket(this.#url, SUBPROTOCOL);
    this.#socket = socket;
    this.#timers.register = setTimeout(() => this.#lost(new PageError("server-down", "no answer")), REGISTER_TIMEOUT);
    socket.onmessage = ({ data }) => this.#received(socket, data);
    socket.onclose = ({ code, reason }) => {
      const detail = `the connection was closed (code ${code}${reason ? `: ${reason}` : ""})`;
      this.#lost(new PageError("server-down", detail));
    };
  }

  /**
   * Connect with this token, after the server has refused us without it.
   *
   * @param {string} token
   */
  useToken(token) {
    this.#token = token;
    if (this.state !== "refused") return;
    this.#setState("connecting", null);
    this.connect();
  }

  /** Leave: the server forgets us at once. */
  close() {
    for (const session of this.#sessions.values()) session.close();
    this.#dropSocket(CLOSE_NORMAL);
    clearTimeout(this.#timers.retry);
    this.#setState("closed", null);
  }

  /**
   * Wait until we are registered, or the attempt that is under way has failed.
   *
   * @param {AbortSignal} signal
   * @returns {Promise<void>}
   * @throws {PageError} if it has, or if the server refuses us
   */
  async ready(signal) {
    this.connect();
    if (this.state === "registered") return;
    if (this.#socket !== null) await nextEvent(this, "statechange", signal);
    if (this.state !== "registered") throw this.error ?? new PageError("server-down");
  }

  /**
   * Begin a session with a peer. The peer learns of it by the first signal.
   *
   * @param {string} peer
   * @returns {Session}
   */
  open(peer) {
    const session = new Session(this, peer, newSessionId());
    this.#sessions.set(keyOf(peer, session.id), session);
    return session;
  }

  /** For sessions: send a message. */
  push(envelope) {
    if (!this.#channel.push(envelope)) {
      throw new PageError("server-down", "it acknowledges nothing, and the queue for it is full");
    }
    this.#flush();
  }

  /** For sessions: this one is over. */
  forget(session) {
    this.#sessions.delete(keyOf(session.peer, session.id));
  }

  #received(socket, frame) {
    if (socket !== this.#socket) return;
    try {
      this.#handle(socket, parseServerMessage(frame));
    } catch (error) {
      if (!(error instanceof InvalidMessage)) throw error;
      this.#lost(new PageError("server-broken", error.message));
    }
  }

  #handle(socket, message) {
    const isRegistered = this.state === "registered";
    switch (message.kind) {
      case "challenge":
        if (isRegistered) throw new InvalidMessage("a challenge in between");
        this.#register(socket, message.nonce);
        break;
      case "registered":
        if (isRegistered) throw new InvalidMessage("a registration in between");
        this.#resume(message);
        break;
      case "failure":
        this.#refused(message.data);
        break;
      default:
        if (!isRegistered) throw new InvalidMessage("a message before the registration");
        this.#acknowledged(message.ack);
        if (message.kind === "ack") break;
        if (this.#channel.accept(message.seq)) this.#dispatch(message);
        this.#scheduleAck();
    }
  }

  async #register(socket, nonce) {
    const { peerId, publicKey } = this.#identity;
    const signature = await this.#identity.sign(registerPayload(nonce, peerId));
    if (socket !== this.#socket) return;
    this.#transmit({
      type: "register",
      peer: peerId,
      public_key: encodeBase64(publicKey),
      signature: encodeBase64(signature),
      instance: this.#instance,
      ...(this.#wasRegistered ? { received: this.#channel.received } : {}),
      ...(this.#token === null ? {} : { token: this.#token }),
    });
  }

  #resume({ resumed, received, notice }) {
    clearTimeout(this.#timers.register);
    if (resumed) {
      this.#channel.resume(received);
    } else {
      this.#channel = new ReliableChannel();
      for (const session of this.#sessions.values()) {
        for (const envelope of session.sent) this.#channel.push(envelope);
      }
    }
    this.#wasRegistered = true;
    this.#attempts = 0;
    this.notice = notice ?? null;
    this.#setState("registered", null);
    this.#flush();
  }

  #refused({ code, message }) {
    const detail = message ? `${message} (${code})` : code;
    const wantsToken = TOKEN_CODES.includes(code);
    if (!wantsToken && !FATAL_CODES.includes(code)) {
      this.#lost(new PageError("server-down", detail));
      return;
    }
    const error = new PageError(wantsToken ? "server-token" : "server-refused", detail);
    this.#dropSocket(CLOSE_UNUSABLE);
    for (const session of this.#sessions.values()) session.fail(error);
    this.#setState("refused", error);
  }

  /** This connection is over, or was never made; the next one follows. */
  #lost(error) {
    this.#dropSocket(CLOSE_UNUSABLE);
    this.#setState(this.#wasRegistered ? "reconnecting" : "connecting", error);
    // At random, lest all clients of a restarted server come at once.
    const pause = Math.min(RETRY_MAX, RETRY_FIRST * 2 ** this.#attempts) * (0.5 + Math.random() / 2);
    this.#timers.retry = setTimeout(() => this.connect(), pause);
  }

  #dropSocket(code) {
    const socket = this.#socket;
    this.#socket = null;
    for (const name of ["register", "ack", "watchdog"]) clearTimeout(this.#timers[name]);
    this.#timers.ack = 0;
    this.#timers.watchdog = 0;
    if (socket === null) return;
    // Not waited for: with a server that is gone it takes minutes.
    socket.onmessage = null;
    socket.onclose = null;
    socket.close(code);
  }

  #dispatch(message) {
    if (message.kind === "session-failure") {
      const { code, message: text } = message.data;
      this.#sessions.get(keyOf(message.peer, message.session))?.fail(sessionError(code, text));
      return;
    }
    if (message.to !== this.peerId) throw new InvalidMessage("to: a signal for another peer");
    const session = this.#sessions.get(keyOf(message.from, message.session));
    if (session !== undefined) session.feed(message);
    else this.#refuse(message);
  }

  /** This page dials and doesn't listen: tell who wants a session. */
  #refuse({ kind, from, session, index, signal }) {
    const type = kind === "signal" ? signal.type : null;
    if (type === "bye" || type === "error") return;
    const data =
      type === "offer" && index === 0
        ? { code: "not-listening", message: "this peer is a web page, which only dials" }
        : { code: "unknown-session", message: "there is no such session" };
    this.push({ type: "error", from: this.peerId, to: from, session, index: 0, data });
  }

  // --- acknowledgements ----------------------------------------------------------------------------------------------

  #flush() {
    if (this.state !== "registered") return;
    const messages = this.#channel.transmit();
    for (const message of messages) this.#transmit(message);
    if (messages.length > 0) this.#cancelAck();
    if (this.#channel.awaitsAck && this.#timers.watchdog === 0) {
      // Nothing else tells that a server has vanished: a page can't ping.
      const error = new PageError("server-down", "the server acknowledges nothing");
      this.#timers.watchdog = setTimeout(() => this.#lost(error), ACK_TIMEOUT);
    }
  }

  #acknowledged(ack) {
    this.#channel.acknowledge(ack);
    clearTimeout(this.#timers.watchdog);
    this.#timers.watchdog = 0;
  }

  #scheduleAck() {
    // What was dispatched may have replied, and the acknowledgement gone with it.
    if (this.#channel.owesAckNow) this.#sendAck();
    else if (this.#channel.owesAck) this.#timers.ack ||= setTimeout(() => this.#sendAck(), ACK_DELAY);
  }

  #sendAck() {
    this.#cancelAck();
    if (this.state === "registered") this.#transmit({ type: "ack", ack: this.#channel.takeAck() });
  }

  #cancelAck() {
    clearTimeout(this.#timers.ack);
    this.#timers.ack = 0;
  }

  #transmit(message) {
    this.#socket.send(JSON.stringify({ version: VERSION, ...message }));
  }

  #setState(state, error) {
    this.state = state;
    this.error = error;
    this.dispatchEvent(new Event("statechange"));
  }
}

function keyOf(peer, session) {
  return `${peer} ${session}`;
}
