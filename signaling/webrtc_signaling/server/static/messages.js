/**
 * The messages of the rendezvous server, checked as they arrive: the JavaScript side of webrtc_signaling/messages.py,
 * which describes the protocol.
 */

import { utf8 } from "./bytes.js";
import {
  MAX_CANDIDATE_LENGTH,
  MAX_MESSAGE_SIZE,
  MAX_PEER_ID_LENGTH,
  MAX_PROOF_KEY_LENGTH,
  MAX_PROOF_SIGNATURE_LENGTH,
  MAX_REASON_LENGTH,
  MAX_SDP_LENGTH,
  MAX_SESSION_SIGNALS,
} from "./limits.js";

export const VERSION = 1;
export const SUBPROTOCOL = "webrtc-signaling.v1.json";

const SIGNAL_TYPES = ["offer", "answer", "candidate", "bye", "error"];
const TOKEN = /^[A-Za-z0-9_-]{16,64}$/;
const PEER = /^[1-9A-HJ-NP-Za-km-z]+$/;
const CODE = /^[a-z][a-z0-9-]*$/;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const MAX_CODE_LENGTH = 64;
const MAX_GRACE = 86_400;

/**
 * @typedef {object} Signal
 * @property {"offer" | "answer" | "candidate" | "bye" | "error"} type
 * @property {object | null} data what a browser's toJSON() gives, or `{reason}`, or `{code, message}`
 * @property {import("./proof.js").Proof} [proof]
 */

/**
 * What the server sent. `kind` says which of the others are there. `seq` numbers signals and failures of sessions.
 *
 * @typedef {object} ServerMessage
 * @property {"challenge" | "registered" | "ack" | "failure" | "session-failure" | "signal" | "malformed"} kind
 * @property {number} [seq]
 * @property {number} [ack]
 * @property {string} [nonce]
 * @property {boolean} [resumed]
 * @property {number} [received]
 * @property {string} [notice]
 * @property {string} [from]
 * @property {string} [to]
 * @property {string} [peer]
 * @property {string} [session]
 * @property {number} [index]
 * @property {Signal} [signal]
 * @property {{code: string, message: string}} [data]
 * @property {string} [reason]
 */

/** The message is none of this protocol. */
export class InvalidMessage extends Error {}

/**
 * What a client signs to register. It names its use, so the signature is good for nothing else.
 *
 * @param {string} nonce
 * @param {string} peer
 * @returns {Uint8Array}
 */
export function registerPayload(nonce, peer) {
  return utf8(["webrtc-signaling-register/1", nonce, peer].join("\n"));
}

/**
 * Take a text frame of the server apart. Fields that are unknown are left out.
 *
 * @param {unknown} frame
 * @returns {ServerMessage}
 * @throws {InvalidMessage} naming the first field that is wrong
 */
export function parseServerMessage(frame) {
  check(typeof frame === "string", "a message is text");
  check(frame.length <= MAX_MESSAGE_SIZE, `a message has ${MAX_MESSAGE_SIZE} characters at most`);
  const fields = parseJson(frame);
  check(fields.version === VERSION, `this page speaks version ${VERSION} of the protocol`);
  const { type } = fields;
  if (type === "challenge") return { kind: "challenge", nonce: token(fields, "nonce") };
  if (type === "registered") return parseRegistered(fields);
  if (type === "ack") return { kind: "ack", ack: count(fields, "ack") };
  if (type === "error" && !("from" in fields)) {
    const data = parseError(fields.data);
    if (!("session" in fields)) return { kind: "failure", data };
    return {
      kind: "session-failure",
      ...numbers(fields),
      peer: peer(fields, "peer"),
      session: token(fields, "session"),
      data,
    };
  }
  check(SIGNAL_TYPES.includes(type), "type: this is no message of a server");
  const route = {
    ...numbers(fields),
    from: peer(fields, "from"),
    to: peer(fields, "to"),
    session: token(fields, "session"),
    index: count(fields, "index", MAX_SESSION_SIGNALS - 1),
  };
  try {
    return { kind: "signal", ...route, signal: parseSignal(fields) };
  } catch (error) {
    if (!(error instanceof InvalidMessage)) throw error;
    // The route is valid, so only the session has to end.
    return { kind: "malformed", ...route, reason: error.message };
  }
}

