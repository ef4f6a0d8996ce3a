/** The status page: asks the server once a second how it is doing, and shows it. */

import { Timeline } from "./timeline.js";

const PERIOD = 1000;
const TIMEOUT = 5000;

/** Where this tab keeps the operator's token until it is closed. */
const TOKEN = "operator-token";

const WIRES = { websocket: "WebSocket", "long-poll": "Long-poll" };

/** @returns {HTMLElement} */
const element = (id) => document.getElementById(id);

const number = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });

/** The server lets nobody in without a token, or not with this one. */
class NotAllowed extends Error {
  /**
   * @param {string} message
   * @param {boolean} isTokenWanted
   */
  constructor(message, isTokenWanted) {
    super(message);
    this.isTokenWanted = isTokenWanted;
  }
}

class Page {
  #peers = new Timeline(element("peers-plot"));
  #rate = new Timeline(element("rate-plot"));
  #timer = 0;

  start() {
    element("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(TOKEN, element("token").value);
      this.#look();
    });
    this.#look();
  }

  async #look() {
    clearTimeout(this.#timer);
    try {
      this.#show(await fetchStatus());
    } catch (error) {
      if (error instanceof NotAllowed) return this.#ask(error);
      setState("no-answer", "The server doesn't answer; trying again…");
    }
    this.#timer = setTimeout(() => this.#look(), PERIOD);
  }

  /** Ask for the token; there is nothing to do until somebody enters it. */
  #ask({ message, isTokenWanted }) {
    element("figures").hidden = true;
    element("access").hidden = false;
    element("access-cure").textContent = message;
    element("token-label").hidden = element("token-row").hidden = !isTokenWanted;
    setState("refused", "No access");
  }

  #show(status) {
    element("access").hidden = true;
    element("figures").hidden = false;
    const { ready, reasons } = status.readiness;
    setState(ready ? "ready" : "not-ready", ready ? "Ready" : `Not ready: ${reasons.join("; ")}`);
    element("release").textContent = `webrtc-transport ${status.version}, up for ${duration(status.uptime)}.`;

    element("peers").textContent = number(status.peers);
    element("away").textContent = `of ${number(status.max_clients)} at most; ${number(status.away)} away`;
    element("sessions").textContent = number(status.sessions);
    element("queued").textContent = bytes(status.queued_bytes);
    element("queued-limit").textContent = `of ${bytes(status.max_queued_bytes)} at most`;
    element("latency").textContent = quantile(status.latency, 0.99);
    element("latency-median").textContent = `median ${quantile(status.latency, 0.5)}`;

    this.#plot(status);
    const connections = Object.entries(status.connections).map(([wire, count]) => [WIRES[wire] ?? wire, count]);
    fill(element("connections"), connections);
    fill(element("messages"), Object.entries(status.messages));
    const failures = Object.entries(status.failures).sort(([, one], [, other]) => other - one);
    fill(element("failures"), failures);
    element("no-failures").hidden = failures.length > 0;
  }

  #plot({ history, uptime, peers }) {
    const rates = history.slice(1).map((sample, index) => {
      const before = history[index];
      return { at: sample.at, value: (sample.messages - before.messages) / (sample.at - before.at) };
    });
    this.#peers.show(
      history.map(({ at, peers }) => ({ at, value: peers })),
      uptime,
    );
    this.#rate.show(rates, uptime);
    const most = Math.max(0, ...history.map(({ peers }) => peers));
    const rate = rates.at(-1)?.value ?? 0;
    const fastest = Math.max(0, ...rates.map(({ value }) => value));
    tell("peers", `${number(peers)} now, ${number(most)} at most in five minutes`, "Connected peers over time");
    tell("rate", `${number(rate)} now, ${number(fastest)} at most in five minutes`, "Messages per second over time");
  }
}

/** The text beside a plot, which is also what a screen reader says of it. */
function tell(plot, text, label) {
  element(`${plot}-now`).textContent = text;
  element(`${plot}-plot`).setAttribute("aria-label", `${label}: ${text}`);
}

async function fetchStatus() {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch("status.json", { headers, signal: AbortSignal.timeout(TIMEOUT) });
  if (response.status === 401) {
    const reason = token ? "The server doesn't know this token." : "The server wants the operator's token.";
    throw new NotAllowed(reason, true);
  }
  if (response.status === 403) throw new NotAllowed(await response.text(), false);
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
}

function setState(state, text) {
  element("state").dataset.state = state;
  element("state").textContent = text;
}

/** Fill a table with names and numbers. */
function fill(table, rows) {
  table.replaceChildren(
    ...rows.map(([name, count]) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      row.append(head, Object.assign(document.createElement("td"), { textContent: number(count) }));
      return row;
    }),
  );
}

/** The bound under which a part of the values is. */
function quantile({ bounds, counts }, part) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return "–";
  let sum = 0;
  const index = counts.findIndex((count) => (sum += count) >= part * total);
  if (index === bounds.length) return `over ${seconds(bounds.at(-1))}`;
  return `≤ ${seconds(bounds[index])}`;
}

function seconds(value) {
  return value < 1 ? `${Number((value * 1000).toPrecision(3))} ms` : `${value} s`;
}

function bytes(value) {
  if (value < 1024) return `${value} B`;
  const power = Math.min(3, Math.floor(Math.log2(value) / 10));
  return `${number(value / 1024 ** power)} ${["B", "KiB", "MiB", "GiB"][power]}`;
}

function duration(value) {
  const minutes = Math.floor(value / 60);
  if (minutes < 1) return `${Math.floor(value)} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

new Page().start();
