"use strict";

// A section that says where its newer self is (data-follow) is replaced by it, until the server says it is final.
const PERIOD = 1000; // milliseconds

for (const section of document.querySelectorAll("[data-follow]")) follow(section);

async function follow(section) {
  let shown;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, PERIOD));
    if (document.hidden) continue;
    let answer, text;
    try {
      answer = await fetch(new URL(section.dataset.follow, location.href));
      text = await answer.text();
    } catch {
      document.querySelector(".stale").hidden = false;
      continue;
    }
    document.querySelector(".stale").hidden = answer.ok;
    if (answer.status === 401) location.reload();
    if (!answer.ok) continue;
    if (text !== shown) replace(section, text);
    shown = text;
    if (answer.headers.get("x-final") === "true") return;
  }
}

// What was scrolled stays where it was; a log at its end stays at its end. What was opened, marked or typed stays.
function replace(section, text) {
  const log = section.querySelector(".log");
  const followed = !log || log.scrollHeight - log.scrollTop - log.clientHeight < 8;
  const position = log ? log.scrollTop : 0;
  const open = section.querySelector("details")?.open;
  const marked = [...section.querySelectorAll("input:checked")].map((box) => box.value);
  const sought = section.querySelector("input[type=search]")?.value;
  const typing = document.activeElement?.matches("input[type=search]");
  const across = [...section.querySelectorAll(".wide")].map((wide) => wide.scrollLeft);
  section.innerHTML = text;
  for (const box of section.querySelectorAll("input[type=checkbox]")) box.checked = marked.includes(box.value);
  const search = section.querySelector("input[type=search]");
  if (search && sought !== undefined) search.value = sought;
  if (search && typing) search.focus();
  section.querySelectorAll(".wide").forEach((wide, index) => (wide.scrollLeft = across[index] ?? 0));
  const fresh = section.querySelector(".log");
  if (fresh) fresh.scrollTop = followed ? fresh.scrollHeight : position;
  if (open) section.querySelector("details")?.setAttribute("open", "");
}

for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
