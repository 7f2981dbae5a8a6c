// Shows the questions of a report, fifty at a time. Every text goes in as a text node, none as markup.
"use strict";
(() => {
  const PER_PAGE = 50;
  const { systems, questions } = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const state = { q: "", show: "all", sort: 0, desc: false, page: 1 };
  const opened = new Set();
  let found = [];

  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  // A text is a string, or {text, length} where the page has only its beginning.
  const plain = (value) => (value === null || value === undefined ? "" : typeof value === "string" ? value : value.text);
  const short = (value, most) => {
    const text = plain(value);
    const start = Array.from(text.slice(0, 2 * most)).slice(0, most).join("");
    return start.length < text.length || (value && value.length > start.length && value.text) ? start + "…" : start;
  };
  const number = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));

  function block(value) {
    const text = plain(value);
    const made = el("div", { class: "text", dir: "auto", tabindex: "0" });
    if (text) made.append(text);
    else made.append(el("span", { class: "faint" }, "(empty)"));
    if (value && value.length && value.text !== undefined) {
      const whole = value.length.toLocaleString("en");
      made.append(el("span", { class: "cut" }, ` … cut here: ${whole} characters in all`));
    }
    return made;
  }

  // --- finding ---

  const texts = new Map();
  function words(question) {
    if (!texts.has(question)) {
      const parts = [question.id, plain(question.gold)];
      for (const message of question.prompt) parts.push(plain(message.text));
      for (const { rollouts, systems, matrices } of question.repeats) {
        for (const rollout of rollouts) parts.push(plain(rollout.answer), plain(rollout.text));
        for (const system of systems) if (system) parts.push(plain(system.answer), plain(system.text));
        for (const matrix of matrices) for (const one of matrix.criteria) parts.push(plain(one.text));
      }
      texts.set(question, parts.join("\n").toLowerCase());
    }
    return texts.get(question);
  }

  // Of every system, the mean over repeats.
  const scores = (question) => question.scores;
  const failed = (question) => question.repeats.some(({ systems }) => systems.some((system) => !system || system.score === null));
  const shown = {
    all: () => true,
    differ: (question) => {
      const all = scores(question);
      return new Set(all.length > 2 ? all.slice(1) : all).size > 1;
    },
    below: (question) => {
      const [single, ...others] = scores(question);
      return single !== null && others.some((score) => score !== null && score < single);
    },
    failed,
  };

  const columns = [
    { name: "Question", value: (question) => question.position },
    { name: "Prompt", value: (question) => last(question) },
    { name: "Answer", value: (question) => plain(question.gold) },
    ...systems.map((name, i) => ({ name, value: (question) => scores(question)[i] })),
  ];
  const last = (question) => plain(question.prompt[question.prompt.length - 1].text);

  // What is searched for: words, or "phrases". A word is found where one begins with it, a number only as a whole: 17 is
  // not in 176. Scripts that set no spaces between words are searched anywhere.
  const SPACELESS = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
  function matcher(wanted) {
    const literal = wanted.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&").replace(/\s+/g, "\\s+");
    const edges = !SPACELESS.test(wanted);
    const before = edges && /^[\p{L}\p{N}]/u.test(wanted) ? "(?<![\\p{L}\\p{N}])" : "";
    const after = edges && /\p{N}$/u.test(wanted) ? "(?![\\p{L}\\p{N}])" : "";
    const whole = new RegExp(before + literal + after, "u");
    const first = wanted.split(/\s/)[0]; // looked for first, since that is many times faster
    return (text) => text.includes(first) && whole.test(text);
  }

  function find() {
    const wanted = [...state.q.toLowerCase().matchAll(/"([^"]+)"|(\S+)/g)].map(([, phrase, word]) => (phrase || word).trim());
    const matchers = wanted.filter(Boolean).map(matcher);
    found = questions.filter(
      (question) => shown[state.show](question) && matchers.every((matches) => matches(words(question)))
    );
    const { value } = columns[state.sort];
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    const keyed = found.map((question) => [value(question), question]);
    keyed.sort(([a, one], [b, other]) => {
      if (a === null || b === null) return (a === null) - (b === null) || one.position - other.position;
      const order = typeof a === "number" ? a - b : compare(a.slice(0, 200), b.slice(0, 200));
      return (state.desc ? -order : order) || one.position - other.position;
    });
    found = keyed.map(([, question]) => question);
  }

  // --- showing ---

  function row(question) {
    const id = `details-${question.position}`;
    const toggle = el("button", { type: "button", "aria-expanded": "false", "aria-controls": id }, short(question.id, 60));
    const cells = [
      el("td", { role: "cell" }, toggle),
      el("td", { role: "cell", dir: "auto" }, short(last(question), 140)),
      el("td", { role: "cell", "data-label": "Answer" }, short(question.gold, 60) || "–"),
    ];
    systems.forEach((name, i) => {
      const cell = el("td", { role: "cell", "data-label": name }, number(scores(question)[i]));
      const mine = question.repeats.map((repeat) => repeat.systems[i]);
      if (mine.some((system) => system && system.error)) cell.classList.add("missing");
      const answers = new Set(mine.filter((system) => system && plain(system.answer)).map((system) => short(system.answer, 40)));
      for (const answer of answers) cell.append(" ", el("code", { dir: "auto" }, answer));
      cells.push(cell);
    });
    const made = el("tr", { class: "row", role: "row" }, ...cells);
    made.addEventListener("click", (event) => {
      if (event.target !== toggle && String(getSelection())) return;
      if (opened.delete(question.position)) close(made);
      else open(made, question);
      remember();
    });
    return made;
  }

  function open(made, question) {
    opened.add(question.position);
    made.querySelector("button").setAttribute("aria-expanded", "true");
    const cell = el("td", { colspan: columns.length, role: "cell" }, ...details(question));
    made.after(el("tr", { class: "details", role: "row", id: `details-${question.position}` }, cell));
  }

  function close(made) {
    made.querySelector("button").setAttribute("aria-expanded", "false");
    made.nextElementSibling.remove();
  }

  function details(question) {
    const parts = [el("h3", null, "Prompt")];
    for (const message of question.prompt) {
      parts.push(el("div", { class: "card" }, el("span", { class: "faint" }, plain(message.role)), block(message.text)));
    }
    for (const { text, source } of question.images || []) {
      const safe = /^data:image\/(png|jpeg|gif|webp);base64,/.test(source || "");
      parts.push(safe ? el("img", { class: "small", src: source, alt: text, title: text }) : el("p", { class: "faint" }, `[${text}]`));
    }
    if (question.gold !== null) parts.push(el("h3", null, "Expected answer"), block(question.gold));
    question.repeats.forEach((repeat, i) => {
      if (question.repeats.length > 1) parts.push(el("h2", null, `Repeat ${i + 1}`));
      parts.push(...repeated(repeat));
    });
    return parts;
  }

  function repeated({ systems: mine, matrices, rollouts }) {
    const parts = [el("h3", null, "Systems")];
    mine.forEach((system, i) => system && parts.push(systemCard(systems[i], system)));
    if (matrices.length) parts.push(el("h3", null, "Verdicts"), ...matrices.flatMap(matrixTable));
    parts.push(el("h3", null, `Rollouts (${rollouts.length})`));
    rollouts.forEach((rollout, i) => parts.push(rolloutCard(i + 1, rollout)));
    return parts;
  }

  function facts(name, ...parts) {
    const made = el("div", null, el("span", { class: "name" }, name));
    for (const part of parts) if (part) made.append(" · ", part);
    return made;
  }

  function answered(value) {
    if (value === null || value === undefined) return "no answer";
    const made = el("span", null, "answer ");
    made.append(el("code", { dir: "auto" }, short(value, 200)));
    return made;
  }

  function systemCard(name, system) {
    const refers = system.text !== undefined;
    const made = el("div", { class: "card" }, facts(name, `score ${number(system.score)}`, refers && answered(system.answer)));
    if (system.error) made.append(el("p", { class: "warning" }, plain(system.error)));
    for (const note of system.notes || []) made.append(el("p", { class: "faint" }, "note: " + plain(note)));
    made.append(el("p", { class: "faint" }, system.cost));
    if (refers) made.append(block(system.text));
    return made;
  }

  // Criteria down, what was judged across; a verdict that is chosen says its reason below.
  function matrixTable(matrix) {
    const reason = el("p", { class: "reason faint", "aria-live": "polite" }, "Choose a verdict to read its reason.");
    const head = el("tr", null, el("th", { scope: "col" }, "Criterion"));
    for (const name of matrix.columns) head.append(el("th", { scope: "col", dir: "auto" }, short(name, 24)));
    const body = el("tbody");
    for (const criterion of matrix.criteria) {
      const title = el("th", { scope: "row", dir: "auto" }, short(criterion.text, 400));
      if (criterion.points) title.append(" ", el("b", null, criterion.points));
      const made = el("tr", criterion.separates ? null : { class: "same", title: "tells no two rollouts apart" }, title);
      criterion.cells.forEach(([mark, good, why], i) => {
        const name = plain(matrix.columns[i]);
        const tone = good === null ? "unknown" : good ? "good" : "bad";
        const button = el("button", { type: "button", title: short(why, 200), "aria-label": `${name}: ${mark}` }, mark);
        button.addEventListener("click", () => {
          reason.replaceChildren(el("b", null, `${name} ${mark} `), short(criterion.text, 120), " — ", plain(why) || "no reason given");
        });
        made.append(el("td", { class: tone }, button));
      });
      body.append(made);
    }
    const foot = el("tr", null, el("th", { scope: "row" }, "Reward"));
    for (const reward of matrix.rewards) foot.append(el("td", null, el("b", null, reward)));
    body.append(foot);
    const table = el("table", { class: "matrix" }, el("thead", null, head), body);
    const parts = [el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Verdicts" }, table), reason];
    for (const note of matrix.notes) parts.push(el("p", { class: "faint" }, "note: " + plain(note)));
    parts.push(el("p", { class: "faint" }, `judge ${plain(matrix.judge)} · green speaks for a rollout, red against it · faint: tells no two rollouts apart, so it moves no advantage`));
    return parts;
  }

  function rolloutCard(place, rollout) {
    const tokens = rollout.tokens === null ? null : `${rollout.tokens.toLocaleString("en")} token${rollout.tokens === 1 ? "" : "s"}`;
    const score = `score ${number(rollout.score)}`;
    const made = el("div", { class: "card" }, facts(`#${place}`, short(rollout.member, 100), score, answered(rollout.answer), plain(rollout.ended), tokens));
    if (rollout.reasoning) {
      made.append(el("details", null, el("summary", null, "thinking"), block(rollout.reasoning)));
    }
    made.append(block(rollout.text));
    return made;
  }

  function draw() {
    const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
    state.page = Math.min(Math.max(1, state.page), pages);
    const start = (state.page - 1) * PER_PAGE;
    const fragment = document.createDocumentFragment();
    for (const question of found.slice(start, start + PER_PAGE)) {
      const made = row(question);
      fragment.append(made);
      if (opened.has(question.position)) open(made, question);
    }
    at("body").replaceChildren(fragment);
    const all = questions.length.toLocaleString("en");
    const some = found.length.toLocaleString("en");
    const noun = questions.length === 1 ? "question" : "questions";
    at("status").textContent = found.length === questions.length ? `${all} ${noun}` : `${some} of ${all} ${noun}`;
    at("page").textContent = `page ${state.page} of ${pages.toLocaleString("en")}`;
    at("previous").disabled = state.page === 1;
    at("next").disabled = state.page === pages;
    document.querySelector(".pager").hidden = pages === 1;
    [...at("head").children].forEach((cell, i) => {
      if (i === state.sort) cell.setAttribute("aria-sort", state.desc ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
  }

  // --- the address remembers what is shown, so that it can be sent to somebody or tested ---

  function remember() {
    const hash = new URLSearchParams();
    if (state.q) hash.set("q", state.q);
    if (state.show !== "all") hash.set("show", state.show);
    if (state.sort) hash.set("sort", state.sort);
    if (state.desc) hash.set("desc", 1);
    if (state.page > 1) hash.set("page", state.page);
    if (opened.size) hash.set("open", [...opened].join(","));
    try {
      history.replaceState(null, "", "#" + hash);
    } catch {
      // Some browsers limit this for files; the page works without.
    }
  }

  function recall() {
    const hash = new URLSearchParams(location.hash.slice(1));
    state.q = hash.get("q") || "";
    state.show = Object.hasOwn(shown, hash.get("show")) ? hash.get("show") : "all";
    state.sort = Number(hash.get("sort")) in columns ? Number(hash.get("sort")) : 0;
    state.desc = hash.has("desc");
    state.page = Math.trunc(Number(hash.get("page"))) || 1;
    opened.clear();
    for (const position of (hash.get("open") || "").split(",")) if (position) opened.add(Number(position));
    at("search").value = state.q;
    at("show").value = state.show;
    find();
    draw();
  }

  function change(changes) {
    Object.assign(state, { page: 1 }, changes);
    find();
    draw();
    remember();
  }

  columns.forEach((column, i) => {
    // "MinPerplexity" may be broken where its second word begins, and nowhere else.
    const parts = short(column.name, 40).split(/(?<=\p{Ll})(?=\p{Lu})/u);
    const button = el("button", { type: "button" }, ...parts.flatMap((part, j) => (j ? [el("wbr"), part] : [part])));
    button.addEventListener("click", () => {
      // A score is first asked for from its worst, everything else in its order; a second click turns it round.
      change({ sort: i, desc: state.sort === i ? !state.desc : false });
    });
    at("head").append(el("th", { scope: "col", role: "columnheader" }, button));
  });
  // With many systems the table scrolls, and the prompts keep their room.
  document.querySelector(".questions").style.minWidth = `${32 + 8 * systems.length}rem`;
  let waiting = 0;
  at("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => change({ q: at("search").value }), 150);
  });
  at("show").addEventListener("change", () => change({ show: at("show").value }));
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  const turn = (by) => {
    change({ page: state.page + by });
    document.getElementById("questions").scrollIntoView();
  };
  at("previous").addEventListener("click", () => turn(-1));
  at("next").addEventListener("click", () => turn(1));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea")) return;
    event.preventDefault();
    at("search").focus();
  });
  addEventListener("hashchange", recall);
  recall();
})();
