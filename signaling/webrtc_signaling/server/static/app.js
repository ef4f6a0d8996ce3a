/** The page: joins what a person does with what happens on the connection. */

import { dial } from "./dial.js";
import { PageError, toPageError } from "./errors.js";
import { Identity, parseTarget } from "./peer-id.js";
import { Plot } from "./plot.js";
import { SignalingClient } from "./signaling.js";
import { SetupTable } from "./setup-table.js";
import { echoText, PingLoop, transfer } from "./workloads.js";

const MIB = 1024 * 1024;
const TRANSFER_SIZE = 4 * MIB;
const ECHOES_SHOWN = 5;

const SERVER_STATES = {
  connecting: "Connecting to the signaling server…",
  registered: "Signaling server: connected",
  reconnecting: "Signaling server: reconnecting…",
  refused: "Signaling server: refused",
  closed: "Signaling server: left",
};

const CONNECTION_STATES = {
  dialing: "connecting…",
  connected: "connected",
  disconnected: "the peer doesn't answer…",
  failed: "failed",
  closed: "closed",
};

/** @returns {HTMLElement} */
const element = (id) => document.getElementById(id);

/** Why a dial was given up that nobody wants any more. */
const CANCELLED = Symbol("cancelled");

class App {
  #identity;
  #signaling;
  #setup = new SetupTable(element("phases"));
  #plot = new Plot(element("plot"), { x: "seconds since connected", y: "round trip in ms" });
  /** @type {AbortController | null} of the dial that is under way */
  #dialing = null;
  /** @type {import("./connection.js").Connection | null} */
  #connection = null;
  /** @type {PingLoop | null} */
  #ping = null;
  #connectedAt = 0;

  async start() {
    const token = tokenFromHash();
    element("peer").value = peerFromHash();
    window.addEventListener("hashchange", () => {
      if (peerFromHash()) element("peer").value = peerFromHash();
    });
    const url = signalingUrl();
    element("signaling-url").textContent = url.replace(/\/ws$/, "");
    if (globalThis.RTCPeerConnection === undefined) throw new PageError("no-webrtc");
    this.#identity = await Identity.generate();
    element("own-peer").textContent = this.#identity.peerId;
    this.#signaling = new SignalingClient(url, this.#identity, token);
    this.#signaling.addEventListener("statechange", () => this.#showServerState());
    this.#signaling.connect();
    this.#listen();
    this.#setBusy(false);
  }

