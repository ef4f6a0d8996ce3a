/**
 * Bounds on what comes from outside, each with its reason. They are those of webrtc_transport/protocol/limits.py and
 * webrtc_signaling/limits.py.
 */

/** Bytes of one libp2p frame with its length prefix: what every browser can send and receive in one message. */
export const MAX_FRAME_LENGTH = 16384;

/** Bytes of a full frame that are not payload: length prefix (2), flag field (2), message tag (1) and length (2). */
export const FRAME_OVERHEAD = 7;

/** A peer that takes less than this per message is refused: it could make us send a frame per byte. */
export const MIN_MESSAGE_SIZE = 1024;

/** Unread bytes of one stream. Data channels can't hold their sender back, so beyond it the stream is reset. */
export const MAX_UNREAD = 4 * 1024 * 1024;

/** Unsent bytes of one stream at which a writer waits, and at which it goes on. */
export const SEND_BUFFER_HIGH = 512 * 1024;
export const SEND_BUFFER_LOW = 128 * 1024;

/** Characters of one message of the server. A longer one is not parsed. */
export const MAX_MESSAGE_SIZE = 128 * 1024;

/** Characters of a session description. */
export const MAX_SDP_LENGTH = 16 * 1024;

/** Characters of one candidate line. */
export const MAX_CANDIDATE_LENGTH = 512;

/** Candidates taken from one peer: each makes the browser send checks to an address that the peer chose. */
export const MAX_REMOTE_CANDIDATES = 64;

/** Characters of a text that is shown to people. */
export const MAX_REASON_LENGTH = 512;

/** Characters of a peer id; decoding takes time that grows with the square. */
export const MAX_PEER_ID_LENGTH = 128;

/** Bytes of a protobuf public key, and of a signature. */
export const MAX_PROOF_KEY_LENGTH = 1536;
export const MAX_PROOF_SIGNATURE_LENGTH = 1024;

/** Milliseconds that a signed description may be old, or ahead of our clock. */
export const MAX_PROOF_AGE = 300_000;

/** Signals that each end sends in one session. */
export const MAX_SESSION_SIGNALS = 256;

/** Messages that wait for the server's acknowledgement, and their characters. */
export const MAX_QUEUED_MESSAGES = 4096;
export const MAX_QUEUED_SIZE = 4 * 1024 * 1024;

/** An acknowledgement is sent at the latest after so many messages, or so many milliseconds. */
export const ACK_EVERY = 16;
export const ACK_DELAY = 200;

/** Milliseconds without an acknowledgement after which a connection to the server is taken for dead. */
export const ACK_TIMEOUT = 10_000;
