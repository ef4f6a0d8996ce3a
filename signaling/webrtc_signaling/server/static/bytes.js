/** Encodings of bytes: varints (multiformats' unsigned-varint), base 58, 32 and 36, base64, hexadecimal, UTF-8. */

const MAX_VARINT_LENGTH = 9; // as multiformats' unsigned-varint demands
const BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz";
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const BASE64_PATTERN = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

const encoder = new TextEncoder();

/**
 * @param {string} text
 * @returns {Uint8Array} UTF-8
 */
export function utf8(text) {
  return encoder.encode(text);
}

/**
 * @param {...Uint8Array} parts
 * @returns {Uint8Array}
 */
export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/**
 * @param {Uint8Array} a
 * @param {Uint8Array} b
 * @returns {boolean}
 */
export function equal(a, b) {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/**
 * @param {Uint8Array} bytes
 * @returns {string} lower-case hexadecimal
 */
export function toHex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {Uint8Array} bytes
 * @returns {Promise<Uint8Array>}
 */
export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/**
 * @param {number} value an integer from 0
 * @returns {Uint8Array}
 */
export function encodeVarint(value) {
  const bytes = [];
  while (value >= 0x80) {
    bytes.push((value % 0x80) | 0x80);
    value = Math.floor(value / 0x80);
  }
  bytes.push(value);
  return Uint8Array.from(bytes);
}

/**
 * Decode the varint at `offset`. Beyond 2^53 the value is not exact, but far over all that is allowed anywhere.
 *
 * @param {Uint8Array} data
 * @param {number} offset
 * @returns {{value: number, next: number} | null} `null` if `data` ends before the varint does
 * @throws {RangeError} if it is too long, or longer than it needs to be
 */
export function decodeVarint(data, offset) {
  let value = 0;
  let scale = 1;
  for (let length = 1; length <= MAX_VARINT_LENGTH; length += 1, offset += 1, scale *= 0x80) {
    if (offset >= data.length) return null;
    const byte = data[offset];
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if (byte === 0 && length > 1) throw new RangeError("a varint has superfluous zeros at its end");
      return { value, next: offset + 1 };
    }
  }
  throw new RangeError(`a varint has more than ${MAX_VARINT_LENGTH} bytes`);
}

/**
 * @param {Uint8Array} bytes
 * @returns {string} base58btc
 */
export function encodeBase58(bytes) {
  const digits = [];
  for (let carry of bytes) {
    for (let i = 0; i < digits.length; i += 1) {
      carry += digits[i] * 256;
      digits[i] = carry % 58;
      carry = Math.floor(carry / 58);
    }
    for (; carry > 0; carry = Math.floor(carry / 58)) digits.push(carry % 58);
  }
  const zeros = leading(bytes, 0);
  return BASE58[0].repeat(zeros) + digits.reverse().map((digit) => BASE58[digit]).join("");
}

/**
 * @param {string} text base58btc
 * @returns {Uint8Array}
 * @throws {RangeError} if a character is not of the alphabet
 */
export function decodeBase58(text) {
  return decodeBase(text, BASE58);
}

/**
 * @param {string} text base36 in lower case
 * @returns {Uint8Array}
 * @throws {RangeError} if a character is not of the alphabet
 */
export function decodeBase36(text) {
  return decodeBase(text, BASE36);
}

/**
 * @param {string} text base32 (RFC 4648) in lower case, without padding
 * @returns {Uint8Array}
 * @throws {RangeError} if it is malformed
 */
export function decodeBase32(text) {
  const bytes = [];
  let bits = 0;
  let buffer = 0;
  for (const character of text) {
    buffer = (buffer << 5) | digitOf(character, BASE32);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push(buffer >> bits);
      buffer &= (1 << bits) - 1;
    }
  }
  if (bits >= 5 || buffer !== 0) throw new RangeError("the base32 text has a remainder");
  return Uint8Array.from(bytes);
}

/**
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function encodeBase64(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

/**
 * @param {string} text base64 with padding, and nothing else
 * @returns {Uint8Array}
 * @throws {RangeError} if it is malformed
 */
export function decodeBase64(text) {
  if (!BASE64_PATTERN.test(text)) throw new RangeError("this is no base64");
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function decodeBase(text, alphabet) {
  const bytes = []; // least significant first
  for (const character of text) {
    let carry = digitOf(character, alphabet);
    for (let i = 0; i < bytes.length; i += 1) {
      carry += bytes[i] * alphabet.length;
      bytes[i] = carry & 0xff;
      carry >>= 8;
    }
    if (carry > 0) bytes.push(carry);
  }
  const zeros = leading(text, alphabet[0]);
  return Uint8Array.from([...new Array(zeros).fill(0), ...bytes.reverse()]);
}

function digitOf(character, alphabet) {
  const digit = alphabet.indexOf(character);
  if (digit < 0) throw new RangeError(`the character ${JSON.stringify(character)} is not allowed here`);
  return digit;
}

function leading(items, value) {
  let count = 0;
  while (count < items.length && items[count] === value) count += 1;
  return count;
}