  #listen() {
    element("dial").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#dial();
    });
    element("access").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#signaling.useToken(element("token").value.trim());
      element("token").value = "";
    });
    element("hang-up").addEventListener("click", () => this.#hangUp());
    element("echo").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#echo();
    });
    element("transfer").addEventListener("click", () => this.#transfer());
    window.addEventListener("online", () => this.#signaling.connect());
    window.addEventListener("pagehide", () => {
      this.#hangUp();
      this.#signaling.close();
    });
    window.addEventListener("pageshow", ({ persisted }) => {
      // Everything was closed when the page was left.
      if (persisted) location.reload();
    });
  }

  // --- the signaling server ------------------------------------------------------------------------------------------

  #showServerState() {
    const { state, error, notice } = this.#signaling;
    const pill = element("server-state");
    pill.dataset.state = state;
    pill.textContent = SERVER_STATES[state];
    pill.title = notice ?? "";
    if (state === "registered") clearProblem((code) => code.startsWith("server-"));
    else if (error !== null && (state === "refused" || this.#connection === null)) showProblem(error);
  }

  // --- the connection ------------------------------------------------------------------------------------------------

  async #dial() {
    clearProblem();
    const attempt = new AbortController();
    try {
      const peer = parseTarget(element("peer").value);
      history.replaceState(null, "", `#${peer}`);
      this.#dialing = attempt;
      this.#showDialing(peer);
      const connection = await dial({
        signaling: this.#signaling,
        identity: this.#identity,
        peer,
        abort: attempt.signal,
        onPhase: (phase, times) => this.#setup.show(times, phase),
      });
      this.#dialing = null;
      this.#connected(connection);
    } catch (error) {
      this.#dialing = null;
      this.#setBusy(false);
      this.#setup.stop(error === CANCELLED ? "cancelled" : "failed");
      this.#showState(error === CANCELLED ? "closed" : "failed");
      if (error !== CANCELLED) showProblem(error);
    }
  }

  #showDialing(peer) {
    this.#setBusy(true);
    this.#setup.show({}, "prepare");
    this.#showState("dialing");
    element("hang-up").textContent = "Cancel";
    element("remote-peer").textContent = peer;
    element("pair-kind").textContent = "–";
    element("pair-addresses").textContent = "";
    element("connection").hidden = false;
    element("tools").hidden = true;
    this.#plot.clear();
    showSummary(this.#plot.summary());
  }

  #connected(connection) {
    this.#connection = connection;
    element("hang-up").textContent = "Disconnect";
    this.#showState("connected");
    this.#setup.show(connection.setupTimes, "first");
    connection.addEventListener("statechange", () => this.#showState(connection.state));
    connection.addEventListener("ended", () => this.#ended(connection), { once: true });
    this.#showTools();
    this.#showPair(connection);
    this.#startPing(connection);
  }

  #hangUp() {
    this.#dialing?.abort(CANCELLED);
    this.#ping?.stop();
    this.#connection?.close();
  }

  #ended(connection) {
    this.#connection = null;
    this.#ping.stop();
    this.#setBusy(false);
    this.#setToolsEnabled(false);
    if (connection.endReason !== null) showProblem(connection.endReason);
  }

  async #showPair(connection) {
    const pair = await connection.candidatePair();
    if (pair === null) return;
    const kinds = {
      host: "direct (host)",
      srflx: "direct through a NAT (srflx)",
      prflx: "direct, address learned from the peer (prflx)",
      relay: "through a TURN server (relay)",
    };
    element("pair-kind").textContent = kinds[pair.kind];
    element("pair-kind").dataset.kind = pair.kind;
    element("pair-addresses").textContent = `${pair.local} → ${pair.remote}`;
  }

  #showState(state) {
    const pill = element("connection-state");
    pill.dataset.state = state;
    pill.textContent = CONNECTION_STATES[state];
  }

  #setBusy(isBusy) {
    element("connect").disabled = isBusy;
    element("connect").hidden = isBusy;
    element("peer").disabled = isBusy;
    element("hang-up").hidden = !isBusy;
    element("help").hidden = isBusy;
  }

  // --- what is done with it ------------------------------------------------------------------------------------------

  #showTools() {
    element("tools").hidden = false;
    element("echoes").replaceChildren();
    element("transfer-progress").value = 0;
    showTransfer("idle", "");
    this.#setToolsEnabled(true);
  }

  #setToolsEnabled(isEnabled) {
    element("echo-send").disabled = !isEnabled;
    element("transfer").disabled = !isEnabled;
  }

  #startPing(connection) {
    this.#connectedAt = performance.now();
    this.#ping = new PingLoop(
      connection,
      (milliseconds) => {
        const summary = this.#plot.add(this.#secondsConnected(), milliseconds);
        if (summary.count === 1) this.#setup.show({ ...connection.setupTimes, first: milliseconds }, null);
        showSummary(summary);
      },
      (error) => {
        if (connection.state !== "closed") showProblem(error);
      },
    );
    this.#ping.start();
  }

  #secondsConnected() {
    return (performance.now() - this.#connectedAt) / 1000;
  }

  async #echo() {
    const connection = this.#connection;
    const text = element("echo-text").value;
    if (connection === null || text === "") return;
    try {
      const { reply, milliseconds } = await echoText(connection, text);
      addEcho(reply, milliseconds, reply === text);
    } catch (error) {
      if (connection.state !== "closed") showProblem(error);
    }
  }

  async #transfer() {
    const connection = this.#connection;
    if (connection === null) return;
    const progress = element("transfer-progress");
    const begin = this.#secondsConnected();
    element("transfer").disabled = true;
    showTransfer("running", "Preparing…");
    try {
      const result = await transfer(connection, TRANSFER_SIZE, (received) => {
        progress.value = received / TRANSFER_SIZE;
        showTransfer("running", `${(received / MIB).toFixed(1)} of ${TRANSFER_SIZE / MIB} MiB are back`);
      });
      showTransferResult(result);
    } catch (error) {
      showTransfer("bad", "The transfer broke off.");
      if (connection.state !== "closed") showProblem(error);
    } finally {
      if (connection === this.#connection) this.#plot.mark("transfer", begin, this.#secondsConnected());
      element("transfer").disabled = this.#connection === null;
    }
  }
}

