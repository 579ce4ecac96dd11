// What the portal does in the browser: keys, ticking, the drawer, dialogs, previews, progress. Pages work without it but for these.
(() => {
  "use strict";

  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const root = document.documentElement;

  // Row height, kept by the browser.

  const density = (value) => {
    root.dataset.density = value;
    localStorage.setItem("density", value);
  };
  root.dataset.density = localStorage.getItem("density") || "";

  // Ticking rows, and the bar that acts on them.

  const bulk = one("#bulk");
  const ticks = () => all("tbody input[name=rowid]");
  let lastTick = null;

  const showTicks = () => {
    if (!bulk) return;
    const boxes = ticks();
    const ticked = boxes.filter((box) => box.checked);
    boxes.forEach((box) => box.closest("tr").classList.toggle("ticked", box.checked));
    bulk.hidden = ticked.length === 0;
    bulk.elements.everything.value = "";
    one("[data-count]", bulk).textContent = ticked.length;
    const everything = one("[data-do=everything]", bulk);
    if (everything) everything.hidden = ticked.length < boxes.length;
    const head = one("[data-all]");
    head.checked = ticked.length > 0 && ticked.length === boxes.length;
    head.indeterminate = ticked.length > 0 && ticked.length < boxes.length;
  };

  const tickRange = (box) => {
    const boxes = ticks();
    const [from, to] = [boxes.indexOf(lastTick), boxes.indexOf(box)].sort((a, b) => a - b);
    boxes.slice(from, to + 1).forEach((each) => { each.checked = box.checked; });
  };

  const untick = () => {
    ticks().forEach((box) => { box.checked = false; });
    showTicks();
  };

  const takeEverything = (button) => {
    bulk.elements.everything.value = "1";
    one("[data-count]", bulk).textContent = button.dataset.total;
    button.hidden = true;
  };

  // The drawer beside a list. What the server sends is parsed, never written as markup by us.

  const table = one("table[data-rows]");
  const drawer = one("#peek");
  const rows = () => (table ? all("tbody tr", table) : []);
  let at = -1;

  const peek = async (row) => {
    if (!table.dataset.peek) return;
    const name = encodeURIComponent(row.dataset.name);
    const answer = await fetch(`${table.dataset.peek}?id=${name}`);
    if (!answer.ok || answer.redirected) {
      location.reload();
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    drawer.replaceChildren(...page.body.children);
    drawer.hidden = false;
  };

  const move = (step) => {
    const found = rows();
    if (found.length === 0) return;
    found[at]?.classList.remove("here");
    at = Math.max(0, Math.min(found.length - 1, at + step));
    found[at].classList.add("here");
    found[at].scrollIntoView({ block: "nearest" });
    if (!drawer.hidden) peek(found[at]);
  };

  const tickHere = (row) => {
    const box = one("input[name=rowid]", row);
    if (!box) return;
    box.checked = !box.checked;
    showTicks();
  };

  // Dialogs, and buttons that ask first.

  let asked = null;

  const ask = (button) => {
    asked = button;
    const dialog = one("#confirm");
    one("[data-confirm-text]", dialog).textContent = button.dataset.confirm;
    dialog.showModal();
  };

  const confirmed = (button) => {
    button.closest("dialog").close();
    const kept = asked.dataset.confirm;
    delete asked.dataset.confirm;
    asked.form.requestSubmit(asked);
    asked.dataset.confirm = kept;
  };

  // A text while it is written: the server says how it would read, and each answer goes to its own place.

  const live = one("[data-live]");
  let turn = 0;
  let soon = 0;

  const tell = (place, said) => {
    if (!Array.isArray(said)) {
      place.textContent = said;
      return;
    }
    place.replaceChildren(...said.map((sentence) => {
      const line = document.createElement("li");
      line.textContent = sentence;
      return line;
    }));
  };

  const preview = async () => {
    const mine = turn += 1;
    const options = {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new FormData(live.closest("form")),
    };
    const answer = await fetch(live.dataset.live, options).catch(() => null);
    if (!answer?.ok || mine !== turn) return;
    const told = await answer.json();
    Object.entries(told).forEach(([name, said]) => tell(one(`[data-told=${name}]`, live), said));
  };

  const insert = (button) => {
    const field = one(`#${button.dataset.target}`);
    field.setRangeText(button.dataset.text, field.selectionStart, field.selectionEnd, "end");
    field.focus();
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };

  if (live) {
    preview();
    live.addEventListener("input", () => {
      clearTimeout(soon);
      soon = setTimeout(preview, 250);
    });
  }

  const deeds = {
    density: () => density(root.dataset.density === "roomy" ? "" : "roomy"),
    open: (button) => one(`#${button.dataset.target}`).showModal(),
    close: (button) => button.closest("dialog").close(),
    confirmed,
    everything: takeEverything,
    insert,
    unpeek: () => { drawer.hidden = true; },
    untick,
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) deeds[button.dataset.do]?.(button);
    const careful = event.target.closest("[data-confirm]");
    if (careful) {
      event.preventDefault();
      ask(careful);
    }
    if (event.target.matches("input[name=rowid]")) {
      if (event.shiftKey && lastTick) tickRange(event.target);
      lastTick = event.target;
      showTicks();
    }
    all("details.drop[open]").forEach((drop) => {
      if (!drop.contains(event.target)) drop.open = false;
    });
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) {
      ticks().forEach((box) => { box.checked = event.target.checked; });
      showTicks();
    }
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });

  // Forms: empty search fields stay out of the address; a second click while the first is under way does nothing.

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("[data-prune]")) {
      all("input, select", form).forEach((field) => { field.disabled = field.value === ""; });
    }
    if (form.method !== "post") return;
    if (form.dataset.busy) {
      event.preventDefault();
      return;
    }
    form.dataset.busy = "1";
    setTimeout(() => { delete form.dataset.busy; }, 4000);
  });

  const underWay = () => one("form[data-busy]") !== null;

  window.addEventListener("pageshow", () => {
    all("[data-prune] :disabled").forEach((field) => { field.disabled = false; });
    all("[data-busy]").forEach((form) => { delete form.dataset.busy; });
    showTicks();
  });

  // Keys. A field that has the focus keeps its letters.

  const keys = {
    "/": () => (one("input[data-here]") || one("input[type=search]"))?.focus(),
    "?": () => one("#keys")?.showModal(),
    j: () => move(1),
    k: () => move(-1),
    x: () => { if (at >= 0) tickHere(rows()[at]); },
    p: () => { if (at >= 0) peek(rows()[at]); },
    Enter: () => { if (at >= 0) one("a", rows()[at])?.click(); },
    Escape: () => {
      if (drawer) drawer.hidden = true;
      all("details.drop[open]").forEach((drop) => { drop.open = false; });
    },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || one("dialog[open]")) return;
    const held = event.target;
    if (held.matches("input:not([type=checkbox]), textarea, select")) {
      if (event.key === "Escape") held.blur();
      return;
    }
    if (event.key === "Enter" && held.matches("a, button, summary, input")) return;
    const deed = keys[event.key];
    if (!deed) return;
    event.preventDefault();
    deed();
  });

  // Work under way: asked for every second, more seldom while nobody answers.

  const job = one("[data-poll]");

  const show = (state) => {
    const set = (name, text) => { one(`[data-job=${name}]`, job).textContent = text; };
    const bar = one("progress", job);
    bar.max = state.total || 1;
    bar.value = state.done;
    set("done", state.done.toLocaleString("en"));
    set("total", state.total.toLocaleString("en"));
    set("failed", state.failed.toLocaleString("en"));
    set("share", `${Math.floor((100 * state.done) / (state.total || 1))}%`);
    Object.entries(state.parts || {}).forEach(([name, count]) => {
      const cell = one(`[data-part=${name}]`);
      if (cell) cell.textContent = count.toLocaleString("en");
    });
    set("state", state.finished ? job.dataset.finished : job.dataset.running);
  };

  const poll = async () => {
    const headers = { Accept: "application/json", "X-Guanhu-Quiet": "1" };
    try {
      const answer = await fetch(job.dataset.poll, { headers });
      if (answer.status === 401) {
        location.reload();
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      const state = await answer.json();
      show(state);
      // what can be done about a batch follows its state, whoever changed it
      const changed = state.finished ? state.parts : state.word && state.word !== job.dataset.running;
      // a form on its way brings the page anew, and says what became of it
      if (changed && !underWay()) location.reload();
      else if (changed || !state.finished) setTimeout(poll, 1000);
    } catch {
      one("[data-job=state]", job).textContent = job.dataset.waiting;
      setTimeout(poll, 3000);
    }
  };
  if (job) poll();

  // A form whose outcome is counted while it is filled in: asked for when typing rests, and only the last answer counts.

  const counted = one("form[data-preview]");
  let asking = 0;
  let rest = 0;

  const count = async () => {
    const number = ++asking;
    const answer = await fetch(counted.dataset.preview, {
      method: "POST", body: new URLSearchParams(new FormData(counted)), headers: { Accept: "application/json" },
    });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    if (!answer.ok || number !== asking) return;
    one("[data-counted]", counted).textContent = (await answer.json()).text;
  };

  counted?.addEventListener("input", () => {
    clearTimeout(rest);
    rest = setTimeout(count, 300);
  });

  // Values shown in full for a short while only.

  all("[data-fade]").forEach((value) => {
    setTimeout(() => { value.textContent = "••••"; }, Number(value.dataset.fade) * 1000);
  });

  // Dialogs that the server wants open, and pages that come up again by themselves.

  all("dialog[data-now]").forEach((dialog) => dialog.showModal());
  const reload = Number(document.body.dataset.reload || 0);

  const comeBack = async () => {
    try {
      const answer = await fetch(location.href, { headers: { "X-Guanhu-Quiet": "1" } });
      if (answer.ok && !underWay()) {
        location.reload();
        return;
      }
    } catch {
      // The portal itself is away; it is asked again.
    }
    setTimeout(comeBack, reload * 1000);
  };
  if (reload) setTimeout(comeBack, reload * 1000);
})();
