"use strict";
// What is shown of one map.
const DATA = JSON.parse(document.getElementById("table").textContent);

const SURE = DATA.task === "build" ? "Probability of place" : "Confidence";

function unpacked(text, kind) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  return new kind(bytes.buffer);
}

// Seconds as people say them.
function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return seconds < 5400 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const shade = value => value === null ? "#f0e0a0" : `rgb(${Math.round(235 - 235 * value)}, ${Math.round(235 - 121 * value)}, ${Math.round(235 - 57 * value)})`;

function residuesOf(view) {
  const xyz = unpacked(view.xyz, Int16Array), labels = unpacked(view.labels, Uint8Array);
  const confidence = unpacked(view.confidence, Int16Array);
  return Array.from(labels, (label, i) => ({
    x: xyz[3 * i] * DATA.step, y: xyz[3 * i + 1] * DATA.step, z: xyz[3 * i + 2] * DATA.step,
    elem: "C", serial: i + 1, bonds: [], properties: { label, confidence: confidence[i] < 0 ? null : confidence[i] / 255 },
  }));
}

function spacePanel(residues) {
  const place = element("div", { class: "view" });
  const said = element("span", {}, "Drag turns, the wheel zooms; hover over a residue to see what it is.");
  const panel = element("section", { class: "panel" },
    element("h3", {}, DATA.task === "build" ? "CA atoms of the model" : "Centroids of the residues"), place);
  panel.start = () => {
    let viewer;
    try {
      viewer = $3Dmol.createViewer(place, { backgroundColor: "white", antialias: true });
      viewer.addModel().addAtoms(residues);
    } catch (error) {
      place.replaceChildren("This browser cannot show the residues in space: it has no WebGL.");
      return;
    }
    const colored = by => {
      const color = by === "class" ? atom => DATA.colors[atom.properties.label] : atom => shade(atom.properties.confidence);
      viewer.setStyle({}, { sphere: { radius: 1.1, colorfunc: color } });
      viewer.render();
      for (const button of buttons) button.setAttribute("aria-pressed", button.value === by);
    };
    const buttons = ["class", "confidence"].map(by =>
      element("button", { value: by, onclick: () => colored(by) }, by === "class" ? "By class" : `By ${SURE.toLowerCase()}`));
    panel.append(element("div", { class: "under" }, ...buttons, said));
    viewer.setHoverable({}, true, atom => {
      const { label, confidence } = atom.properties;
      said.textContent = `Residue ${atom.serial}: ${DATA.labels[label]}` + (confidence === null ? "" : `, ${SURE.toLowerCase()} ${confidence.toFixed(2)}`);
    }, () => {});
    colored("class");
    viewer.zoomTo();
    viewer.render();
    panel.viewer = viewer;
  };
  return panel;
}

function factsPanel(row, view) {
  const facts = [["File", view.path]];
  if (row.resolution) facts.push(["Resolution", `${row.resolution.toFixed(2)} Å`]);
  if (view.spacegroup) facts.push(["Space group", view.spacegroup]);
  if (row.residues !== undefined) facts.push(["Residues", row.residues]);
  if (row.confidence) facts.push([`Mean ${SURE.toLowerCase()}`, row.confidence.toFixed(2)]);
  if (row.r_free) facts.push(["R-free", row.r_free.toFixed(3)]);
  if (view.timings) {
    const stages = Object.entries(view.timings).map(([stage, seconds]) => `${stage} ${duration(seconds)}`);
    facts.push(["Time", `${duration(row.seconds)} (${stages.join(", ")})`]);
  }
  if (view.attempts > 1) facts.push(["Attempts", view.attempts]);
  const settings = Object.entries(view.settings).map(([name, value]) => `${name} ${value}`);
  if (settings.length) facts.push(["Options", settings.join(", ")]);
  const list = element("dl", { class: "facts" });
  for (const [name, value] of facts) list.append(element("dt", {}, name), element("dd", {}, `${value}`));
  return element("section", { class: "panel" }, element("h3", {}, "The map"), list);
}

function filesPanel(row, view) {
  const links = Object.entries(view.files).map(([name, bytes]) => {
    const address = `${row.name}/${name}`.split("/").map(encodeURIComponent).join("/");
    return element("li", {}, element("a", { href: address }, name), ` ${size(bytes)}`);
  });
  return element("section", { class: "panel" }, element("h3", {}, "Files"), element("ul", { class: "files" }, ...links));
}

function compositionPanel(view) {
  const total = counts => counts.reduce((sum, n) => sum + n, 0);
  const said = view.expected
    ? `Bars: ${total(view.found)} residues found. Lines: ${total(view.expected)} residues of the sequence.`
    : `${total(view.found)} residues found; no sequence was given.`;
  return element("section", { class: "panel" }, element("h3", {}, "Composition"),
    compositionChart(DATA.labels, DATA.colors, view.found, view.expected), element("div", { class: "under" }, said));
}

// Show a map in `place`; returns a function that takes it away again.
function showMap(place, row, view, way) {
  const sentence = (text, kind) => element("p", { class: `sentence ${kind}` }, text);
  const sentences = [
    ...[row.error, view.problem].filter(Boolean).map(text => sentence(text, "error")),
    ...(view.warnings || []).map(text => sentence(text, "")),
  ];
  const left = element("div"), right = element("div");
  let space = null;
  if (view.found && view.labels) {
    space = spacePanel(residuesOf(view));
    left.append(space);
    right.append(compositionPanel(view));
    const known = unpacked(view.confidence, Int16Array).filter(value => value >= 0);
    right.append(element("section", { class: "panel" }, element("h3", {}, SURE), confidenceChart(known)));
  }
  left.append(factsPanel(row, view));
  if (view.files) left.append(filesPanel(row, view));
  place.replaceChildren(way, ...sentences, element("div", { class: "panels" }, left, right));
  if (space) space.start();
  return () => {
    if (space && space.viewer) space.viewer.getCanvas().getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
    place.replaceChildren();
  };
}
