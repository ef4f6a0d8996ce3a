/**
 * What a peer in JavaScript does by command, whichever library it speaks WebRTC with; actor.py has the commands.
 *
 * A plain script, so that a page takes it too: it defines `Actor`, and `RtcConnection` for the browsers' own API.
 */

const HIGH_WATER = 1024 * 1024; // Bytes unsent at which a sender waits.
const CONNECT_TIMEOUT = 30_000; // Milliseconds, as the other ones below.

const randomBlock = Uint8Array.from({ length: 65536 }, (_, i) => (Math.imul(i, 2654435761) >>> 13) & 255);

/** Message `number` of a transfer: no two are alike, wherever one is cut. */
function makeMessage(number, size) {
  const message = new Uint8Array(size);
  for (let at = 0; at < size; at += randomBlock.length) {
    message.set(randomBlock.subarray(0, Math.min(randomBlock.length, size - at)), at);
  }
  if (size >= 4) new DataView(message.buffer).setUint32(0, number);
  return message;
}

function joined(chunks) {
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

async function sha256(chunks) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", joined(chunks)));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const asBytes = (data) => (typeof data === "string" ? new TextEncoder().encode(data) : data);
const asText = (data) => (typeof data === "string" ? data : new TextDecoder().decode(data));

/** A queue with a reader, for messages and the end of a channel. */
class Inbox {
  items = [];
  readers = [];
  put(item) {
    const reader = this.readers.shift();
    if (reader) reader(item);
    else this.items.push(item);
  }
  take() {
    return this.items.length ? Promise.resolve(this.items.shift()) : new Promise((resolve) => this.readers.push(resolve));
  }
}

const END = Symbol("the end of a channel");

class Actor {
  /** `connect(options)` makes a connection: offer, answer, accept, open, close, and it calls `onChannel`, `onState`. */
  constructor(connect) {
    this.connect = connect;
    this.connection = null;
  }

  async run({ do: name, id, ...parameters }) {
    try {
      return { id, result: (await this[`do_${name}`](parameters)) ?? null };
    } catch (error) {
      return { id, error: `${error?.stack ?? error}` };
    }
  }

  async make(parameters) {
    this.connection?.close();
    this.handed = 0;
    this.senders = new Set();
    this.ended = new Promise((resolve) => {
      this.connected = new Promise((connected, failed) => {
        this.connection = this.connect({
          ...parameters,
          onChannel: (channel) => this.serve(channel),
          onState: (state) => {
            if (state === "connected") connected();
            if (["closed", "failed", "disconnected"].includes(state)) {
              failed(new Error(`the connection is ${state}`));
              resolve(state);
            }
          },
        });
      });
    });
    this.connected.catch(() => {});
  }

  async do_offer(parameters) {
    await this.make(parameters);
    return { sdp: await this.connection.offer() };
  }

  async do_answer({ sdp, ...parameters }) {
    await this.make(parameters);
    return { sdp: await this.connection.answer(sdp) };
  }

  async do_accept({ sdp }) {
    await this.connection.accept(sdp);
  }

  async do_connected() {
    const late = new Promise((_, reject) => setTimeout(reject, CONNECT_TIMEOUT, new Error("not connected in time")));
    await Promise.race([this.connected, late]);
  }

  async do_close() {
    this.connection?.close();
  }

  /** Open a channel, whose end is that of the connection too: browsers tell of it seconds before the connection's. */
  async do_watch() {
    const { inbox } = await this.open("quiet");
    this.ended = Promise.race([this.ended, this.untilEnd(inbox).then(() => "its channel is closed")]);
  }

  async do_ended() {
    return { reason: await this.ended };
  }

  async do_progress() {
    const buffered = [...this.senders].reduce((sum, channel) => sum + channel.buffered(), 0);
    return { handed: this.handed, left: this.handed - buffered };
  }

  async do_send({ channels, bytes, size }) {
    const started = performance.now();
    await Promise.all(Array.from({ length: channels }, () => this.sendOne(bytes, size)));
    return { seconds: (performance.now() - started) / 1000 };
  }

  async sendOne(bytes, size) {
    const { channel, inbox } = await this.open(`sink ${bytes}`);
    this.senders.add(channel);
    const sent = [];
    for (let at = 0, number = 0; at < bytes; at += size, number += 1) {
      const message = makeMessage(number, Math.min(size, bytes - at));
      sent.push(message);
      while (channel.buffered() > HIGH_WATER) await channel.drained();
      channel.send(message);
      this.handed += message.length;
    }
    const digest = await sha256(sent);
    const answer = await inbox.take();
    if (answer === END) throw new Error("the channel ended before the digest came");
    if (asText(answer) !== digest) throw new Error(`sent ${digest}, the receiver has ${asText(answer)}`);
    this.senders.delete(channel);
    channel.close();
    await this.untilEnd(inbox);
  }

  async do_echo({ sizes, text }) {
    const { channel, inbox } = await this.open("echo");
    const sent = sizes.map((size, number) => (text ? `${number} ä`.padEnd(size, "ö") : makeMessage(number, size)));
    for (const message of sent) channel.send(message);
    for (const message of sent) {
      const back = await inbox.take();
      if (back === END) throw new Error("the channel ended before all came back");
      const [want, got] = [asBytes(message), asBytes(back)];
      const isSame = want.length === got.length && want.every((byte, i) => byte === got[i]);
      if (!isSame) throw new Error(`sent a message of ${want.length} bytes, another one of ${got.length} came back`);
    }
    channel.close();
    await this.untilEnd(inbox);
  }

  /** Channels one after the other; the other end closes those with the label "once". */
  async do_churn({ count, label }) {
    for (let number = 0; number < count; number += 1) await this.greet(label, number);
  }

  async do_burst({ count, label }) {
    await Promise.all(Array.from({ length: count }, (_, number) => this.greet(label, number)));
  }

  async greet(label, number) {
    const { channel, inbox } = await this.open(label);
    const message = makeMessage(number, 64);
    channel.send(message);
    const back = await inbox.take();
    if (back === END) throw new Error(`channel ${number} ended before its message came back`);
    if (!asBytes(back).every((byte, i) => byte === message[i])) throw new Error(`channel ${number}: another message`);
    if (label !== "once") channel.close();
    await this.untilEnd(inbox);
  }

  async open(label) {
    const channel = this.connection.open(label);
    const inbox = new Inbox();
    channel.listen((data) => inbox.put(data), () => inbox.put(END));
    await channel.opened();
    return { channel, inbox };
  }

  async untilEnd(inbox) {
    const item = await inbox.take();
    if (item !== END) throw new Error("a message where the end of the channel is due");
  }

  /** A channel of the other end does what its label says. */
  serve(channel) {
    const asksReady = channel.label.startsWith("ready ");
    const [kind, bytes] = channel.label.replace("ready ", "").split(" ");
    const chunks = [];
    let received = 0;
    const onMessage = {
      sink: async (data) => {
        chunks.push(asBytes(data));
        received += data.length;
        if (received === Number(bytes)) channel.send(new TextEncoder().encode(await sha256(chunks)));
      },
      echo: (data) => channel.send(data),
      once: (data) => {
        channel.send(data);
        channel.close();
      },
      quiet: () => {},
    }[kind];
    channel.listen(onMessage, () => {});
    if (asksReady) channel.send(new Uint8Array());
  }
}

class RtcChannel {
  constructor(channel) {
    this.channel = channel;
    this.label = channel.label;
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = HIGH_WATER / 2;
    this.open = new Promise((resolve) => {
      if (channel.readyState === "open") resolve();
      else channel.addEventListener("open", resolve, { once: true });
    });
  }
  listen(onMessage, onClosed) {
    this.channel.onmessage = ({ data }) => onMessage(typeof data === "string" ? data : new Uint8Array(data));
    this.channel.onclose = onClosed;
  }
  opened() {
    return this.open;
  }
  drained() {
    return new Promise((resolve) => this.channel.addEventListener("bufferedamountlow", resolve, { once: true }));
  }
  buffered() {
    return this.channel.bufferedAmount;
  }
  send(data) {
    this.channel.send(data);
  }
  close() {
    this.channel.close();
  }
}

class RtcConnection {
  constructor({ onChannel, onState }) {
    this.connection = new RTCPeerConnection();
    this.connection.ondatachannel = ({ channel }) => onChannel(new RtcChannel(channel));
    this.connection.onconnectionstatechange = () => onState(this.connection.connectionState);
  }
  async offer() {
    // There is no section for data channels without a channel; a negotiated one is told to nobody.
    this.connection.createDataChannel("", { negotiated: true, id: 1000 });
    await this.connection.setLocalDescription();
    return this.gathered();
  }
  async answer(sdp) {
    await this.connection.setRemoteDescription({ type: "offer", sdp });
    await this.connection.setLocalDescription();
    return this.gathered();
  }
  async accept(sdp) {
    await this.connection.setRemoteDescription({ type: "answer", sdp });
  }
  async gathered() {
    while (this.connection.iceGatheringState !== "complete") {
      await new Promise((resolve) =>
        this.connection.addEventListener("icegatheringstatechange", resolve, { once: true }),
      );
    }
    return this.connection.localDescription.sdp;
  }
  open(label) {
    return new RtcChannel(this.connection.createDataChannel(label));
  }
  close() {
    this.connection.close();
  }
}

Object.assign(globalThis, { Actor, RtcConnection, HIGH_WATER });
