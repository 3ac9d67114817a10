// How many spans were at work over the whole of a trace; a stretch dragged over it is what the waterfall shows next.

import { chartColours, useChart } from "../charts.js";
import { nanoseconds } from "../format.js";
import { html, useEffect, useMemo, useRef } from "../ui.js";
import { between, whole } from "./scale.js";

const HEIGHT = 84; // pixels

export function Profile({ model, view, onView }) {
  const { steps, peak, average, serial_share: serial } = model.trace.concurrency;
  const data = useMemo(() => {
    const points = steps.length ? steps : [[0, 0]];
    return [points.map(([at]) => at), points.map(([, running]) => running)];
  }, [steps]);
  const latest = useRef(null);
  latest.current = { view, onView, length: model.length };
  const options = useMemo(
    () => (uPlot) => {
      const colour = chartColours();
      return {
        height: HEIGHT,
        padding: [6, 0, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { show: false } },
        scales: {
          x: { time: false, range: () => [0, latest.current.length] },
          y: { range: () => [0, Math.max(1, peak) * 1.1] },
        },
        axes: [
          { stroke: colour.muted, size: 22, font: colour.font, grid: { stroke: colour.line, width: 1 }, ticks: { show: false }, values: (chart, at) => at.map((ns) => (ns && hasRoom(chart, ns, latest.current.length) ? nanoseconds(ns) : "")) },
          { show: false },
        ],
        series: [
          {},
          { stroke: colour.accent, fill: colour.accentFaint, width: 1.5, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } },
        ],
        hooks: {
          setSelect: [
            (chart) => {
              const { left, width } = chart.select;
              if (width < 3) return;
              latest.current.onView(between(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"), latest.current.length));
            },
          ],
          draw: [(chart) => shadeOutside(chart, latest.current.view, colour.shade)],
        },
      };
    },
    [peak],
  );
  const [element, chart] = useChart(options, data);
  useEffect(() => {
    chart.current?.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    chart.current?.redraw(false, false);
  }, [view]);
  return html`<section class="profile" aria-label="Concurrency">
    <div class="profile-words">
      <h2>At work</h2>
      <p>peak <b>${peak}</b>, average <b>${Number(average.toFixed(2))}</b></p>
      <p>alone <b>${Math.round(serial * 100)} %</b> of the busy time</p>
    </div>
    <div class="profile-chart" ref=${element} title="Drag to zoom; double click for all" onDblClick=${() => onView(whole(model.length))}></div>
  </section>`;
}

const HALF_A_LABEL = 24; // pixels

/** Whether a label in the middle of this time ends before the chart does. */
function hasRoom(chart, ns, length) {
  return (1 - ns / length) * chart.width >= HALF_A_LABEL;
}

/** A veil over what the waterfall does not show. */
function shadeOutside(chart, view, shade) {
  const { ctx, bbox } = chart;
  const right = bbox.left + bbox.width;
  const at = (ns) => Math.min(right, Math.max(bbox.left, chart.valToPos(ns, "x", true)));
  ctx.save();
  ctx.fillStyle = shade;
  ctx.fillRect(bbox.left, bbox.top, at(view.from) - bbox.left, bbox.height);
  ctx.fillRect(at(view.to), bbox.top, right - at(view.to), bbox.height);
  ctx.restore();
}
