/** Tests of the page's modules that hold state: streams over channels, numbered messages, the signaling client. */

import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const folder = pathToFileURL(`${process.env.MODULES}/`);
const load = (name) => import(new URL(name, folder));

const { ReliableChannel } = await load("channel.js");
const { encodeData, encodeFlag, Flag, FrameDecoder } = await load("framing.js");
const { MAX_UNREAD, SEND_BUFFER_HIGH } = await load("limits.js");
const { InvalidMessage } = await load("messages.js");
const { Identity } = await load("peer-id.js");
const { SignalingClient } = await load("signaling.js");
const { Stream } = await load("stream.js");

const bytes = (size) => new Uint8Array(size).fill(7);

/** What a stream needs of an RTCDataChannel, and what its peer gets. */
class FakeChannel {
  readyState = "open";
  bufferedAmount = 0;
  closes = 0;
  frames = [];
  #decoder = new FrameDecoder();

  send(data) {
    this.frames.push(...this.#decoder.feed(data));
  }

  close() {
    this.closes += 1;
    this.readyState = "closing";
  }

  /** The peer sends frames, in one message. */
  deliver(...frames) {
    const message = Buffer.concat(frames);
    this.onmessage({ data: message.buffer.slice(message.byteOffset, message.byteOffset + message.length) });
  }

  get flags() {
    return this.frames.map(({ flag }) => flag).filter((flag) => flag !== null);
  }
}

function open() {
  const channel = new FakeChannel();
  const closed = mock.fn();
  const stream = new Stream(channel, 16384, closed);
  return { channel, stream, closed };
}

const isStreamError = (detail) => (error) => error.code === "stream-failed" && error.message.includes(detail);

describe("a stream", () => {
  it("cuts what is written into frames of 16 KiB at most", async () => {
    const { channel, stream } = open();
    await stream.write(bytes(40_000));
    assert.deepEqual(channel.frames.map(({ payload }) => payload.length), [16377, 16377, 7246]);
  });

  it("keeps to what the peer takes per message", async () => {
    const channel = new FakeChannel();
    await new Stream(channel, 1024, () => {}).write(bytes(2000));
    assert.deepEqual(channel.frames.map(({ payload }) => payload.length), [1017, 983]);
  });

  it("waits while the send buffer is full", async () => {
    const { channel, stream } = open();
    channel.bufferedAmount = SEND_BUFFER_HIGH;
    const written = stream.write(bytes(10));
    await turn();
    assert.equal(channel.frames.length, 0);
    channel.bufferedAmount = 0;
    channel.onbufferedamountlow();
    await written;
    assert.equal(channel.frames.length, 1);
  });

  it("waits until the channel is open", async () => {
    const { channel, stream } = open();
    channel.readyState = "connecting";
    const written = stream.write(bytes(10));
    await turn();
    channel.readyState = "open";
    channel.onopen();
    await written;
    assert.equal(channel.frames.length, 1);
  });

  it("reads frames that are split over messages", async () => {
    const { channel, stream } = open();
    const frame = encodeData(bytes(300));
    for (const byte of frame) channel.deliver(Uint8Array.of(byte));
    assert.deepEqual(await stream.read(), bytes(300));
  });

  it("half-closes, and closes the channel when both halves are done", async () => {
    const { channel, stream, closed } = open();
    const ended = stream.closeWrite();
    await turn();
    assert.deepEqual(channel.flags, [Flag.FIN]);
    channel.deliver(encodeData(bytes(5)), encodeFlag(Flag.FIN));
    assert.deepEqual(channel.flags, [Flag.FIN, Flag.FIN_ACK]);
    assert.equal((await stream.read()).length, 5);
    assert.equal(await stream.read(), null);
    assert.equal(channel.closes, 0);
    channel.deliver(encodeFlag(Flag.FIN_ACK));
    await ended;
    assert.equal(channel.closes, 1);
    channel.onclose();
    assert.equal(closed.mock.callCount(), 1);
  });

  it("lingers when its own FIN_ACK is the last frame", async (test) => {
    test.mock.timers.enable({ apis: ["setTimeout"] });
    const { channel, stream } = open();
    const ended = stream.closeWrite();
    await turn();
    channel.deliver(encodeFlag(Flag.FIN_ACK));
    await ended;
    channel.deliver(encodeFlag(Flag.FIN), encodeFlag(Flag.FIN));
    assert.deepEqual(channel.flags, [Flag.FIN, Flag.FIN_ACK, Flag.FIN_ACK]);
    assert.equal(channel.closes, 0);
    test.mock.timers.tick(1000);
    assert.equal(channel.closes, 1);
  });

  it("fails when its end isn't acknowledged in time", async (test) => {
    test.mock.timers.enable({ apis: ["setTimeout"] });
    const { channel, stream } = open();
    const ended = assert.rejects(stream.closeWrite(), isStreamError("in time"));
    await turn();
    test.mock.timers.tick(10_000);
    await ended;
    assert.deepEqual(channel.flags, [Flag.FIN, Flag.RESET]);
  });

  it("takes the close of the channel for a lost FIN_ACK, after both have sent FIN", async () => {
    const { channel, stream } = open();
    const ended = stream.closeWrite();
    await turn();
    channel.deliver(encodeFlag(Flag.FIN));
    channel.onclose();
    await ended;
    assert.equal(await stream.read(), null);
  });

  it("fails when the channel closes before the end", async () => {
    const { channel, stream } = open();
    channel.deliver(encodeData(bytes(3)));
    channel.onclose();
    assert.equal((await stream.read()).length, 3);
    await assert.rejects(stream.read(), isStreamError("before the end"));
    await assert.rejects(stream.write(bytes(1)), isStreamError("before the end"));
  });

  it("stops when the peer doesn't read, and can still end", async () => {
    const { channel, stream } = open();
    channel.deliver(encodeFlag(Flag.STOP_SENDING));
    await assert.rejects(stream.write(bytes(1)), isStreamError("doesn't read"));
    const ended = stream.closeWrite();
    await turn();
    assert.deepEqual(channel.flags, [Flag.FIN]);
    channel.deliver(encodeFlag(Flag.FIN_ACK));
    await ended;
  });

  it("tells the peer that it reads no more, discards data and acts on flags", async () => {
    const { channel, stream } = open();
    const closed = stream.close();
    await turn();
    assert.deepEqual(channel.flags.toSorted(), [Flag.FIN, Flag.STOP_SENDING]);
    channel.deliver(encodeData(bytes(9)), encodeFlag(Flag.FIN_ACK), encodeFlag(Flag.FIN));
    await closed;
    assert.equal(await stream.read(), null);
    assert.equal(channel.flags.at(-1), Flag.FIN_ACK);
  });

  it("tells a reset by the peer", async () => {
    const { channel, stream } = open();
    const read = assert.rejects(stream.read(), isStreamError("the peer reset"));
    channel.deliver(encodeFlag(Flag.RESET), encodeData(bytes(1)));
    await read;
    await assert.rejects(stream.write(bytes(1)), isStreamError("the peer reset"));
    assert.equal(channel.closes, 1);
    assert.deepEqual(channel.flags, []);
  });

  it("doesn't close the channel in the same turn as its own reset", async (test) => {
    test.mock.timers.enable({ apis: ["setTimeout"] });
    const { channel, stream } = open();
    stream.reset();
    stream.reset();
    assert.deepEqual(channel.flags, [Flag.RESET]);
    assert.equal(channel.closes, 0);
    test.mock.timers.tick(1000);
    assert.equal(channel.closes, 1);
  });

  const broken = {
    "data after FIN": [encodeFlag(Flag.FIN), encodeData(bytes(1))],
    "FIN_ACK without FIN": [encodeFlag(Flag.FIN_ACK)],
    "a frame that is too long": [Uint8Array.of(0xff, 0xff, 0x01)],
    "a length with superfluous zeros": [Uint8Array.of(0x80, 0x00)],
    "a truncated body": [Uint8Array.of(0x02, 0x12, 0x05)],
  };
  for (const [name, frames] of Object.entries(broken)) {
    it(`is reset after ${name}`, () => {
      const { channel } = open();
      channel.deliver(...frames);
      assert.equal(channel.flags.at(-1), Flag.RESET);
    });
  }

  it("is reset after a text message", async () => {
    const { channel, stream } = open();
    channel.onmessage({ data: "text" });
    await assert.rejects(stream.read(), isStreamError("text"));
  });

  it("is reset when too much lies unread", async () => {
    const { channel, stream } = open();
    const frame = encodeData(bytes(16377));
    for (let sent = 0; sent + 16377 <= MAX_UNREAD; sent += 16377) channel.deliver(frame);
    assert.deepEqual(channel.flags, []);
    channel.deliver(frame);
    assert.deepEqual(channel.flags, [Flag.RESET]);
    await assert.rejects(stream.write(bytes(1)), isStreamError("nobody has read"));
  });

  it("fails with the connection's error, but keeps what has arrived", async () => {
    const { channel, stream } = open();
    channel.deliver(encodeData(bytes(4)));
    stream.connectionEnded(new Error("over"));
    assert.equal((await stream.read()).length, 4);
    await assert.rejects(stream.read(), /over/);
  });
});

describe("numbered messages", () => {
  it("are sent again from where the other end is", () => {
    const channel = new ReliableChannel();
    for (const name of ["a", "b", "c"]) channel.push({ name });
    assert.deepEqual(channel.transmit().map(({ seq }) => seq), [1, 2, 3]);
    assert.deepEqual(channel.transmit(), []);
    channel.acknowledge(1);
    channel.resume(2);
    assert.deepEqual(channel.transmit(), [{ name: "c", seq: 3, ack: 0 }]);
    channel.acknowledge(3);
    assert.equal(channel.awaitsAck, false);
  });

  it("are taken once and in order", () => {
    const channel = new ReliableChannel();
    assert.deepEqual([1, 2, 2, 1, 3].map((seq) => channel.accept(seq)), [true, true, false, false, true]);
    assert.throws(() => channel.accept(5), InvalidMessage);
    assert.equal(channel.received, 3);
  });

  it("can't be acknowledged before they were sent", () => {
    const channel = new ReliableChannel();
    channel.push({});
    assert.throws(() => channel.acknowledge(1), InvalidMessage);
    assert.throws(() => channel.resume(2), InvalidMessage);
  });

  it("are bounded", () => {
    const channel = new ReliableChannel();
    const message = { text: "x".repeat(100_000) };
    let pushed = 0;
    while (channel.push(message)) pushed += 1;
    assert.equal(pushed, 41);
  });
});

/** A WebSocket whose server is the test. */
class FakeSocket {
  static all = [];
  sent = [];
  closeCode = null;

