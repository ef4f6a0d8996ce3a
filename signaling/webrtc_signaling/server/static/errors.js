/** What can go wrong, in words for people: what happened, and what to do about it. */

import { MAX_REASON_LENGTH } from "./limits.js";

/**
 * @typedef {object} Explanation
 * @property {string} title what happened
 * @property {string} cure what to do about it
 */

/** @type {Record<string, Explanation>} */
const EXPLANATIONS = {
  "insecure-page": {
    title: "The browser treats this page as insecure",
    cure:
      "Browsers give cryptography to secure pages only. Open this page over https, or by a name of this machine: " +
      "http://localhost with the same port.",
  },
  "no-webrtc": {
    title: "This browser has no WebRTC",
    cure:
      "Use a current Chromium, Chrome, Edge, Firefox or Safari. In Firefox, media.peerconnection.enabled may be " +
      "switched off in about:config, and some privacy extensions remove WebRTC.",
  },
  "no-ed25519": {
    title: "This browser can't make Ed25519 keys",
    cure:
      "The page needs one for its libp2p identity. Update the browser: Chrome and Edge have had them since " +
      "version 137, Firefox since 129, Safari since 17.",
  },
  "bad-peer-id": {
    title: "That is no peer id",
    cure: "Copy it again from the peer that you want to reach. It looks like 12D3KooW… or /webrtc/p2p/12D3KooW…",
  },
  "own-peer-id": {
    title: "That is this page's own peer id",
    cure: "Enter the peer id of another peer: one that listens, and that sends back what it receives.",
  },
  "unsupported-key": {
    title: "That peer's identity is not an Ed25519 key",
    cure:
      "This page verifies Ed25519 identities only (peer ids that begin with 12D3KooW). Give the peer an Ed25519 key, " +
      "or dial it from Python, which verifies RSA, secp256k1 and ECDSA too.",
  },
  "server-down": {
    title: "The signaling server doesn't answer",
    cure:
      "It introduces the two ends to each other. Is webrtc-signaling serve still running, on the machine that this " +
      "page came from? The page keeps trying.",
  },
  "server-refused": {
    title: "The signaling server refused this page",
    cure: "Reload the page. If that doesn't help, the server and the page may be of different versions.",
  },
  "server-token": {
    title: "The signaling server wants a token",
    cure: "It is for those whom its operator knows. Ask the operator for a token, or for another one, and enter it here.",
  },
  "server-broken": {
    title: "The signaling server sent something that it shouldn't",
    cure: "The server and the page may be of different versions: reload the page. It keeps trying.",
  },
  "peer-unknown": {
    title: "The signaling server doesn't know that peer",
    cure:
      "Is the peer running, with the same signaling server as this page? Is the peer id complete? A peer without a " +
      "saved key has a new id after each start.",
  },
  "peer-gone": {
    title: "The peer has left the signaling server",
    cure: "Start it again, and connect again. A peer without a saved key has a new id after each start.",
  },
  "peer-not-listening": {
    title: "The peer is there, but it doesn't listen",
    cure: "It only dials. Start it so that it listens, for example with webrtc_echo.py --listen.",
  },
  "peer-busy": {
    title: "The peer, or the server, has too much to do",
    cure: "Wait a moment, and connect again.",
  },
  "peer-silent": {
    title: "The peer doesn't answer",
    cure: "It is known to the signaling server, but sends no answer. Is its process stuck, or its network gone?",
  },
  "peer-refused": {
    title: "The peer refused the connection",
    cure: "Its log says more.",
  },
  "peer-gave-up": {
    title: "The peer gave up",
    cure: "It could not connect from its side; the details are its own words. Its log says more.",
  },
  "offer-refused": {
    title: "The peer doesn't trust this page's offer",
    cure:
      "Most often that is because the clocks of the two machines differ: set both, and connect again. If they are " +
      "right, somebody on the way changed the offer.",
  },
  "invalid-proof": {
    title: "The answer is not from that peer",
    cure:
      "Its signature doesn't prove the peer id, so the page hung up: somebody on the way may have changed the " +
      "answer. Check the peer id, and don't trust this signaling server until you know why.",
  },
  "wrong-clock": {
    title: "The clocks of the two machines differ",
    cure: "Set the clock of this machine, and of the peer's, and connect again.",
  },
  "invalid-answer": {
    title: "The peer's answer makes no sense",
    cure: "The peer may run another version of this software.",
  },
  "ice-failed": {
    title: "No path between the two machines works",
    cure:
      "The peer answered, but no packet came through. UDP may be blocked by a firewall or a VPN. Machines behind " +
      "two strict NATs need a TURN server, which this page doesn't use.",
  },
  "dtls-failed": {
    title: "The encrypted connection could not be set up",
    cure:
      "The peer was reached, but then its process ended, something cut the handshake, or its certificate isn't the " +
      "one that it signed. Connect again; if it happens again, look at the peer's log.",
  },
  "sctp-failed": {
    title: "The data channel could not be opened",
    cure: "The encrypted connection stands, but the peer doesn't take data channels. Its log may say why.",
  },
  "timed-out": {
    title: "It took too long to connect",
    cure: "Connect again. If it happens again, look at the peer's log.",
  },
  "peer-closed": {
    title: "The peer closed the connection",
    cure: "That is no fault. Connect again if you need it, once the peer is there again.",
  },
  "connection-lost": {
    title: "The connection is lost",
    cure: "The peer stopped answering. Is its process still running, and its network up? Connect again.",
  },
  "no-echo": {
    title: "The peer doesn't send back what it gets",
    cure: "Echo, round trip and transfer need an echo peer, for example webrtc_echo.py --listen.",
  },
  "stream-failed": {
    title: "The stream broke off",
    cure: "The connection itself may be fine: try again. The peer's log may say why.",
  },
  internal: {
    title: "Something went wrong in this page",
    cure: "Reload it. The browser's console says more; please report it.",
  },
};

/** An error with an explanation for people. */
export class PageError extends Error {
  /**
   * @param {string} code a key of the explanations
   * @param {string} [detail] what exactly happened, for those who want to know
   */
  constructor(code, detail = "") {
    super(detail.slice(0, MAX_REASON_LENGTH));
    this.name = "PageError";
    this.code = code;
  }

  /** @returns {string} what happened */
  get title() {
    return EXPLANATIONS[this.code].title;
  }

  /** @returns {string} what to do about it */
  get cure() {
    return EXPLANATIONS[this.code].cure;
  }
}

/**
 * Any error as one that people can read.
 *
 * @param {unknown} error
 * @returns {PageError}
 */
export function toPageError(error) {
  return error instanceof PageError ? error : new PageError("internal", String(error));
}

const SIGNALING_CODES = {
  "peer-not-found": "peer-unknown",
  "peer-gone": "peer-gone",
  undeliverable: "peer-gone",
  "not-listening": "peer-not-listening",
  busy: "peer-busy",
  "peer-busy": "peer-busy",
  "too-many-sessions": "peer-busy",
  "connect-failed": "peer-gave-up",
  "invalid-proof": "offer-refused",
};

/**
 * The error for what the server, or the peer, says about a session.
 *
 * @param {string} code
 * @param {string} message
 * @returns {PageError}
 */
export function sessionError(code, message) {
  const known = Object.hasOwn(SIGNALING_CODES, code) ? SIGNALING_CODES[code] : "peer-refused";
  return new PageError(known, message ? `${message} (${code})` : code);
}
