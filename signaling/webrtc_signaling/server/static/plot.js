/** A small plot of positive values over time, on a canvas. Its axis of values is logarithmic. */

import { Chart, drawTimes, drawValues, line, niceStep } from "./chart.js";

/** Samples that are kept: ten minutes of four a second. */
const MAX_SAMPLES = 2400;
const MAX_PERIODS = 100;

/** Seconds that the plot shows: the last of these, or all while there are few. */
const WINDOW = 60;
const SHORTEST_WINDOW = 10;

/** Values below it are drawn on it: a logarithmic axis has no zero, and browsers' clocks are coarse. */
const SMALLEST = 0.1;

/** An axis that spans more than this factor has ticks at the powers of ten alone. */
const MANY_TICKS = 200;

/**
 * @typedef {object} Summary of all samples that are kept
 * @property {number} count
 * @property {number} min
 * @property {number} median
 * @property {number} max
 */

/** Draws what it is given. */
export class Plot extends Chart {
  #labels;
  /** @type {{at: number, value: number}[]} */
  #samples = [];
  /** @type {{label: string, begin: number, end: number}[]} */
  #periods = [];

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{x: string, y: string}} labels of the axes; times are seconds
   */
  constructor(canvas, labels) {
    super(canvas);
    this.#labels = labels;
  }

  /** Forget all samples. */
  clear() {
    this.#samples = [];
    this.#periods = [];
    this.redraw();
  }

  /**
   * Mark a period in which something special went on.
   *
   * @param {string} label
   * @param {number} begin seconds
   * @param {number} end
   */
  mark(label, begin, end) {
    this.#periods.push({ label, begin, end });
    if (this.#periods.length > MAX_PERIODS) this.#periods.shift();
    this.redraw();
  }

  /**
   * @param {number} at seconds
   * @param {number} value
   * @returns {Summary}
   */
  add(at, value) {
    this.#samples.push({ at, value });
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift();
    this.redraw();
    return this.summary();
  }

  /** @returns {Summary} */
  summary() {
    const sorted = this.#samples.map(({ value }) => value).sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    return { count: sorted.length, min: sorted[0], median, max: sorted.at(-1) };
  }

  paint(context, colors, area) {
    const end = Math.max(SHORTEST_WINDOW, this.#samples.at(-1)?.at ?? 0);
    const begin = Math.max(0, end - WINDOW);
    const visible = this.#samples.filter(({ at }) => at >= begin);
    const { low, high, ticks } = logarithmicAxis(visible.map(({ value }) => value));
    const toX = (at) => area.left + ((at - begin) / (end - begin)) * area.width;
    const toY = (value) => {
      const part = Math.log(Math.max(value, low) / low) / Math.log(high / low);
      return area.top + (1 - part) * area.height;
    };
    for (const period of this.#periods) drawPeriod(context, colors, area, { begin, end, toX }, period);
    drawValues(context, colors, area, ticks, toY);
    drawTimes(context, area, secondsOf(begin, end, toX), this.#labels.x);
    drawTitle(context, area, this.#labels.y);
    if (visible.length === 0) return;
    drawMedian(context, colors, area, toY(this.summary().median));
    drawLine(context, colors, visible, toX, toY);
  }
}

/** Ticks for times between two. */
function secondsOf(begin, end, toX) {
  const step = niceStep((end - begin) / 6);
  const ticks = [];
  for (let at = Math.ceil(begin / step) * step; at <= end; at += step) ticks.push({ text: String(at), x: toX(at) });
  return ticks;
}

/** The title of the axis of values, upright beside it. */
function drawTitle(context, area, title) {
  context.save();
  context.translate(12, area.top + area.height / 2);
  context.rotate(-Math.PI / 2);
  context.textBaseline = "middle";
  context.textAlign = "center";
  context.fillText(title, 0, 0);
  context.restore();
}

function drawPeriod(context, colors, area, { begin, end, toX }, period) {
  if (period.end < begin) return;
  const left = toX(Math.max(begin, period.begin));
  const right = toX(Math.min(end, period.end));
  context.fillStyle = colors.soft;
  context.fillRect(left, area.top, Math.max(2, right - left), area.height);
  context.textBaseline = "top";
  context.textAlign = right > area.left + area.width / 2 ? "right" : "left";
  write(context, colors, period.label, context.textAlign === "right" ? left - 5 : right + 5, area.top + 3);
}

function drawMedian(context, colors, area, y) {
  context.strokeStyle = colors.text;
  context.setLineDash([5, 4]);
  line(context, area.left, y, area.left + area.width, y);
  context.setLineDash([]);
  context.textBaseline = "bottom";
  context.textAlign = "right";
  write(context, colors, "median", area.left + area.width - 4, y - 3);
}

/** A text with a halo, for it may stand on lines. */
function write(context, colors, text, x, y) {
  context.strokeStyle = colors.background;
  context.lineWidth = 4;
  context.strokeText(text, x, y);
  context.fillStyle = colors.text;
  context.fillText(text, x, y);
  context.lineWidth = 1;
}

function drawLine(context, colors, samples, toX, toY) {
  context.strokeStyle = colors.line;
  context.fillStyle = colors.line;
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.beginPath();
  for (const { at, value } of samples) context.lineTo(toX(at), toY(value));
  context.stroke();
  for (const { at, value } of samples) {
    context.beginPath();
    context.arc(toX(at), toY(value), 2, 0, 2 * Math.PI);
    context.fill();
  }
}

/** Bounds among 1, 2 and 5 times powers of ten around the values, at least one power apart, and ticks for them. */
function logarithmicAxis(values) {
  const least = Math.max(SMALLEST, Math.min(...values, 1e6));
  const most = Math.max(SMALLEST, ...values);
  const low = values.length > 0 ? 10 ** Math.floor(Math.log10(least * 1.001)) : 1;
  const high = Math.max(low * 10, niceStep(most * 1.05));
  const ticks = [];
  for (let power = low; power <= high * 1.001; power *= 10) {
    for (const factor of high / low > MANY_TICKS ? [1] : [1, 2, 5]) {
      if (power * factor <= high * 1.001) ticks.push(Number((power * factor).toPrecision(1)));
    }
  }
  return { low, high, ticks };
}
