/** libdatachannel as a peer, by its binding to Node.js. Arguments: npm packages, local address. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import "./actor.js";

const [packages, bindAddress] = process.argv.slice(2);
const require = createRequire(`${packages}/`);
const { PeerConnection } = require("node-datachannel");
const { version } = JSON.parse(readFileSync(`${packages}/node_modules/node-datachannel/package.json`));

class Channel {
  constructor(channel) {
    this.channel = channel;
    this.label = channel.getLabel();
    this.waiting = [];
    this.isOpen = new Promise((resolve) => {
      // In this order: it may open between the two, on a thread of its own.
      channel.onOpen(resolve);
      if (channel.isOpen()) resolve();
    });
    channel.setBufferedAmountLowThreshold(HIGH_WATER / 2);
    channel.onBufferedAmountLow(() => this.waiting.splice(0).forEach((resolve) => resolve()));
  }
  listen(onMessage, onClosed) {
    this.channel.onMessage((data) => onMessage(typeof data === "string" ? data : new Uint8Array(data)));
    this.channel.onClosed(onClosed);
  }
  opened() {
    return this.isOpen;
  }
  drained() {
    return new Promise((resolve) => this.waiting.push(resolve));
  }
  buffered() {
    return this.channel.bufferedAmount();
  }
  send(data) {
    if (typeof data === "string") this.channel.sendMessage(data);
    else this.channel.sendMessageBinary(data);
  }
  close() {
    this.channel.close();
  }
}

class Connection {
  constructor({ onChannel, onState }) {
    this.connection = new PeerConnection("peer", { iceServers: [], bindAddress, maxMessageSize: 262144 });
    this.gathered = new Promise((resolve) =>
      this.connection.onGatheringStateChange((state) => {
        if (state === "complete") resolve();
      }),
    );
    this.connection.onDataChannel((channel) => onChannel(new Channel(channel)));
    this.connection.onStateChange(onState);
  }
  async offer() {
    this.negotiated = this.connection.createDataChannel("", { negotiated: true, id: 1000 });
    await this.gathered;
    return this.connection.localDescription().sdp;
  }
  async answer(sdp) {
    this.connection.setRemoteDescription(sdp, "offer");
    await this.gathered;
    return this.connection.localDescription().sdp;
  }
  async accept(sdp) {
    this.connection.setRemoteDescription(sdp, "answer");
  }
  open(label) {
    return new Channel(this.connection.createDataChannel(label));
  }
  close() {
    this.connection.close();
  }
}

const actor = new Actor((options) => new Connection(options));
process.stdout.write(`${JSON.stringify({ id: 0, result: { version } })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  actor.run(JSON.parse(line)).then((answer) => process.stdout.write(`${JSON.stringify(answer)}\n`));
}
process.exit(0);
