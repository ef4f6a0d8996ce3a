// libdatachannel in Node (node-datachannel), with the roles of roles.py.
//
//     node datachannel.mjs <folder of node_modules> accept|dial <role> <parameters>

import { createRequire } from "node:module";
import { once, EventEmitter } from "node:events";
import { readFileSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const [folder, end, role, text] = process.argv.slice(2);
const parameters = JSON.parse(text);
const rtc = createRequire(`${folder}/`)("node-datachannel");
const HIGH_WATER = 1024 * 1024; // Bytes that a channel may have unsent.
const HELLO = 64;
const SETTLE = 500;

const lines = createInterface({ input: process.stdin });
const write = (line) => writeSync(1, `${JSON.stringify(line)}\n`);
const now = () => performance.now() / 1000;
const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6; };
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

class Channel extends EventEmitter {
  surplus = 0;
  wanted = 0;

  constructor(channel, isEcho) {
    super();
    this.channel = channel;
    channel.setBufferedAmountLowThreshold(HIGH_WATER / 2);
    channel.onBufferedAmountLow(() => this.emit("drained"));
    channel.onClosed(() => { this.isClosed = true; this.emit("closed"); });
    channel.onOpen(() => { this.isOpen = true; this.emit("open"); });
    channel.onMessage(isEcho ? (message) => channel.sendMessageBinary(message) : (message) => {
      this.surplus += message.length;
      if (this.surplus >= this.wanted) this.emit("arrived");
    });
  }

  async opened() {
    if (!this.isOpen && !this.channel.isOpen()) await once(this, "open");
    return this;
  }

  async send(message) {
    while (this.channel.bufferedAmount() > HIGH_WATER) await once(this, "drained");
    this.channel.sendMessageBinary(message);
  }

  async receive(size) {
    this.wanted = size;
    while (this.surplus < size) await once(this, "arrived");
    this.surplus -= size;
  }

  async close() {
    this.channel.close();
    if (!this.isClosed) await once(this, "closed");
  }
}

class Link extends EventEmitter {
  static all = new Map(); // By session, for the signals that arrive.
  inbound = [];

  constructor(session) {
    super();
    this.session = session;
    Link.all.set(session, this);
    this.connection = new rtc.PeerConnection("", { iceServers: [] });
    const send = (type, data) => write({ session, signal: { type, data } });
    this.connection.onLocalDescription((sdp, type) => send(type, { type, sdp }));
    this.connection.onLocalCandidate((candidate, sdpMid) => send("candidate", { candidate, sdpMid }));
    this.connection.onDataChannel((channel) => {
      this.inbound.push(new Channel(channel, role !== "transfer" && end === "accept"));
      this.emit("channel");
    });
  }

  take({ type, data }) {
    if (type === "candidate") this.connection.addRemoteCandidate(data.candidate, data.sdpMid);
    else this.connection.setRemoteDescription(data.sdp, data.type);
  }

  async open() {
    return new Channel(this.connection.createDataChannel("")).opened();
  }

  async accept() {
    while (!this.inbound.length) await once(this, "channel");
    return this.inbound.shift();
  }

  close() {
    this.connection.close();
  }
}

const offers = new EventEmitter();
const offered = [];
let first;

lines.on("line", (line) => {
  const { session, signal } = JSON.parse(line);
  if (!signal) return first(JSON.parse(line));
  if (!Link.all.has(session)) {
    offered.push(new Link(session));
    offers.emit("offer");
  }
  Link.all.get(session).take(signal);
});

let sessions = 0;
async function dial() {
  const link = new Link(String(sessions++));
  link.first = await link.open();
  return link;
}

async function accept() {
  while (!offered.length) await once(offers, "offer");
  return offered.shift();
}

async function times(action) {
  const found = [];
  for (let number = 0; number < parameters.count; number++) found.push(await action());
  return { seconds: median(found) };
}

async function memory(connect, settle) {
  const links = [];
  const connectMany = async (count) => { while (count--) links.push(await connect()); };
  const resident = () => Number(readFileSync("/proc/self/statm", "utf8").split(" ")[1]) * 4096;
  await connectMany(parameters.first);
  await sleep(settle);
  const before = resident();
  await connectMany(parameters.count);
  await sleep(settle);
  return { bytes: (resident() - before) / parameters.count };
}

const DIAL = {
  async transfer() {
    const channel = (await dial()).first;
    await channel.send(Buffer.alloc(HELLO));
    await channel.receive(1);
    const message = Buffer.alloc(parameters.size);
    const used = cpu();
    for (let number = 0; number < parameters.count; number++) await channel.send(message);
    await channel.receive(1);
    return { cpu: cpu() - used };
  },
  async "round-trips"() {
    const channel = (await dial()).first;
    const message = Buffer.alloc(parameters.size);
    return times(async () => {
      const started = now();
      await channel.send(message);
      await channel.receive(message.length);
      return now() - started;
    });
  },
  async streams() {
    const link = await dial();
    const message = Buffer.alloc(parameters.size);
    return times(async () => {
      const started = now();
      const channel = await link.open();
      await channel.send(message);
      await channel.receive(message.length);
      await channel.close();
      return now() - started;
    });
  },
  async setups() {
    (await dial()).close();
    return times(async () => {
      const started = now();
      const link = await dial();
      const elapsed = now() - started;
      link.close();
      return elapsed;
    });
  },
  idle: () => memory(dial, SETTLE),
};

const ACCEPT = {
  async transfer() {
    const { size, count } = parameters;
    const channel = await (await accept()).accept();
    await channel.receive(HELLO);
    await channel.send(Buffer.from("r"));
    await channel.receive(size);
    const used = cpu();
    const started = now();
    await channel.receive(size * (count - 1));
    const result = { seconds: now() - started, cpu: cpu() - used };
    await channel.send(Buffer.from("d"));
    return result;
  },
  idle: () => memory(async () => { const link = await accept(); await link.accept(); return link; }, SETTLE / 2),
};

if (end === "accept") {
  write({});
  if (ACCEPT[role]) write({ result: await ACCEPT[role]() });
} else {
  await new Promise((resolve) => { first = resolve; });
  write({ result: await DIAL[role]() });
}
