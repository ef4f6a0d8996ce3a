/** The table of the phases of a set-up: how long each took, drawn one after the other. */

const PHASES = {
  prepare: "Prepare",
  signaling: "Signaling",
  ice: "ICE",
  dtls: "DTLS",
  sctp: "SCTP",
  first: "First byte",
};

const MEANINGS = {
  prepare: "the signaling server is there, and the browser has made keys and an offer",
  signaling: "the offer goes to the peer, and its signed answer comes back",
  ice: "a path between the two machines is found",
  dtls: "the path is encrypted",
  sctp: "data channels are set up on it",
  first: "a first small message is there and back",
};

/** Fills a table, one row for each phase. */
export class SetupTable {
  #rows = {};
  #current = null;

  /** @param {HTMLTableElement} table */
  constructor(table) {
    for (const [phase, name] of Object.entries({ ...PHASES, total: "Total" })) {
      const row = table.tBodies[0].insertRow();
      row.dataset.phase = phase;
      row.title = MEANINGS[phase] ?? "";
      const heading = document.createElement("th");
      heading.scope = "row";
      heading.textContent = name;
      row.append(heading);
      const bar = document.createElement("span");
      const barCell = row.insertCell();
      barCell.className = "bar";
      barCell.append(bar);
      const time = row.insertCell();
      time.className = "time";
      this.#rows[phase] = { row, bar, time };
    }
    this.#rows.total.row.className = "total";
    this.#rows.total.bar.remove();
  }

  /**
   * @param {Partial<Record<string, number>>} times milliseconds of the phases that are over
   * @param {string | null} current the phase that goes on
   */
  show(times, current) {
    this.#current = current;
    const total = Object.values(times).reduce((sum, time) => sum + time, 0);
    let before = 0;
    for (const phase of Object.keys(PHASES)) {
      const { row, bar, time } = this.#rows[phase];
      const elapsed = times[phase];
      const isOver = elapsed !== undefined;
      row.classList.toggle("pending", !isOver);
      time.textContent = isOver ? formatTime(elapsed) : phase === current ? "…" : "";
      if (isOver) row.dataset.milliseconds = elapsed;
      else delete row.dataset.milliseconds;
      delete row.dataset.state;
      bar.style.marginLeft = `${percentage(before, total)}%`;
      bar.style.width = `${percentage(elapsed ?? 0, total)}%`;
      before += elapsed ?? 0;
    }
    this.#rows.total.row.hidden = current !== null;
    this.#rows.total.time.textContent = formatTime(total);
  }

  /**
   * The phase that went on is where it ended.
   *
   * @param {"failed" | "cancelled"} how
   */
  stop(how) {
    if (this.#current === null) return;
    const { row, time } = this.#rows[this.#current];
    row.dataset.state = how;
    time.textContent = how;
  }
}

function percentage(part, whole) {
  return whole > 0 ? (part / whole) * 100 : 0;
}

function formatTime(milliseconds) {
  return `${milliseconds.toFixed(1)} ms`;
}
