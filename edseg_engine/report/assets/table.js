"use strict";
// The table of maps. What is shown is in the address after #, so that it can be kept and sent.
const PER_PAGE = 100;
const fixed = digits => value => value.toFixed(digits);
const COLUMNS = [
  { key: "name", title: "Map" },
  { key: "state", title: "State" },
  { key: "resolution", title: "Resolution (Å)", show: fixed(2) },
  { key: "residues", title: "Residues", show: String },
  { key: "confidence", title: SURE, show: fixed(2) },
  ...(DATA.task === "build" ? [{ key: "r_free", title: "R-free", show: fixed(3) }] : []),
  { key: "seconds", title: "Time", show: duration },
  { key: "warnings", title: "Warnings", show: value => value ? String(value) : "" },
  ...(DATA.rows.some(row => row.error) ? [{ key: "error", title: "Error" }] : []),
];
const STATES = ["done", "failed", "running", "waiting"];
const at = id => document.getElementById(id);
const alike = new Intl.Collator(undefined, { numeric: true }).compare;
DATA.rows.forEach((row, number) => { row.number = number; row.words = `${row.name} ${row.error || ""}`.toLowerCase(); });
const byName = new Map(DATA.rows.map(row => [row.name, row]));
let takeAway = () => {};

function asked() {
  const words = new URLSearchParams(location.hash.slice(1));
  const given = (key, otherwise) => words.get(key) ?? otherwise;
  return {
    sort: given("sort", "name"), down: given("down", "") === "1", state: given("state", ""), search: given("search", ""),
    page: Math.max(0, parseInt(given("page", "0"), 10) || 0), map: given("map", ""),
  };
}

function address(changes) {
  const words = { ...asked(), map: "", page: 0, ...changes };
  const kept = { ...words, down: words.down ? "1" : "", sort: words.sort === "name" ? "" : words.sort, page: words.page || "" };
  return "#" + new URLSearchParams(Object.entries(kept).filter(([, value]) => value !== "")).toString();
}

const go = changes => { location.hash = address(changes); };

// Rows that fit, in order; those without a value are at the end, whichever way.
function chosenRows({ sort, down, state, search }) {
  const words = search.toLowerCase();
  const rows = DATA.rows.filter(row => (!state || row.state === state) && row.words.includes(words));
  const compare = (a, b) => typeof a === "number" ? a - b : alike(a, b);
  const missing = row => row[sort] === undefined || row[sort] === null;
  return rows.sort((a, b) => missing(a) - missing(b)
    || (missing(a) ? 0 : (down ? -1 : 1) * compare(a[sort], b[sort])) || alike(a.name, b.name));
}

function cell(column, row) {
  const value = row[column.key];
  if (column.key === "name") return element("td", { class: "name" }, element("a", { href: address({ ...asked(), map: row.name }) }, value));
  if (column.key === "state") return element("td", { class: `state ${value}` }, value);
  if (column.key === "error") return element("td", { class: "said" }, value || "");
  const empty = value === undefined || value === null || (column.key === "seconds" && !value);
  return element("td", { class: "number" }, empty ? "" : column.show(value));
}

function showTable(now) {
  const rows = chosenRows(now), pages = Math.max(1, Math.ceil(rows.length / PER_PAGE)), page = Math.min(now.page, pages - 1);
  at("maps").tHead.replaceChildren(element("tr", {}, ...COLUMNS.map(column => {
    const active = column.key === now.sort, down = active ? !now.down : column.key === "warnings";
    return element("th", { class: column.show ? "number" : false, "aria-sort": active ? (now.down ? "descending" : "ascending") : false },
      element("button", { onclick: () => go({ sort: column.key, down }) }, column.title + (active ? (now.down ? " ▼" : " ▲") : "")));
  })));
  const shown = rows.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
  at("maps").tBodies[0].replaceChildren(...shown.map(row => element("tr", {}, ...COLUMNS.map(column => cell(column, row)))));
  at("shown").textContent = rows.length === DATA.rows.length ? "" : `${rows.length} of ${DATA.rows.length} maps`;
  at("pages").hidden = pages === 1;
  at("page").textContent = `${page + 1} of ${pages}`;
  at("earlier").disabled = page === 0;
  at("later").disabled = page === pages - 1;
  at("earlier").onclick = () => go({ page: page - 1 });
  at("later").onclick = () => go({ page: page + 1 });
  if (document.activeElement !== at("search")) at("search").value = now.search;
}

function showOne(now, row) {
  const rows = chosenRows(now), here = rows.indexOf(row);
  const step = (title, other) => element("button", { disabled: !other, onclick: () => other && go({ ...now, map: other.name }) }, title);
  const way = element("div", { class: "way" }, element("h2", {}, row.name),
    step("Previous map", rows[here - 1]), step("Next map", here < 0 ? null : rows[here + 1]),
    element("button", { onclick: () => go({ ...now, map: "" }) }, "All maps"));
  takeAway = showMap(at("map"), row, JSON.parse(at(`map-${row.number}`).textContent), way);
}

function show() {
  const now = asked(), row = byName.get(now.map);
  takeAway();
  takeAway = () => {};
  at("list").hidden = Boolean(row);
  at("map").hidden = !row;
  at("counts").replaceChildren(...["", ...STATES].map(state => {
    const count = DATA.rows.filter(each => !state || each.state === state).length;
    return !state || count
      ? element("button", { "aria-pressed": String(!row && now.state === state), onclick: () => go({ ...now, map: "", page: 0, state }) }, `${count} ${state || "maps"}`)
      : null;
  }).filter(Boolean));
  if (row) showOne(now, row);
  else showTable(now);
  window.scrollTo(0, 0);
}

at("search").addEventListener("input", event => history.replaceState(null, "", address({ search: event.target.value })) || showTable(asked()));
window.addEventListener("hashchange", show);
show();
