/** A plot of one value over the last minutes, on a canvas. Its axis of values begins at zero. */

import { Chart, drawTimes, drawValues, niceStep } from "./chart.js";

/** Seconds that are shown: what the server remembers. */
const WINDOW = 300;
const TICK = 60;

/** Ticks of the axis of values, about. */
const TICKS = 4;

/** Draws what it is given. */
export class Timeline extends Chart {
  /** @type {{at: number, value: number}[]} */
  #samples = [];
  #now = 0;

  /**
   * @param {{at: number, value: number}[]} samples the oldest first; times are seconds
   * @param {number} now
   */
  show(samples, now) {
    this.#samples = samples;
    this.#now = now;
    this.redraw();
  }

  paint(context, colors, area) {
    const begin = this.#now - WINDOW;
    const visible = this.#samples.filter(({ at }) => at >= begin);
    const step = Math.max(1, niceStep(Math.max(1, ...visible.map(({ value }) => value)) / TICKS));
    const high = step * Math.max(2, Math.ceil((Math.max(...visible.map(({ value }) => value), 0) * 1.05) / step));
    const toX = (at) => area.left + ((at - begin) / WINDOW) * area.width;
    const toY = (value) => area.top + (1 - value / high) * area.height;
    const ticks = Array.from({ length: Math.round(high / step) + 1 }, (_, index) => index * step);
    drawValues(context, colors, area, ticks, toY);
    drawTimes(context, area, minutesAgo(area), "minutes ago");
    if (visible.length > 0) drawArea(context, colors, visible, { toX, toY });
  }
}

function minutesAgo(area) {
  const ticks = [];
  for (let ago = 0; ago <= WINDOW; ago += TICK) {
    // The outermost ones must not leave the canvas.
    const label = ago === 0 ? { text: "now", align: "right" } : { text: String(ago / TICK) };
    ticks.push({ ...label, x: area.left + (1 - ago / WINDOW) * area.width });
  }
  return ticks;
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
