// One page: fragments of HTML that the server renders, kept in place by a small morph, and plots.
// Everything from outside is escaped on the server; the morph only moves nodes.

const SECONDS_KEPT = 120;

function morph(here, there) {
  if (here.nodeType !== there.nodeType || here.nodeName !== there.nodeName) {
    here.replaceWith(there.cloneNode(true));
    return;
  }
  if (here.nodeType !== Node.ELEMENT_NODE) {
    if (here.nodeValue !== there.nodeValue) here.nodeValue = there.nodeValue;
    return;
  }
  for (const { name } of [...here.attributes])
    if (!there.hasAttribute(name)) here.removeAttribute(name);
  for (const { name, value } of there.attributes)
    if (here.getAttribute(name) !== value) here.setAttribute(name, value);
  if (here.dataset && here.dataset.plot !== undefined) return; // what is drawn inside is ours
  const olds = [...here.childNodes];
  const news = [...there.childNodes];
  olds.slice(news.length).forEach((each) => each.remove());
  news.forEach((each, at) =>
    at < olds.length ? morph(olds[at], each) : here.appendChild(each.cloneNode(true))
  );
}

function colour(name) {
  return getComputedStyle(document.body).getPropertyValue(name).trim();
}

function scale(low, high, zero) {
  if (zero && low >= 0) return [0, high > 0 ? high * 1.1 : 1];
  const margin = Math.max((high - low) * 0.15, Math.abs(high) * 0.005, 1e-9);
  return [low - margin, high + margin];
}

// Wall clock times in the watcher's own zone; days where the ticks are that far apart.
function clock(u, ticks, axis, space, step) {
  const two = (number) => String(number).padStart(2, "0");
  return ticks.map((tick) => {
    const at = new Date(tick * 1000);
    const day = `${two(at.getDate())}.${two(at.getMonth() + 1)}.`;
    const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
    if (step >= 86400) return day;
    return step < 60 ? `${time}:${two(at.getSeconds())}` : time;
  });
}

class Plot {
  constructor(box) {
    this.box = box;
    this.spec = JSON.parse(box.dataset.spec);
    this.data = null;
    new ResizeObserver(() => this.fit()).observe(box);
  }

  take(told) {
    this.marks = told.marks || this.marks;
    if (told.set) this.data = told.set;
    else if (this.data) {
      told.add.forEach((column, k) => (this.data[k] = this.data[k].concat(column)));
      const from = this.data[0].findIndex((x) => x >= this.data[0].at(-1) - SECONDS_KEPT);
      if (from > 0) this.data = this.data.map((column) => column.slice(from));
    } else return;
    if (this.drawn) this.drawn.setData(this.data);
    else this.draw();
  }

  draw() {
    if (this.drawn) this.drawn.destroy();
    if (!this.data || !this.box.clientWidth) return;
    const { series, x, unit, bars, zero, range } = this.spec;
    const ink = colour("--ink-soft");
    const axis = { stroke: ink, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    this.box.textContent = "";
    this.drawn = new uPlot(
      {
        width: this.box.clientWidth,
        height: this.box.clientHeight - (series.length > 1 ? 28 : 0),
        cursor: { drag: { x: true, y: false } },
        legend: { show: series.length > 1, live: false },
        scales: {
          x: { time: x === "time" },
          y: { range: range || ((u, low, high) => scale(low ?? 0, high ?? 1, zero)) },
        },
        axes: [
          x === "time"
            ? { ...axis, values: clock, space: 70, size: 30 }
            : { ...axis, label: x, labelSize: 16, size: 34, labelFont: "12px sans-serif" },
          { ...axis, label: unit, labelSize: 18, labelFont: "12px sans-serif", size: 58 },
        ],
        series: [
          {},
          ...series.map((label, k) => ({
            label,
            stroke: colour(`--plot-${k + 1}`),
            width: 1.5,
            fill: bars && k === 0 ? colour("--plot-fill") : undefined,
            paths: bars && k === 0 ? uPlot.paths.stepped({ align: 1 }) : undefined,
            points: { show: false },
          })),
        ],
        hooks: { drawClear: [(u) => this.window(u)] },
      },
      this.data,
      this.box
    );
  }

  window(u) {
    if (!this.marks) return;
    const [from, to] = this.marks.map((mark) => u.valToPos(mark, "x", true));
    u.ctx.fillStyle = colour("--plot-window");
    u.ctx.fillRect(from, u.bbox.top, to - from, u.bbox.height);
  }

  fit() {
    if (this.drawn && this.box.isConnected)
      this.drawn.setSize({
        width: this.box.clientWidth,
        height: this.box.clientHeight - (this.spec.series.length > 1 ? 28 : 0),
      });
    else this.draw();
  }
}

export default {
  template: `<main class="page"></main>`,
  props: { fragments: Object },
  data: () => ({ plots: new Map() }),
  mounted() {
    for (const [name, html] of Object.entries(this.fragments)) this.part(name).innerHTML = html;
    this.$el.addEventListener("click", (event) => {
      const button = event.target.closest("[data-act]");
      if (button) this.$emit("act", { act: button.dataset.act, of: button.dataset.of });
    });
    this.dark = new MutationObserver(() => this.plots.forEach((plot) => plot.draw()));
    this.dark.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    this.$emit("token", sessionStorage.getItem("qnodeos-token") || "");
  },
  unmounted() {
    this.dark.disconnect();
  },
  methods: {
    part(name) {
      let found = [...this.$el.children].find((each) => each.dataset.part === name);
      if (!found) {
        found = document.createElement("section");
        found.dataset.part = name;
        this.$el.appendChild(found);
      }
      return found;
    },
    push(fragments, plots) {
      for (const [name, html] of Object.entries(fragments)) {
        const there = document.createElement("section");
        there.dataset.part = name;
        there.innerHTML = html;
        morph(this.part(name), there);
      }
      for (const [name, told] of Object.entries(plots)) {
        const box = this.$el.querySelector(`[data-plot="${CSS.escape(name)}"]`);
        if (!box) continue;
        let plot = this.plots.get(name);
        if (!plot || plot.box !== box) this.plots.set(name, (plot = new Plot(box)));
        plot.take(told);
      }
    },
  },
};
