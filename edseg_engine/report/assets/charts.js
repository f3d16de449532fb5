"use strict";
// Small drawings and helpers for the page. Text always goes in as text, never as markup.
const SVG = "http://www.w3.org/2000/svg";

function element(tag, attributes = {}, ...children) {
  const made = attributes.svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "svg" || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

const drawn = (tag, attributes, ...children) => element(tag, { svg: true, ...attributes }, ...children);

// Bars of the residues found of each class; a line shows how many the sequence has.
function compositionChart(labels, colors, found, expected) {
  const row = 19, left = 76, width = 420, right = 74;
  const most = Math.max(1, ...found, ...(expected || []));
  const x = n => left + (width - left - right) * n / most;
  const chart = drawn("svg", { viewBox: `0 0 ${width} ${row * labels.length + 4}`, role: "img", "aria-label": "composition" });
  labels.forEach((label, i) => {
    const y = row * i + 2, middle = y + row / 2 + 4;
    chart.append(
      drawn("text", { x: left - 8, y: middle, "text-anchor": "end" }, label),
      drawn("rect", { x: left, y: y + 3, width: x(found[i]) - left, height: row - 6, fill: colors[i] }),
    );
    if (expected) chart.append(drawn("path", { d: `M${x(expected[i])} ${y}v${row}`, stroke: "#1d2630", "stroke-width": 2.5 }));
    const said = expected ? `${found[i]} of ${expected[i]}` : `${found[i]}`;
    chart.append(drawn("text", { x: width - 2, y: middle, "text-anchor": "end", class: "faint" }, said));
  });
  return chart;
}

// How many residues have a confidence in each tenth.
function confidenceChart(confidence) {
  const bins = new Array(10).fill(0);
  for (const value of confidence) bins[Math.min(9, Math.floor(value / 25.5))] += 1;
  const width = 420, height = 156, left = 14, bottom = 20, most = Math.max(1, ...bins), step = (width - 2 * left) / 10;
  const chart = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "confidence" });
  bins.forEach((count, i) => {
    const high = (height - bottom - 18) * count / most, x = left + step * i;
    chart.append(drawn("rect", { x: x + 1, y: height - bottom - high, width: step - 2, height: high, fill: "#0072B2" }));
    if (count) chart.append(drawn("text", { x: x + step / 2, y: height - bottom - high - 4, "text-anchor": "middle" }, `${count}`));
  });
  for (let i = 0; i <= 10; i += 2) {
    chart.append(drawn("text", { x: left + step * i, y: height - bottom + 15, "text-anchor": "middle", class: "faint" }, (i / 10).toFixed(1)));
  }
  chart.append(
    drawn("path", { d: `M${left} ${height - bottom}H${width - left}`, stroke: "#b9c3ce" }),
  );
  return chart;
}
