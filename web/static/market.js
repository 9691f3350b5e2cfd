// The months of a family with a cursor, in place of the drawing that the page brings.

const box = document.querySelector("[data-market]");
if (box && window.uPlot) {
  const told = JSON.parse(box.dataset.market);
  const drawing = box.querySelector("svg");
  const look = getComputedStyle(document.documentElement);
  const color = (name) => look.getPropertyValue(name).trim();
  const number = (value) => value == null ? "–" : Math.round(value).toLocaleString(document.documentElement.lang);
  const month = (seconds) => {
    const at = new Date(seconds * 1000);
    return `${String(at.getUTCMonth() + 1).padStart(2, "0")}.${at.getUTCFullYear()}`;
  };
  const price = (_, value) => value == null ? "–" : `${number(value)} €`;
  const axis = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
  const height = 260;
  const room = 5 * 86400; // for the points at both ends
  const plot = new uPlot({
    width: box.clientWidth,
    height,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { x: { range: (_, from, to) => [from - room, to + room] } },
    axes: [
      { ...axis, values: (_, places) => places.map(month), space: 70, incrs: [30, 60, 90, 180, 365].map((days) => days * 86400) },
      { ...axis, size: 70, values: (_, places) => places.map(number) },
    ],
    series: [
      { label: told.names[0], value: (_, value) => value == null ? "–" : month(value) },
      { label: told.names[1], value: price, stroke: color("--band"), width: 1, points: { show: false } },
      { label: told.names[3], value: price, stroke: color("--band"), width: 1, points: { show: false } },
      { label: told.names[2], value: price, stroke: color("--link"), width: 2.5 }, // drawn over the band
      { label: told.names[4], value: (_, value) => number(value), scale: "ads", paths: () => null, points: { show: false } },
    ],
    bands: [{ series: [2, 1], fill: color("--band") }],
  }, [told.months.map((each) => Date.parse(each) / 1000), told.p25, told.p75, told.p50, told.ads], box);
  plot.root.setAttribute("aria-hidden", "true"); // the drawing says it, and the table
  drawing.classList.add("hidden");
  new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height })).observe(box);
}
