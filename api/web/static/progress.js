// Follows a run and reads its page again when it has ended. Without this file the page refreshes itself.
"use strict";

const live = document.getElementById("live");
const bar = document.getElementById("bar");
const doing = document.getElementById("doing");
const state = document.getElementById("state");
const concluded = document.getElementById("concluded");
const source = new EventSource(live.dataset.events);

function on(kind, act) {
  source.addEventListener(kind, (event) => act(JSON.parse(event.data)));
}

function cell(kind, text, name) {
  const made = document.createElement(kind);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

on("state", (said) => {
  state.replaceChildren(cell("span", said.state, `word is-${said.state}`));
});

on("progress", (said) => {
  for (const stage of document.querySelectorAll("[data-stage]")) {
    if (stage.dataset.stage === said.step) stage.setAttribute("aria-current", "step");
    else stage.removeAttribute("aria-current");
  }
  if (said.total) {
    bar.max = said.total;
    bar.value = said.done;
  } else {
    bar.removeAttribute("value");
  }
  doing.textContent = `${said.item} ${said.message}`.trim();
});

on("check", (said) => {
  const known = [...concluded.rows].some((row) => row.cells[0].textContent === said.id);
  if (known) return;
  const row = concluded.insertRow();
  const name = cell("th", said.id);
  name.scope = "row";
  row.append(
    name,
    cell("td", said.outcome + (said.reused ? " (reused)" : ""), `is-${said.outcome}`),
    cell("td", said.facts, "number"),
    cell("td", said.seconds.toFixed(1), "number"),
    cell("td", said.reason),
  );
});

on("end", () => {
  source.close();
  window.location.reload();
});