  constructor() {
    FakeSocket.all.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.closeCode = code;
  }

  deliver(message) {
    this.onmessage?.({ data: JSON.stringify({ version: 1, ...message }) });
  }

  async register(answer = {}) {
    this.deliver({ type: "challenge", nonce: "n".repeat(22) });
    while (this.sent.length === 0) await turn();
    const { peer } = this.sent[0];
    const registered = { type: "registered", peer, proven: true, resumed: false, received: 0, grace: 30 };
    this.deliver({ ...registered, ...answer });
  }
}

const PEER = (await Identity.generate()).peerId;

async function client(test) {
  test.mock.timers.enable({ apis: ["setTimeout"] });
  FakeSocket.all = [];
  globalThis.WebSocket = FakeSocket;
  const signaling = new SignalingClient("ws://x/ws", await Identity.generate());
  test.after(() => signaling.close());
  signaling.connect();
  await FakeSocket.all[0].register();
  return { signaling, socket: FakeSocket.all[0] };
}

function reconnect(test) {
  const known = FakeSocket.all.length;
  FakeSocket.all.at(-1).onclose({ code: 1006, reason: "" });
  test.mock.timers.tick(5_000);
  assert.equal(FakeSocket.all.length, known + 1);
  return FakeSocket.all.at(-1);
}

const offer = { type: "offer", data: { type: "offer", sdp: "v=0" } };

describe("the signaling client", () => {
  it("numbers signals, and acknowledges after a while", async (test) => {
    const { signaling, socket } = await client(test);
    const session = signaling.open(PEER);
    session.send(offer);
    session.send({ type: "candidate", data: null });
    const numbers = socket.sent.slice(1).map(({ seq, ack, index, type }) => [seq, ack, index, type]);
    assert.deepEqual(numbers, [[1, 0, 0, "offer"], [2, 0, 1, "candidate"]]);
    const from = { from: PEER, to: signaling.peerId, session: session.id };
    socket.deliver({ type: "candidate", ...from, index: 0, seq: 1, ack: 2, data: null });
    test.mock.timers.tick(199);
    assert.equal(socket.sent.length, 3);
    test.mock.timers.tick(1);
    assert.deepEqual(socket.sent.at(-1), { version: 1, type: "ack", ack: 1 });
    assert.deepEqual(await session.receive(), { type: "candidate", data: null });
  });

  it("sends what is missing when the server remembers it", async (test) => {
    const { signaling } = await client(test);
    const session = signaling.open(PEER);
    session.send(offer);
    session.send({ type: "candidate", data: null });
    const socket = reconnect(test);
    assert.equal(signaling.state, "reconnecting");
    await socket.register({ resumed: true, received: 1 });
    assert.equal(socket.sent[0].received, 0);
    assert.deepEqual(socket.sent.slice(1).map(({ seq, index }) => [seq, index]), [[2, 1]]);
    assert.equal(signaling.state, "registered");
  });

  it("sends open sessions anew when the server has forgotten it", async (test) => {
    const { signaling } = await client(test);
    const done = signaling.open(PEER);
    done.send(offer);
    done.close();
    const session = signaling.open(PEER);
    session.send(offer);
    session.send({ type: "candidate", data: null });
    const socket = reconnect(test);
    await socket.register();
    const again = socket.sent.slice(1).map(({ seq, index, session: id }) => [seq, index, id]);
    assert.deepEqual(again, [[1, 0, session.id], [2, 1, session.id]]);
  });

  it("gives a server up that acknowledges nothing", async (test) => {
    const { signaling, socket } = await client(test);
    signaling.open(PEER).send(offer);
    test.mock.timers.tick(10_000);
    assert.equal(socket.closeCode, 4000);
    assert.equal(signaling.state, "reconnecting");
    assert.equal(signaling.error.code, "server-down");
  });

  const invalid = {
    "a second challenge": { type: "challenge", nonce: "n".repeat(22) },
    "a gap in the numbers": { type: "error", peer: PEER, session: "s".repeat(22), seq: 2, ack: 0, data: { code: "x" } },
    "an acknowledgement of nothing": { type: "ack", ack: 9 },
    "an unknown type": { type: "surprise" },
    "a signal for another peer": { ...offer, from: PEER, to: PEER, session: "s".repeat(22), index: 0, seq: 1, ack: 0 },
  };
  for (const [name, message] of Object.entries(invalid)) {
    it(`starts anew after ${name}`, async (test) => {
      const { signaling, socket } = await client(test);
      socket.deliver(message);
      assert.equal(signaling.error.code, "server-broken");
      assert.equal(socket.closeCode, 4000);
    });
  }

  it("says at once when an attempt fails, and goes on trying", async (test) => {
    const { signaling } = await client(test);
    FakeSocket.all[0].onclose({ code: 1006, reason: "" });
    const ready = signaling.ready(new AbortController().signal);
    assert.equal(FakeSocket.all.length, 2);
    FakeSocket.all[1].onclose({ code: 1006, reason: "" });
    await assert.rejects(ready, { code: "server-down" });
    test.mock.timers.tick(5_000);
    assert.equal(FakeSocket.all.length, 3);
    const again = signaling.ready(new AbortController().signal);
    await FakeSocket.all[2].register();
    await again;
  });

  it("stays away when the server says so", async (test) => {
    const { signaling, socket } = await client(test);
    const session = signaling.open(PEER);
    session.send(offer);
    socket.deliver({ type: "error", data: { code: "replaced", message: "" } });
    assert.equal(signaling.state, "refused");
    await assert.rejects(session.receive(), { code: "server-refused" });
    test.mock.timers.tick(60_000);
    assert.equal(FakeSocket.all.length, 1);
  });

  it("refuses offers, for it only dials, and answers no error with an error", async (test) => {
    const { signaling, socket } = await client(test);
    const from = { from: PEER, to: signaling.peerId, session: "s".repeat(22), index: 0, ack: 0 };
    socket.deliver({ ...offer, ...from, seq: 1 });
    socket.deliver({ ...offer, ...from, index: 1, seq: 2 });
    socket.deliver({ ...from, seq: 3, type: "error", data: { code: "busy" } });
    socket.deliver({ ...from, seq: 4, type: "bye", data: {} });
    assert.deepEqual(
      socket.sent.slice(1).map(({ type, data }) => [type, data.code]),
      [["error", "not-listening"], ["error", "unknown-session"]],
    );
  });
});

describe("a session", () => {
  async function started(test) {
    const { signaling, socket } = await client(test);
    const session = signaling.open(PEER);
    session.send(offer);
    let seq = 0;
    const from = { from: PEER, to: signaling.peerId, session: session.id, ack: 1 };
    const deliver = (message) => socket.deliver({ ...from, seq: (seq += 1), ...message });
    return { session, socket, deliver };
  }

  it("drops what it has, and ends at the good-bye", async (test) => {
    const { session, deliver } = await started(test);
    deliver({ type: "candidate", index: 0, data: null });
    deliver({ type: "candidate", index: 0, data: null });
    deliver({ type: "bye", index: 1, data: { reason: "" } });
    assert.equal((await session.receive()).type, "candidate");
    assert.equal(await session.receive(), null);
    assert.ok(session.isOver);
  });

  for (const [name, message] of Object.entries({
    "a gap": { type: "candidate", index: 1, data: null },
    "a malformed signal": { type: "answer", index: 0, data: 5 },
  })) {
    it(`fails after ${name}, and tells the peer`, async (test) => {
      const { session, socket, deliver } = await started(test);
      deliver(message);
      await assert.rejects(session.receive(), { code: "invalid-answer" });
      assert.equal(socket.sent.at(-1).data.code, "invalid-signal");
    });
  }

  it("fails with the words of the peer, whatever their number", async (test) => {
    const { session, deliver } = await started(test);
    deliver({ type: "error", index: 7, data: { code: "no-idea", message: "why" } });
    await assert.rejects(session.receive(), { code: "peer-refused", message: "why (no-idea)" });
  });

  it("fails with the words of the server", async (test) => {
    const { session, deliver } = await started(test);
    deliver({ type: "error", from: undefined, peer: PEER, data: { code: "peer-gone" } });
    await assert.rejects(session.receive(), { code: "peer-gone" });
  });

  it("has room for its end", async (test) => {
    const { session } = await started(test);
    for (let i = 0; i < 300; i += 1) session.send({ type: "candidate", data: null });
    assert.equal(session.sent.length, 255);
    session.close();
    assert.equal(session.sent.at(-1).type, "bye");
  });
});
