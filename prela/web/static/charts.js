// Charts over time, by uPlot; it is loaded when the first is drawn.

import { html, useEffect, useMemo, useRef, useState } from "./ui.js";

/** The colours that the style sheet has for charts, at the moment. */
export function chartColours() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: colour("ink"),
    muted: colour("muted"),
    line: colour("line"),
    accent: colour("accent"),
    accentFaint: colour("accent-faint"),
    shade: colour("shade"),
    series: ["series-1", "series-2", "series-3"].map(colour),
    font: "11px system-ui, sans-serif",
  };
}

/** A number that changes whenever the theme does, by the button or by the system. */
function useTheme() {
  const [version, setVersion] = useState(0);
  useEffect(() => {
    const change = () => setVersion((before) => before + 1);
    const system = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("prela:theme", change);
    system.addEventListener("change", change);
    return () => {
      removeEventListener("prela:theme", change);
      system.removeEventListener("change", change);
    };
  }, []);
  return version;
}

/**
 * A chart in an element, as wide as it is: `[element, chart]`, both refs. `options(uPlot)` is asked anew when it is
 * another function, and when the theme changes.
 */
export function useChart(options, data) {
  const element = useRef(null);
  const chart = useRef(null);
  const latest = useRef(data);
  latest.current = data;
  const theme = useTheme();
  useEffect(() => {
    let isGone = false;
    let observer;
    import("./vendor/uPlot.js").then(({ default: uPlot }) => {
      if (isGone || !element.current) return;
      const wanted = options(uPlot);
      const width = () => Math.max(50, Math.floor(element.current.clientWidth));
      chart.current = new uPlot({ width: width(), ...wanted }, latest.current, element.current);
      observer = new ResizeObserver(() => {
        if (element.current && width() !== chart.current.width) chart.current.setSize({ width: width(), height: wanted.height });
      });
      observer.observe(element.current);
    });
    return () => {
      isGone = true;
      observer?.disconnect();
      chart.current?.destroy();
      chart.current = null;
    };
  }, [options, theme]);
  useEffect(() => {
    chart.current?.setData(data);
  }, [data]);
  return [element, chart];
}

const DASHES = [[], [6, 4], [2, 3]];

/** Lines over time: `times` in Unix seconds, `step` apart, `lines` of [label, values]; each has a dash of its own beside its colour. */
export function LineChart({ title, times, step, lines, format, isBars = false }) {
  const data = useMemo(() => {
    // the last bar is as wide as the others: so there is one time more, at which it ends
    const end = isBars ? [(times.at(-1) ?? 0) + step] : [];
    return [[...times, ...end], ...lines.map(([, values]) => [...values, ...end.map(() => values.at(-1))])];
  }, [times, lines, step, isBars]);
  const labels = lines.map(([label]) => label).join();
  const options = useMemo(
    () => (uPlot) => {
      const colour = chartColours();
      const axis = { stroke: colour.muted, font: colour.font, grid: { stroke: colour.line, width: 1 }, ticks: { show: false } };
      const value = (_chart, at) => (at === null || at === undefined ? "–" : format(at));
      return {
        height: 180,
        cursor: { y: false },
        scales: { x: { range: (_chart, least, most) => [least - (isBars ? 0 : step / 2), most + (isBars ? 0 : step / 2)] }, y: { range: (_chart, _least, most) => [0, most > 0 ? most * 1.08 : 1] } },
        axes: [axis, { ...axis, size: 64, values: (_chart, ticks) => ticks.map((tick) => format(tick)) }],
        series: [
          { label: "time" },
          ...lines.map(([label], i) => ({
            label,
            value,
            stroke: colour.series[i % colour.series.length],
            fill: isBars && i === 0 ? colour.accentFaint : undefined,
            width: 2,
            dash: DASHES[i % DASHES.length],
            spanGaps: false,
            points: { show: !isBars, size: 6 },
            paths: isBars ? uPlot.paths.stepped({ align: 1 }) : undefined,
          })),
        ],
      };
    },
    [labels, format, isBars, step],
  );
  const [element] = useChart(options, data);
  return html`<figure class="chart"><figcaption>${title}</figcaption><div ref=${element}></div></figure>`;
}
