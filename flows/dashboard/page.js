"use strict";

// Every text goes into the page as text, never as markup: what runs report is not trusted.
const AT_ONCE = 100; // rows
const DAY = 86400; // seconds
const COMPLETED = "completed";
const BESIDE = "beside"; // in the address: the ids of the runs that are compared

const source = document.getElementById("data");
if (source) show(JSON.parse(source.textContent));

function show({ columns, numeric, settings, outcome, rows }) {
  const form = document.querySelector(".filters");
  const body = document.querySelector(".runs tbody");
  const heads = [...document.querySelectorAll(".runs th")];
  const more = document.querySelector(".more");
  const compared = document.querySelector(".compared");
  const go = document.querySelector(".go");
  const newest = Date.now() / 1000;
  const at = Object.fromEntries(columns.map((name, index) => [name, index]));
  let sorted = { column: at.when, ascending: false };
  let chosen = [];
  let picked = []; // rows beside each other, in the order in which they were ticked

  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (form.elements[name]) form.elements[name].value = value;
    if (name === BESIDE) picked = value.split(",").flatMap((id) => rows.find((row) => row.id === id) ?? []);
  }
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(update));
  more.addEventListener("click", append);
  body.addEventListener("click", open);
  body.addEventListener("change", pick);
  compared.addEventListener("click", unpick);
  go.addEventListener("click", () => compared.scrollIntoView());
  heads.forEach((head, column) => head.addEventListener("click", () => sort(column)));
  update();

  function update() {
    const wanted = filters();
    keep(wanted);
    beside();
    chosen = rows.filter((row) => takes(row, wanted)).sort(compare);
    document.querySelector(".sum").textContent = summary();
    heads.forEach((head, column) => {
      if (column === sorted.column) head.setAttribute("aria-sort", sorted.ascending ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    body.replaceChildren();
    append();
  }

  function filters() {
    return Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
  }

  // What is shown is in the address, to be sent to somebody or opened again.
  function keep(wanted) {
    const runs = picked.length ? { [BESIDE]: picked.map((row) => row.id) } : {};
    history.replaceState(null, "", `#${new URLSearchParams({ ...wanted, ...runs })}`);
  }

  function takes(row, wanted) {
    const words = wanted.text?.toLowerCase().split(/\s+/) ?? [];
    return (
      words.every((word) => searchable(row).includes(word)) &&
      (!wanted.model || row.model === wanted.model) &&
      (!wanted.days || row.at >= newest - wanted.days * DAY) &&
      ["state", "recipe", "trigger"].every((name) => !wanted[name] || row.cells[at[name]] === wanted[name])
    );
  }

  function sort(column) {
    const text = typeof rows[0].cells[column] === "string";
    sorted = { column, ascending: sorted.column === column ? !sorted.ascending : text };
    update();
  }

  // What has no value comes last, whichever way the others are sorted.
  function compare(one, other) {
    const [a, b] = [one, other].map((row) => key(row.cells[sorted.column]));
    if (a === null || b === null) return (a === null) - (b === null) || other.at - one.at;
    const order = a < b ? -1 : a > b ? 1 : 0;
    return (sorted.ascending ? order : -order) || other.at - one.at;
  }

  function summary() {
    const completed = chosen.filter((row) => row.cells[at.state] === COMPLETED).length;
    const dollars = chosen.reduce((sum, row) => sum + (row.cells[at.cost][0] ?? 0), 0);
    const money = dollars.toLocaleString("en", { style: "currency", currency: "USD" });
    const some = chosen.length === rows.length ? "" : ` of ${rows.length.toLocaleString("en")}`;
    return `${chosen.length.toLocaleString("en")}${some} runs, ${completed.toLocaleString("en")} completed, ${money}`;
  }

  function append() {
    const shown = body.querySelectorAll(".run").length;
    body.append(...chosen.slice(shown, shown + AT_ONCE).map(line));
    const left = chosen.length - Math.min(chosen.length, shown + AT_ONCE);
    more.hidden = left === 0;
    more.textContent = `Show ${Math.min(left, AT_ONCE)} more of ${left.toLocaleString("en")}`;
  }

  function line(row) {
    const tr = element("tr", "run");
    row.cells.forEach((cell, column) => {
      const name = columns[column];
      const td = element("td", numeric.includes(name) ? "number" : "");
      td.dataset.name = name;
      const text = typeof cell === "string" ? cell : cell[1];
      if (column === at.when) td.append(ticker(row, text), opener(text));
      else if (column === at.state) td.append(element("span", `state ${text}`, text));
      else td.textContent = text;
      if (column === at.duration && row.bar.length) td.append(bar(row.bar));
      tr.append(td);
    });
    tr.row = row;
    return tr;
  }

  function ticker(row, when) {
    const box = Object.assign(element("input", "tick"), { type: "checkbox", checked: picked.includes(row) });
    box.setAttribute("aria-label", `Compare the run of ${when}`);
    return box;
  }

  function pick(event) {
    const { row } = event.target.closest(".run");
    picked = event.target.checked ? [...picked, row] : picked.filter((other) => other !== row);
    keep(filters());
    beside();
  }

  function unpick(event) {
    const { row } = event.target;
    if (!row && event.target.className !== "none-compared") return;
    picked = row ? picked.filter((other) => other !== row) : [];
    update();
  }

  function beside() {
    compared.hidden = picked.length === 0;
    go.hidden = picked.length === 0;
    go.textContent = picked.length === 1 ? "1 run ticked" : `${picked.length} runs compared ↑`;
    if (picked.length === 1) compared.replaceChildren(element("p", "none", "One run is ticked. Tick another to see in what they differ."));
    else compared.replaceChildren(...comparison(picked, { settings, outcome, at }));
  }

  function open(event) {
    const tr = event.target.closest(".run");
    if (!tr || event.target.className === "tick" || String(getSelection())) return;
    const button = tr.querySelector(".open");
    const opened = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!opened));
    if (opened) tr.nextElementSibling.remove();
    else tr.after(details(tr.row, columns.length));
  }
}

