/** A plot of one value over the last minutes, on a canvas. Its axis of values begins at zero. */

import { colorsOf, line, niceStep } from "./plot.js";

/** Seconds that are shown: what the server remembers. */
const WINDOW = 300;
const TICK = 60;

const MARGIN = { top: 12, right: 14, bottom: 38, left: 58 };

/** Ticks of the axis of values, about. */
const TICKS = 4;

/** Draws what it is given, in the colors of the page, until the page is left. */
export class Timeline {
  #canvas;
  /** @type {{at: number, value: number}[]} */
  #samples = [];
  #now = 0;
  #isDrawing = false;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#redraw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#redraw());
  }

  /**
   * @param {{at: number, value: number}[]} samples the oldest first; times are seconds
   * @param {number} now
   */
  show(samples, now) {
    this.#samples = samples;
    this.#now = now;
    this.#redraw();
  }

  #redraw() {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => {
      this.#isDrawing = false;
      this.#draw();
    });
  }

  #draw() {
    const { width, height } = this.#canvas.getBoundingClientRect();
    if (width === 0 || height === 0) return;
    const ratio = window.devicePixelRatio || 1;
    this.#canvas.width = Math.round(width * ratio);
    this.#canvas.height = Math.round(height * ratio);
    const context = this.#canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.font = `12px ${getComputedStyle(this.#canvas).fontFamily}`;
    const colors = colorsOf(this.#canvas);
    const area = {
      left: MARGIN.left,
      top: MARGIN.top,
      width: width - MARGIN.left - MARGIN.right,
      height: height - MARGIN.top - MARGIN.bottom,
    };
    const begin = this.#now - WINDOW;
    const visible = this.#samples.filter(({ at }) => at >= begin);
    const step = Math.max(1, niceStep(Math.max(1, ...visible.map(({ value }) => value)) / TICKS));
    const high = step * Math.max(2, Math.ceil((Math.max(...visible.map(({ value }) => value), 0) * 1.05) / step));
    const toX = (at) => area.left + ((at - begin) / WINDOW) * area.width;
    const toY = (value) => area.top + (1 - value / high) * area.height;
    drawAxes(context, colors, area, { step, high, toY });
    if (visible.length > 0) drawArea(context, colors, visible, { toX, toY });
  }
}

function drawAxes(context, colors, area, { step, high, toY }) {
  context.strokeStyle = colors.grid;
  context.fillStyle = colors.text;
  context.lineWidth = 1;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (let value = 0; value <= high; value += step) {
    const y = Math.round(toY(value)) + 0.5;
    line(context, area.left, y, area.left + area.width, y);
    context.fillText(value.toLocaleString("en"), area.left - 8, y);
  }
  context.textBaseline = "top";
  for (let ago = 0; ago <= WINDOW; ago += TICK) {
    const x = area.left + (1 - ago / WINDOW) * area.width;
    // The outermost ones must not leave the canvas.
    context.textAlign = ago === 0 ? "right" : "center";
    context.fillText(ago === 0 ? "now" : String(ago / TICK), x, area.top + area.height + 6);
  }
  context.textAlign = "center";
  context.fillText("minutes ago", area.left + area.width / 2, area.top + area.height + 22);
}

function drawArea(context, colors, samples, { toX, toY }) {
  const trace = () => {
    context.beginPath();
    for (const { at, value } of samples) context.lineTo(toX(at), toY(value));
  };
  trace();
  context.lineTo(toX(samples.at(-1).at), toY(0));
  context.lineTo(toX(samples[0].at), toY(0));
  context.fillStyle = colors.soft;
  context.globalAlpha = 0.6;
  context.fill();
  context.globalAlpha = 1;
  trace();
  context.strokeStyle = colors.line;
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.stroke();
}
