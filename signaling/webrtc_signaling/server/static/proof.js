/**
 * Signatures over session descriptions, by which two peers need not trust the server between them: the JavaScript side
 * of webrtc_transport/protocol/proof.py.
 */

import { decodeBase64, encodeBase64, sha256, toHex, utf8 } from "./bytes.js";
import { PageError } from "./errors.js";
import { MAX_PROOF_AGE } from "./limits.js";
import { ed25519KeyOf, peerIdOf } from "./peer-id.js";

const CONTEXT = "webrtc-signaling-proof/1";
const SESSION_ID_BYTES = 16;

/**
 * @typedef {object} Proof
 * @property {string} public_key libp2p's PublicKey message in base64
 * @property {string} signature in base64
 * @property {number} issued_at milliseconds since 1970
 */

/**
 * @typedef {object} Description what is signed, and for whom
 * @property {"offer" | "answer"} kind
 * @property {string} session
 * @property {string} sender peer id
 * @property {string} receiver peer id
 * @property {string} sdp
 */

/** @returns {string} a session id that nobody can guess: 22 characters, 128 random bits */
export function newSessionId() {
  const bytes = crypto.getRandomValues(new Uint8Array(SESSION_ID_BYTES));
  return encodeBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * What a proof signs.
 *
 * @param {Description} description
 * @param {number} issuedAt milliseconds since 1970
 * @returns {Promise<Uint8Array>}
 */
export async function proofPayload({ kind, session, sender, receiver, sdp }, issuedAt) {
  const digest = toHex(await sha256(utf8(sdp)));
  return utf8([CONTEXT, kind, session, sender, receiver, String(issuedAt), digest].join("\n"));
}

/**
 * @param {import("./peer-id.js").Identity} identity
 * @param {Description} description
 * @returns {Promise<Proof>}
 */
export async function signDescription(identity, description) {
  const issuedAt = Date.now();
  const signature = await identity.sign(await proofPayload(description, issuedAt));
  return { public_key: encodeBase64(identity.publicKey), signature: encodeBase64(signature), issued_at: issuedAt };
}

/**
 * Check that the sender made this description for the receiver in this session, just now. Nothing here remembers
 * answers: one is bound to the session id of our offer, and an offer has one answer.
 *
 * @param {Proof | undefined} proof
 * @param {Description} description
 * @param {number} [now] milliseconds since 1970
 * @returns {Promise<void>}
 * @throws {PageError} if not
 */
export async function verifyDescription(proof, description, now = Date.now()) {
  const { kind, sender, sdp } = description;
  if (proof === undefined) throw new PageError("invalid-proof", `the ${kind} is not signed`);
  const age = now - proof.issued_at;
  if (Math.abs(age) > MAX_PROOF_AGE) {
    const direction = age > 0 ? "ago" : "in the future";
    const seconds = Math.round(Math.abs(age) / 1000);
    throw new PageError("wrong-clock", `by our clock, the ${kind} was signed ${seconds} s ${direction}`);
  }
  if (!sdp.isWellFormed()) throw new PageError("invalid-proof", `the ${kind} is no Unicode text`);
  const message = decodeBase64(proof.public_key);
  if (peerIdOf(message) !== sender) {
    throw new PageError("invalid-proof", `the ${kind} is signed by ${peerIdOf(message)}, not by ${sender}`);
  }
  const rawKey = ed25519KeyOf(message);
  const payload = await proofPayload(description, proof.issued_at);
  if (!(await verifySignature(rawKey, decodeBase64(proof.signature), payload))) {
    throw new PageError("invalid-proof", `the signature of the ${kind} is wrong`);
  }
}

async function verifySignature(rawKey, signature, payload) {
  try {
    const key = await crypto.subtle.importKey("raw", rawKey, "Ed25519", false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", key, signature, payload);
  } catch {
    // A key or a signature that is malformed may be an exception instead of false.
    return false;
  }
}
