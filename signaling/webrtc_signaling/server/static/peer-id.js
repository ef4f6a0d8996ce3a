/** Who a peer is: libp2p's peer ids (libp2p specs, peer-ids/peer-ids.md) of Ed25519 keys, and this page's own key. */

import { concat, decodeBase32, decodeBase36, decodeBase58, encodeBase58, equal } from "./bytes.js";
import { PageError } from "./errors.js";
import { MAX_PEER_ID_LENGTH } from "./limits.js";

/** Multihash code of data that stands for itself, and of SHA-256. */
const IDENTITY_CODE = 0x00;
const SHA256_CODE = 0x12;
const SHA256_LENGTH = 32;
const MAX_INLINE_KEY = 42;

/** The message PublicKey{type=1: Ed25519 (1), data=2: 32 bytes}: it has one valid encoding. */
const ED25519_HEADER = Uint8Array.of(0x08, 0x01, 0x12, 0x20);
const ED25519_LENGTH = 32;

/** CID version 1, content type libp2p-key. */
const CID_PREFIX = Uint8Array.of(0x01, 0x72);

const MULTIBASES = { z: decodeBase58, b: decodeBase32, k: decodeBase36 };

/** A private key: the peer that this page speaks for. It lives as long as the page. */
export class Identity {
  #privateKey;

  constructor(privateKey, publicKey) {
    this.#privateKey = privateKey;
    /** libp2p's PublicKey message. */
    this.publicKey = concat(ED25519_HEADER, publicKey);
    this.peerId = peerIdOf(this.publicKey);
  }

  /**
   * Make a new identity. Its private key can't leave the browser.
   *
   * @returns {Promise<Identity>}
   * @throws {PageError} if the browser can't
   */
  static async generate() {
    const subtle = globalThis.crypto?.subtle;
    if (!subtle) throw new PageError("insecure-page");
    try {
      const { privateKey, publicKey } = await subtle.generateKey("Ed25519", false, ["sign", "verify"]);
      return new Identity(privateKey, new Uint8Array(await subtle.exportKey("raw", publicKey)));
    } catch (error) {
      throw new PageError("no-ed25519", String(error));
    }
  }

  /**
   * @param {Uint8Array} data
   * @returns {Promise<Uint8Array>} the signature
   */
  async sign(data) {
    return new Uint8Array(await crypto.subtle.sign("Ed25519", this.#privateKey, data));
  }
}

/**
 * @param {Uint8Array} publicKey libp2p's PublicKey message of an Ed25519 key
 * @returns {string} the peer id, in base58btc
 */
export function peerIdOf(publicKey) {
  return encodeBase58(concat(Uint8Array.of(IDENTITY_CODE, publicKey.length), publicKey));
}

/**
 * Find the peer id in what a person entered: the id itself, or a multiaddr that ends in it.
 *
 * @param {string} text
 * @returns {string} the peer id, in base58btc
 * @throws {PageError} if there is none, or if it isn't of an Ed25519 key
 */
export function parseTarget(text) {
  const trimmed = text.trim();
  if (trimmed === "") throw new PageError("bad-peer-id", "nothing was entered");
  if (!trimmed.startsWith("/")) return parsePeerId(trimmed);
  const match = /^(?:\/webrtc)?\/p2p\/([^/]+)\/?$/.exec(trimmed);
  if (match === null) {
    throw new PageError("bad-peer-id", "this page dials addresses of the form /webrtc/p2p/<peer id>, and no others");
  }
  return parsePeerId(match[1]);
}

/**
 * @param {string} text base58btc (12D3KooW…), or a CID in base32, base36 or base58 (bafz…, k51…)
 * @returns {string} the same peer id in base58btc
 * @throws {PageError} if it is malformed, or if it isn't of an Ed25519 key
 */
export function parsePeerId(text) {
  if (text.length > MAX_PEER_ID_LENGTH) {
    throw new PageError("bad-peer-id", `a peer id has ${MAX_PEER_ID_LENGTH} characters at most`);
  }
  let multihash;
  try {
    multihash = decodeMultihash(text);
  } catch (error) {
    throw new PageError("bad-peer-id", error.message);
  }
  const [code, length] = multihash;
  const digest = multihash.subarray(2);
  const isHash = code === SHA256_CODE && length === SHA256_LENGTH && digest.length === length;
  const isKey = code === IDENTITY_CODE && digest.length === length && length > 0 && length <= MAX_INLINE_KEY;
  if (!isHash && !isKey) throw new PageError("bad-peer-id", "it is incomplete, or has a character too many");
  // A hash stands for a key of more than 42 bytes, and an Ed25519 key has 36.
  if (isHash) throw new PageError("unsupported-key", "the peer id is the hash of a larger key, such as RSA");
  ed25519KeyOf(digest);
  return encodeBase58(multihash);
}

/**
 * @param {Uint8Array} publicKey libp2p's PublicKey message
 * @returns {Uint8Array} the raw Ed25519 key
 * @throws {PageError} if it is of another kind
 */
export function ed25519KeyOf(publicKey) {
  const header = publicKey.subarray(0, ED25519_HEADER.length);
  const key = publicKey.subarray(ED25519_HEADER.length);
  if (!equal(header, ED25519_HEADER) || key.length !== ED25519_LENGTH) {
    throw new PageError("unsupported-key", "the public key is not an Ed25519 key in libp2p's encoding");
  }
  return key;
}

function decodeMultihash(text) {
  if (text.startsWith("1") || text.startsWith("Qm")) return decodeBase58(text);
  const decode = Object.hasOwn(MULTIBASES, text[0]) ? MULTIBASES[text[0]] : null;
  if (decode === null) throw new RangeError("it begins like no peer id");
  const cid = decode(text.slice(1));
  if (!equal(cid.subarray(0, 2), CID_PREFIX)) throw new RangeError("it is no CID of a libp2p key");
  return cid.subarray(2);
}