function addEcho(reply, milliseconds, isEqual) {
  const item = document.createElement("li");
  const text = document.createElement("span");
  text.className = "text";
  text.textContent = reply;
  text.dataset.state = isEqual ? "same" : "bad";
  const time = document.createElement("span");
  time.className = "time";
  time.textContent = `${isEqual ? "" : "not the same, "}${formatTime(milliseconds)}`;
  time.dataset.milliseconds = milliseconds;
  item.append(text, time);
  const list = element("echoes");
  list.prepend(item);
  while (list.children.length > ECHOES_SHOWN) list.lastElementChild.remove();
}

function showSummary({ count, min, median, max }) {
  const [smallest, middle, largest] = [min, median, max].map((value) => (count ? formatTime(value) : "–"));
  element("ping-summary").dataset.count = count;
  element("ping-min").textContent = smallest;
  element("ping-median").textContent = middle;
  element("ping-max").textContent = largest;
  const summary = `Round-trip times over time: at least ${smallest}, at most ${largest}, the median ${middle}`;
  element("plot").setAttribute("aria-label", summary);
}

function showTransferResult({ isEqual, sentDigest, receivedDigest, seconds }) {
  const rate = TRANSFER_SIZE / MIB / seconds;
  const result = element("transfer-result");
  result.dataset.rate = rate;
  result.title = `SHA-256 sent: ${sentDigest}\nSHA-256 received: ${receivedDigest}`;
  const speed = `${rate.toFixed(1)} MiB/s each way, ${seconds.toFixed(1)} s`;
  if (isEqual) showTransfer("good", `✓ The same bytes came back (SHA-256 ${sentDigest.slice(0, 8)}…): ${speed}`);
  else showTransfer("bad", `✗ Other bytes came back than were sent: ${speed}`);
}

function showTransfer(state, text) {
  const result = element("transfer-result");
  result.dataset.state = state;
  result.textContent = text;
}

function showProblem(error) {
  const problem = toPageError(error);
  if (problem.code === "internal") console.error(error);
  const { code, title, cure, message } = problem;
  element("problem").dataset.code = code;
  element("problem-title").textContent = title;
  element("problem-cure").textContent = cure;
  element("problem-detail").textContent = message;
  element("problem-more").hidden = message === "";
  element("access").hidden = code !== "server-token";
  element("problem").hidden = false;
}

function clearProblem(isMeant = () => true) {
  const problem = element("problem");
  if (!problem.hidden && isMeant(problem.dataset.code)) problem.hidden = true;
}

function formatTime(milliseconds) {
  return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}

function peerFromHash() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

/** The token in the address, `#token=…` or `#token=…&peer=…`, which is taken out of it: others may see it there. */
function tokenFromHash() {
  const fields = new URLSearchParams(location.hash.slice(1));
  const token = fields.get("token");
  if (token !== null) history.replaceState(null, "", `#${fields.get("peer") ?? ""}`);
  return token;
}

function signalingUrl() {
  const url = new URL("ws", new URL(".", location.href));
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  return url.href;
}

new App().start().catch((error) => {
  element("server-state").hidden = true;
  showProblem(error);
});