function parseJson(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InvalidMessage("this is no JSON");
  }
  check(isMap(value), "a message is a map");
  return value;
}

function parseRegistered(fields) {
  check(typeof fields.resumed === "boolean", "resumed");
  check(typeof fields.proven === "boolean", "proven");
  check(Number.isFinite(fields.grace) && fields.grace >= 0 && fields.grace <= MAX_GRACE, "grace");
  const notice = fields.notice ?? undefined;
  check(notice === undefined || isText(notice, MAX_REASON_LENGTH), "notice");
  return { kind: "registered", resumed: fields.resumed, received: count(fields, "received"), notice };
}

/** @returns {Signal} */
function parseSignal({ type, data, proof }) {
  if (type === "offer" || type === "answer") return parseDescription(type, data, proof);
  if (type === "candidate") return { type, data: parseCandidate(data) };
  if (type === "error") return { type, data: parseError(data) };
  check(isMap(data), "data");
  const reason = data.reason ?? "";
  check(isText(reason, MAX_REASON_LENGTH), "data.reason");
  return { type: "bye", data: { reason } };
}

function parseDescription(type, data, proof) {
  check(isMap(data) && data.type === type, "data.type");
  check(isText(data.sdp, MAX_SDP_LENGTH), "data.sdp");
  const description = { type, data: { type, sdp: data.sdp } };
  if (proof === undefined || proof === null) return description;
  check(isMap(proof), "proof");
  return {
    ...description,
    proof: {
      public_key: base64(proof, "public_key", MAX_PROOF_KEY_LENGTH),
      signature: base64(proof, "signature", MAX_PROOF_SIGNATURE_LENGTH),
      issued_at: count(proof, "issued_at"),
    },
  };
}

function parseCandidate(data) {
  if (data === null || data === undefined) return null;
  check(isMap(data), "data");
  const { candidate, sdpMid = null, sdpMLineIndex = null, usernameFragment = null } = data;
  check(isText(candidate, MAX_CANDIDATE_LENGTH), "data.candidate");
  check(sdpMid === null || isText(sdpMid, 16), "data.sdpMid");
  check(sdpMLineIndex === null || isCount(sdpMLineIndex, 255), "data.sdpMLineIndex");
  check(usernameFragment === null || isText(usernameFragment, 256), "data.usernameFragment");
  return { candidate, sdpMid, sdpMLineIndex, usernameFragment };
}

function parseError(data) {
  check(isMap(data), "data");
  check(isText(data.code, MAX_CODE_LENGTH) && CODE.test(data.code), "data.code");
  const message = data.message ?? "";
  check(isText(message, MAX_REASON_LENGTH), "data.message");
  return { code: data.code, message };
}

function numbers(fields) {
  const seq = count(fields, "seq");
  check(seq >= 1, "seq");
  return { seq, ack: count(fields, "ack") };
}

function token(fields, name) {
  check(isText(fields[name], 64) && TOKEN.test(fields[name]), name);
  return fields[name];
}

function peer(fields, name) {
  check(isText(fields[name], MAX_PEER_ID_LENGTH) && PEER.test(fields[name]), name);
  return fields[name];
}

function count(fields, name, most = Number.MAX_SAFE_INTEGER) {
  check(isCount(fields[name], most), name);
  return fields[name];
}

function base64(fields, name, maxBytes) {
  const text = fields[name];
  const maxLength = Math.ceil(maxBytes / 3) * 4;
  check(isText(text, maxLength) && text.length % 4 === 0 && BASE64.test(text), `proof.${name}`);
  return text;
}

function isMap(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value, maxLength) {
  return typeof value === "string" && value.length <= maxLength;
}

function isCount(value, most) {
  return Number.isSafeInteger(value) && value >= 0 && value <= most;
}

function check(condition, what) {
  if (!condition) throw new InvalidMessage(what);
}
