/**
 * The frames that libp2p puts on a data channel (libp2p specs, webrtc/README.md, "Multiplexing"): a varint with the
 * length of the body, then the body, a protobuf message of an optional flag (field 1) and optional payload (field 2).
 * A channel carries one byte stream of them in each direction; its message boundaries mean nothing.
 */

import { concat, decodeVarint, encodeVarint } from "./bytes.js";
import { MAX_FRAME_LENGTH } from "./limits.js";

/** What a frame says about its stream, beside data. */
export const Flag = Object.freeze({ FIN: 0, STOP_SENDING: 1, RESET: 2, FIN_ACK: 3 });

const FLAG_TAG = 0x08;
const PAYLOAD_TAG = 0x12;
const NOTHING = new Uint8Array(0);
const MAX_SKIPPED_VARINT_LENGTH = 10;

/**
 * A frame. If it has both parts, the payload comes before what the flag says.
 *
 * @typedef {object} Frame
 * @property {number | null} flag
 * @property {Uint8Array} payload
 */

/** The peer broke the framing: the beginning of the next frame is unknown. */
export class FramingError extends Error {}

/**
 * @param {Uint8Array} payload
 * @returns {Uint8Array} the frame, with its length prefix
 */
export function encodeData(payload) {
  return encodeFrame(concat(Uint8Array.of(PAYLOAD_TAG), encodeVarint(payload.length), payload));
}

/**
 * @param {number} flag
 * @returns {Uint8Array} the frame, with its length prefix
 */
export function encodeFlag(flag) {
  return encodeFrame(Uint8Array.of(FLAG_TAG, flag));
}

function encodeFrame(body) {
  const frame = concat(encodeVarint(body.length), body);
  if (frame.length > MAX_FRAME_LENGTH) throw new RangeError(`a frame has ${MAX_FRAME_LENGTH} bytes at most`);
  return frame;
}

/** Cuts the messages of one channel into frames. */
export class FrameDecoder {
  #partial = new Uint8Array(MAX_FRAME_LENGTH);
  #length = 0;

  /**
   * Take the next message of the channel.
   *
   * @param {Uint8Array} data
   * @returns {Frame[]} the frames that are complete with it; they may share memory with `data`
   * @throws {FramingError} if a length is malformed or over the limit, or a body isn't the protobuf message
   */
  feed(data) {
    const frames = [];
    while (data.length > 0) {
      let whole = data;
      if (this.#length > 0) {
        const taken = data.subarray(0, this.#missing());
        this.#partial.set(taken, this.#length);
        this.#length += taken.length;
        data = data.subarray(taken.length);
        whole = this.#partial.slice(0, this.#length);
      }
      const { start, end } = measure(whole);
      if (end > whole.length) {
        if (this.#length > 0) continue;
        this.#partial.set(data);
        this.#length = data.length;
        break;
      }
      if (this.#length > 0) this.#length = 0;
      else data = data.subarray(end);
      const frame = decodeBody(whole.subarray(start, end));
      // Flags of unknown values are left out, and frames that then say nothing.
      if (frame.payload.length > 0 || frame.flag !== null) frames.push(frame);
    }
    return frames;
  }

  /** Bytes that the partial frame certainly lacks. */
  #missing() {
    return measure(this.#partial.subarray(0, this.#length)).end - this.#length;
  }
}

/**
 * Where the body of the frame at the beginning of `data` starts, and where it ends, which may be behind the end of
 * `data`. If the length is incomplete, that is by one byte, and the start is unknown.
 */
function measure(data) {
  const length = guarded(() => decodeVarint(data, 0), "length of a frame");
  if (length === null) return { start: 0, end: data.length + 1 };
  const end = length.next + length.value;
  if (end > MAX_FRAME_LENGTH) {
    throw new FramingError(`a frame has ${end} bytes, over the limit of ${MAX_FRAME_LENGTH}`);
  }
  return { start: length.next, end };
}

/** @returns {Frame} */
function decodeBody(body) {
  let flag = null;
  let payload = NOTHING;
  let offset = 0;
  while (offset < body.length) {
    const tag = body[offset];
    if (tag === PAYLOAD_TAG) {
      const size = varintAt(body, offset + 1);
      offset = size.next + size.value;
      payload = body.subarray(size.next, offset);
    } else if (tag === FLAG_TAG) {
      ({ value: flag, next: offset } = varintAt(body, offset + 1));
    } else {
      offset = skipField(body, offset);
    }
  }
  if (offset > body.length) throw new FramingError("body of a frame: it ends inside of a field");
  return { flag: flag !== null && flag <= Flag.FIN_ACK ? flag : null, payload };
}

/** Where the unknown field at `offset` ends; that may be behind the end of `body`. */
function skipField(body, offset) {
  const { value: tag, next } = varintAt(body, offset);
  const number = Math.floor(tag / 8);
  if (number <= 2) throw new FramingError(`body of a frame: field ${number} has the wrong type`);
  // The type is in the lowest bits of the first byte, also of a tag that is too large to be exact.
  switch (body[offset] % 8) {
    case 0:
      return skipVarint(body, next);
    case 1:
      return next + 8;
    case 2: {
      const size = varintAt(body, next);
      return size.next + size.value;
    }
    case 5:
      return next + 4;
    default:
      throw new FramingError(`body of a frame: field ${number} is of an unknown type`);
  }
}

function skipVarint(body, offset) {
  for (let length = 1; length <= MAX_SKIPPED_VARINT_LENGTH; length += 1) {
    if (offset >= body.length) throw new FramingError("body of a frame: it ends inside of a number");
    if (body[offset++] < 0x80) return offset;
  }
  throw new FramingError("body of a frame: a number is too long");
}

function varintAt(body, offset) {
  const found = guarded(() => decodeVarint(body, offset), "body of a frame");
  if (found === null) throw new FramingError("body of a frame: it ends inside of a number");
  return found;
}

function guarded(decode, what) {
  try {
    return decode();
  } catch (error) {
    throw new FramingError(`${what}: ${error.message}`);
  }
}
