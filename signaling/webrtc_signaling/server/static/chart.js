/** What the plots have in common: a canvas that is drawn anew when something has changed, in the colors of the page. */

const MARGIN = { top: 12, right: 14, bottom: 38, left: 58 };

/** @typedef {{left: number, top: number, width: number, height: number}} Area between the axes */

/** Follows the canvas' size and the colors of the page, until the page is left. */
export class Chart {
  #canvas;
  #isDrawing = false;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.redraw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    this.redraw();
  }

  /**
   * Draw everything; for subclasses.
   *
   * @param {CanvasRenderingContext2D} _context an empty one
   * @param {Record<string, string>} _colors
   * @param {Area} _area
   */
  paint(_context, _colors, _area) {}

  /** Draw it anew with the next frame. */
  redraw() {
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
    const style = getComputedStyle(this.#canvas);
    context.font = `12px ${style.fontFamily}`;
    const area = {
      left: MARGIN.left,
      top: MARGIN.top,
      width: width - MARGIN.left - MARGIN.right,
      height: height - MARGIN.top - MARGIN.bottom,
    };
    this.paint(context, colorsOf(style), area);
  }
}

/**
 * The lines and labels of the axis of values.
 *
 * @param {number[]} ticks
 * @param {(value: number) => number} toY
 */
export function drawValues(context, colors, area, ticks, toY) {
  context.strokeStyle = colors.grid;
  context.fillStyle = colors.text;
  context.lineWidth = 1;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const value of ticks) {
    const y = Math.round(toY(value)) + 0.5;
    line(context, area.left, y, area.left + area.width, y);
    context.fillText(value.toLocaleString("en"), area.left - 8, y);
  }
}

/**
 * The labels of the axis of times.
 *
 * @param {{text: string, x: number, align?: CanvasTextAlign}[]} ticks
 * @param {string} title
 */
export function drawTimes(context, area, ticks, title) {
  context.textBaseline = "top";
  for (const { text, x, align = "center" } of ticks) {
    context.textAlign = align;
    context.fillText(text, x, area.top + area.height + 6);
  }
  context.textAlign = "center";
  context.fillText(title, area.left + area.width / 2, area.top + area.height + 22);
}

export function line(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

/** The smallest of 1, 2 and 5 times a power of ten that is not below `step`. */
export function niceStep(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  return [1, 2, 5, 10].map((factor) => factor * power).find((nice) => nice >= step * 0.999);
}

function colorsOf(style) {
  const color = (name) => style.getPropertyValue(name).trim();
  return {
    line: color("--accent"),
    soft: color("--accent-soft"),
    background: color("--card"),
    grid: color("--border"),
    text: color("--muted"),
  };
}