// A column for each run; a line for each setting in which these differ, and for each figure that one of them has.
function comparison(runs, { settings, outcome, at }) {
  const differing = settings
    .map(([name, texts], setting) => [name, runs.map((row) => texts[place(row.set, setting)])])
    .filter(([, values]) => values.some((value) => value !== values[0]));
  const found = outcome
    .map((name, figure) => [name, runs.map((row) => row.got[figure])])
    .filter(([, values]) => values.some(Boolean));
  const head = element("tr");
  head.append(element("td"), ...runs.map((row) => heading(row, at)));
  const body = element("tbody");
  const none = differing.length ? [] : [["in no setting", runs.map(() => "")]];
  for (const [title, lines] of [["Settings", [...differing, ...none]], ["Outcome", found]]) {
    const name = Object.assign(element("th", "part", title), { colSpan: runs.length + 1, scope: "rowgroup" });
    body.append(within("tr", name), ...lines.map(besides));
  }
  const table = element("table");
  table.append(within("thead", head), body);
  const clear = Object.assign(element("button", "none-compared", "Untick all"), { type: "button" });
  const summary = `${runs.length} runs differ in ${differing.length} settings`;
  const title = within("header", element("h3", "", summary));
  title.append(clear);
  return [title, within("div", table, "wide")];
}

// Which of a setting's values a run has: the first, the commonest, unless it says otherwise.
function place(set, setting) {
  for (let pair = 0; pair < set.length; pair += 2) if (set[pair] === setting) return set[pair + 1];
  return 0;
}

function heading(row, at) {
  const [when, recipe, model] = ["when", "recipe", "model"].map((name) => [row.cells[at[name]]].flat().at(-1));
  const th = Object.assign(element("th", "", when), { scope: "col" });
  const remove = Object.assign(element("button", "", "×"), { type: "button", row });
  remove.setAttribute("aria-label", `Untick the run of ${when}`);
  th.append(remove, element("small", "", recipe), element("small", "", model));
  return th;
}

function besides([name, values]) {
  const tr = element("tr");
  const head = Object.assign(element("th", "", name), { scope: "row" });
  tr.append(head, ...values.map((value) => element("td", "", value || "–")));
  return tr;
}

function within(kind, child, style = "") {
  const around = element(kind, style);
  around.append(child);
  return around;
}

function details(row, width) {
  const facts = element("dl", "facts");
  for (const [name, text, address] of row.facts) {
    const value = element("dd");
    if (address) value.append(Object.assign(element("a", "", text), { href: address, rel: "noreferrer" }));
    else value.textContent = text;
    facts.append(element("dt", "", name), value);
  }
  const cell = element("td");
  cell.colSpan = width;
  cell.append(facts);
  const tr = element("tr", "more-of");
  tr.append(cell);
  return tr;
}

// The stages in the colours of the chart of durations.
function bar(shares) {
  const whole = element("span", "bar");
  for (const [colour, share] of shares.filter(([, share]) => share)) {
    const part = element("i", `c${colour}`);
    part.style.flexGrow = share;
    whole.append(part);
  }
  return whole;
}

function opener(text) {
  const button = element("button", "open", text);
  button.type = "button";
  button.setAttribute("aria-expanded", "false");
  return button;
}

function element(kind, style = "", text = "") {
  return Object.assign(document.createElement(kind), { className: style, textContent: text });
}

// Put together when first searched: most pages are only looked at.
function searchable(row) {
  row.text ??= [...row.cells.map((cell) => [cell].flat().at(-1)), ...row.facts.map((fact) => fact[1])].join(" ").toLowerCase();
  return row.text;
}

function key(cell) {
  return typeof cell === "string" ? cell : cell[0];
}
