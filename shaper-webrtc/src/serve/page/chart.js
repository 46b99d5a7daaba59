// One figure over the last two minutes, of both directions.
const SECONDS = 120;

// A round number that is no less, so that the scale does not change with each second.
function roundUp(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * unit).find((step) => step >= value);
}

class Chart {
  constructor(figure, parent) {
    this.figure = figure;
    this.points = [];
    this.canvas = document.createElement('canvas');
    this.canvas.setAttribute('role', 'img');
    const caption = document.createElement('figcaption');
    caption.textContent = `${figure.name}, ${figure.unit}, the last two minutes`;
    const frame = document.createElement('figure');
    frame.append(this.canvas, caption);
    parent.append(frame);
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
    this.draw();
  }

  add(sent, received) {
    this.points.push({ sent, received });
    if (this.points.length > SECONDS) this.points.shift();
    this.draw();
  }

  clear() {
    this.points = [];
    this.draw();
  }

  draw() {
    const { canvas, figure, points } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (width === 0) return;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext('2d');
    context.scale(scale, scale);
    const colours = getComputedStyle(document.documentElement);
    const colour = (name) => colours.getPropertyValue(name).trim();
    const known = points.flatMap(({ sent, received }) => [sent, received]).filter((value) => value !== null);
    const top = roundUp(Math.max(1, ...known));
    const [left, right, upper, lower] = [38, width - 4, 8, height - 8];
    const at = (value) => lower - (value / top) * (lower - upper);
    context.font = '12px system-ui, sans-serif';
    context.textAlign = 'right';
    context.textBaseline = 'middle';
    context.lineWidth = 1;
    for (const value of [0, top / 2, top]) {
      context.strokeStyle = colour('--line');
      context.beginPath();
      context.moveTo(left, at(value));
      context.lineTo(right, at(value));
      context.stroke();
      context.fillStyle = colour('--soft');
      context.fillText(String(value), left - 5, at(value));
    }
    context.lineWidth = 2;
    context.lineJoin = 'round';
    const from = SECONDS - points.length;
    for (const [key, dashes] of [['sent', []], ['received', [5, 3]]]) {
      context.strokeStyle = colour(`--${key}`);
      // Told apart without colours too.
      context.setLineDash(dashes);
      context.beginPath();
      let joined = false;
      points.forEach((point, index) => {
        const value = point[key];
        if (value !== null) {
          const x = left + ((from + index) / (SECONDS - 1)) * (right - left);
          if (joined) context.lineTo(x, at(value));
          else context.moveTo(x, at(value));
        }
        joined = value !== null;
      });
      context.stroke();
    }
    context.setLineDash([]);
    const last = points[points.length - 1] ?? { sent: null, received: null };
    canvas.setAttribute('aria-label', `${figure.name}: you send ${shown(figure, last.sent)}, you receive ${shown(figure, last.received)}`);
  }
}

// A figure with its unit.
function shown(figure, value) {
  return value === null ? '–' : `${value.toFixed(figure.digits)} ${figure.unit}`;
}
