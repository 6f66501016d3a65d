// The page itself: reads sequences, asks the backend, shows what it says. It knows nothing of where the backend computes.
(() => {
  const core = octodonCore;
  const card = JSON.parse(document.getElementById("card").textContent);
  const T = card.targets.length;
  const SHOWN = 200;
  const ABOUT_MAP = "How the predicted activity changes when one base is replaced. Arrow keys move through the map.";
  const el = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  let backend = null;
  let shown = null; // {ids, codes, columns, selected}
  let map = null; // {id, codes, effects (4 l t), stds (4 l t) or null}
  const asked = new Set(); // the requests that are at work or wait, each {kind, isStopped}
  let now = null; // the one at work
  let turn = Promise.resolve(); // ends when all of them have
  let cursor = [0, 0];

  let decimals = []; // of each target
  const fixed = (value, count) => (Number.isFinite(value) ? value.toFixed(count) : "\u2013");
  const digits = (value, k) => fixed(value, decimals[k]);
  const signed = (value, k) => (Number.isFinite(value) ? (value >= 0 ? "+" : "\u2212") : "") + digits(Math.abs(value), k);
  const number = (value, k) => (value < 0 ? "\u2212" : "") + digits(Math.abs(value), k);
  const pause = () => new Promise((done) => setTimeout(done, 0));

  function make(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function draw(name, attributes = {}, ...children) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function tell(text) {
    el("status").textContent = text;
  }

  function refuse(text) {
    el("error").textContent = text;
    el("error").hidden = text === "";
  }

  // ---- asking -------------------------------------------------------------------------------------------------------

  // One request at a time. A newer one stops those that it replaces (a prediction and a map all, others their own kind), and waits for the end
  // of every older one: what is shown is always the answer to what was asked last.
  function inTurn(kind, work) {
    const own = { kind, isStopped: false };
    for (const older of asked) if (["prediction", "map", older.kind].includes(kind)) older.isStopped = true;
    asked.add(own);
    const ended = turn.then(async () => {
      now = own;
      try {
        if (!own.isStopped) await work();
      } finally {
        asked.delete(own);
        // of what a newer request has stopped there is nothing to say
        if (own.isStopped && backend) tell(asked.size ? "" : "Stopped.");
      }
    });
    turn = ended.catch(() => {});
    return ended;
  }

  const isAsked = (...kinds) => [...asked].some((one) => kinds.includes(one.kind));

  // Many sequences in small batches, the page staying alive between them; null when stopped.
  async function ask(codes, onDone) {
    const length = card.length;
    const n = codes.length / length;
    const parts = {};
    for (let at = 0; at < n; at += backend.batch) {
      const count = Math.min(backend.batch, n - at);
      const said = await backend.predict(codes.slice(at * length, (at + count) * length), count);
      for (const [name, values] of Object.entries(said)) {
        const width = values.length / count;
        parts[name] = parts[name] || new (values.constructor)(n * width);
        parts[name].set(values, at * width);
      }
      onDone(at + count, n);
      await pause();
      if (now.isStopped) return null;
    }
    return parts;
  }

  async function busy(what, work) {
    el("stop").hidden = el("progress").hidden = false;
    el("progress").value = 0;
    const began = performance.now();
    try {
      return await work((done, all) => {
        el("progress").value = done / all;
        const left = ((performance.now() - began) / done) * (all - done) / 1000;
        tell(`${what}: ${core.many(done)} of ${core.many(all)}` + (left > 3 ? `, about ${Math.ceil(left)} s left` : ""));
      });
    } finally {
      el("stop").hidden = el("progress").hidden = true;
    }
  }

  function policy() {
    return { name: el("policy").value, left: el("left-flank").value.trim(), right: el("right-flank").value.trim() };
  }

  const predicted = () => `${core.many(shown.ids.length)} sequence${shown.ids.length > 1 ? "s" : ""} predicted.`;

  function predictText(text) {
    const how = policy();
    return inTurn("prediction", () => predict(text, how));
  }

  async function predict(text, how) {
    forget();
    refuse("");
    if (backend) tell("");
    try {
      const { ids, codes } = core.read(text, card.length, how);
      await ready.catch((error) => {
        throw new core.InputError(error.message);
      });
      const columns = now.isStopped ? null : await busy("predicting", (onDone) => ask(codes, onDone));
      if (columns === null) return;
      shown = { ids, codes, columns, selected: 0 };
      tell(predicted());
      showTable();
      el("results").hidden = false;
      now.kind = "map"; // the answer is there, and rows of it can be chosen
      await tryMap(order()[0]);
    } catch (error) {
      if (backend) tell("");
      forget();
      refuse(error instanceof core.InputError ? error.message : `the network failed: ${error.message || error}`);
      if (!(error instanceof core.InputError)) throw error;
    }
  }

  // What is left of an earlier answer would pass for that to the present sequences.
  function forget() {
    dropMap();
    shown = null;
    for (const id of ["results", "map-section"]) el(id).hidden = true;
  }

  // ---- table --------------------------------------------------------------------------------------------------------

  const value = (name, row, k) => shown.columns[name][row * T + k];

  function sortings() {
    const made = [["as given", null]];
    card.targets.forEach((target, k) => {
      made.push([`${target}: highest first`, (row) => -value("mean", row, k)]);
      made.push([`${target}: lowest first`, (row) => value("mean", row, k)]);
      if (shown.columns.epistemic_std) made.push([`${target}: least known first`, (row) => -value("epistemic_std", row, k)]);
    });
    if (shown.columns.ood_score) made.push(["most unlike the training sequences first", (row) => -shown.columns.ood_score[row]]);
    return made;
  }

  function order() {
    const rows = Array.from(shown.ids, (_, row) => row);
    const by = (sortings()[Number(el("sort").value) || 0] || [])[1];
    if (by) rows.sort((a, b) => Number.isNaN(by(a)) - Number.isNaN(by(b)) || by(a) - by(b)); // what is no number comes last
    return rows;
  }

  // Least and largest number of one target in these columns, as far as there are such.
  function extent(names, k) {
    let [low, high] = [Infinity, -Infinity];
    for (const name of names.filter((one) => shown.columns[one])) {
      for (let row = 0; row < shown.ids.length; row++) {
        const one = value(name, row, k);
        if (one < low) low = one; // never, if it is no number
        if (one > high) high = one;
      }
    }
    return [low, high];
  }

  // As many decimals as tell a hundredth of a target's own range apart; of its largest std, or of its value, where all are the same.
  function decimalsOf(k, [low, high]) {
    const std = Math.max(0, extent(["epistemic_std", "aleatoric_std", "calibrated_std"], k)[1]);
    if (high < low) return 0;
    return Math.min(Math.max(2 - Math.floor(Math.log10(high - low || std || Math.abs(high) || 1)), 0), 8);
  }

  // The ends of the axis, which all targets share.
  function range() {
    const extents = card.targets.map((_, k) => extent(shown.columns.lower ? ["lower", "upper"] : ["mean"], k));
    decimals = extents.map((one, k) => decimalsOf(k, one));
    const low = Math.min(...extents.map(([one]) => one));
    const high = Math.max(...extents.map(([, one]) => one));
    const pad = (high - low || 1) * 0.03;
    return [low - pad, high + pad];
  }

  function activityCell(row, k, [low, high]) {
    const W = 150;
    const x = (v) => ((v - low) / (high - low)) * W;
    const mean = value("mean", row, k);
    const cell = make("td");
    const text = make("span", { class: "numbers" }, number(mean, k));
    const svg = draw("svg", { width: W, height: 14, "aria-hidden": "true" });
    svg.append(draw("line", { x1: 0, x2: W, y1: 7, y2: 7, stroke: "var(--line)" }));
    if (low < 0 && high > 0) svg.append(draw("line", { x1: x(0), x2: x(0), y1: 1, y2: 13, stroke: "var(--soft)", "stroke-dasharray": "2 2" }));
    if (shown.columns.lower) {
      const [from, to] = [value("lower", row, k), value("upper", row, k)];
      text.append(make("span", {}, ` [${number(from, k)} to ${number(to, k)}]`));
      if (Number.isFinite(to - from)) svg.append(draw("line", { x1: x(from), x2: x(to), y1: 7, y2: 7, stroke: "var(--blue)", "stroke-width": 4, "stroke-opacity": 0.45 }));
    }
    if (Number.isFinite(mean)) svg.append(draw("circle", { cx: x(mean), cy: 7, r: 4, fill: "var(--blue)" }));
    cell.append(text, svg);
    return cell;
  }

  function uncertaintyCell(row, k, most) {
    const W = 110;
    const cell = make("td");
    const parts = [["epistemic_std", "unknown", "--epistemic"], ["aleatoric_std", "noise", "--aleatoric"]].filter(([name]) => shown.columns[name]);
    const stds = parts.map(([name]) => value(name, row, k));
    const total = stds.reduce((sum, std) => sum + std * std, 0);
    const width = (Math.sqrt(total) / most) * W;
    const svg = draw("svg", { width: W, height: 14, "aria-hidden": "true" });
    let at = 0;
    stds.forEach((std, i) => {
      const own = total > 0 ? (std * std / total) * width : 0;
      svg.append(draw("rect", { x: at, y: 3, width: own, height: 8, fill: `var(${parts[i][2]})` }));
      at += own;
    });
    cell.append(make("span", { class: "numbers" }, parts.map(([, word], i) => `${word} ${digits(stds[i], k)}`).join(" \u00b7 ")), svg);
    return cell;
  }

  function flagCell(row) {
    const isOdd = Boolean(shown.columns.ood[row]);
    const score = shown.columns.ood_score[row];
    const flag = make("span", { class: `flag ${isOdd ? "yes" : "no"}` }, isOdd ? "unlike them" : "like them");
    return make("td", {}, flag, make("span", { class: "numbers" }, make("span", {}, `percentile ${fixed(score, score > 99 ? 1 : 0)}`)));
  }

  function showTable() {
    const columns = shown.columns;
    const hasStd = Boolean(columns.epistemic_std || columns.aleatoric_std);
    const head = make("tr", {}, make("th", { scope: "col" }, "Sequence"));
    if (columns.ood) head.append(make("th", { scope: "col" }, "Like the training", make("small", {}, "sequences?")));
    for (const target of card.targets) {
      const what = columns.lower ? `mean and ${percent(card.level)} interval` : "mean";
      head.append(make("th", { scope: "col" }, target, make("small", {}, `${what}, ${card.units}`)));
      if (hasStd) head.append(make("th", { scope: "col" }, "Uncertainty", make("small", {}, `std, ${card.units}`)));
    }
    el("table").tHead.replaceChildren(head);
    fillSort();
    fillRows();
  }

  function fillSort() {
    const before = el("sort").value;
    el("sort").replaceChildren(...sortings().map(([name], i) => make("option", { value: i }, name)));
    el("sort").value = before || "0";
  }

  function fillRows() {
    const rows = order();
    const domain = range();
    const most = largestTotal();
    const hasStd = Boolean(shown.columns.epistemic_std || shown.columns.aleatoric_std);
    const body = rows.slice(0, SHOWN).map((row) => {
      const line = make("tr", { "data-row": row }, make("th", { scope: "row", title: shown.ids[row] }, shown.ids[row] || `row ${row + 1}`));
      if (shown.columns.ood) line.append(flagCell(row));
      for (let k = 0; k < T; k++) {
        line.append(activityCell(row, k, domain));
        if (hasStd) line.append(uncertaintyCell(row, k, most));
      }
      return line;
    });
    el("table").tBodies[0].replaceChildren(...body);
    markChosen();
    el("more").hidden = rows.length <= SHOWN;
    el("more").textContent = `The first ${SHOWN} of ${core.many(rows.length)} rows in this order; the download holds all.`;
  }

  const lines = () => [...el("table").tBodies[0].rows];

  // One stop of the Tab key for the whole table, from where arrow keys lead on: the chosen row, or the first where that is not shown.
  function markChosen() {
    const chosen = lines().find((line) => Number(line.dataset.row) === shown.selected);
    for (const line of lines()) line.setAttribute("aria-selected", String(line === chosen));
    stopAt(chosen || lines()[0]);
  }

  function stopAt(stop) {
    for (const line of lines()) line.setAttribute("tabindex", line === stop ? 0 : -1);
  }

  function largestTotal() {
    let most = 0;
    for (let i = 0; i < shown.ids.length * T; i++) {
      const square = (name) => (shown.columns[name] ? shown.columns[name][i] ** 2 : 0);
      const total = square("epistemic_std") + square("aleatoric_std");
      if (total > most) most = total; // never, if it is no number
    }
    return Math.sqrt(most) || 1;
  }

  // ---- map ----------------------------------------------------------------------------------------------------------

  // The table stays where no map can be had.
  async function tryMap(row) {
    try {
      await showMap(row);
    } catch (error) {
      dropMap();
      tell(predicted());
      el("map-status").textContent = `no map: ${error.message || error}`;
      if (!(error instanceof core.InputError)) console.error(error);
    }
  }

  // What is left of an earlier map, logo or table of variants would pass for that of the sequence chosen now.
  function dropMap() {
    map = variants = null;
    if (logo) URL.revokeObjectURL(logo.address);
    logo = null;
    el("map-download").disabled = true;
    el("map-scroll").replaceChildren();
    el("map-scale").replaceChildren();
    el("map-read").textContent = el("map-status").textContent = "";
    for (const id of ["logo-section", "variants-section"]) el(id).hidden = true;
  }

  async function showMap(row) {
    dropMap();
    shown.selected = row;
    markChosen();
    const codes = shown.codes.slice(row * card.length, (row + 1) * card.length);
    const places = core.places(codes);
    el("map-section").hidden = false;
    el("map-row").replaceChildren(...order().slice(0, SHOWN).map((one) => make("option", { value: one }, shown.ids[one] || `row ${one + 1}`)));
    el("map-row").value = String(row);
    const said = await busy(`mutating ${shown.ids[row]}`, (onDone) => effectsOf(codes, places, row, onDone));
    if (said === null) return;
    const spread = (values) => {
      const all = new Float64Array(4 * card.length * T);
      places.forEach(([position, base], i) => {
        for (let k = 0; k < T; k++) all[(position * 4 + base) * T + k] = values(i, k);
      });
      return all;
    };
    map = { id: shown.ids[row], codes, effects: spread(said.effect), stds: said.std && spread(said.std) };
    el("map-download").disabled = false;
    showMore();
    tell(predicted());
    drawMap();
  }

  // Effect of every single mutation, and its std where the backend can tell it: {effect(i, k), std(i, k)}; null when stopped.
  async function effectsOf(codes, places, row, onDone) {
    if (backend.effects) {
      const table = await askEffects(codes, places.map(([p, b]) => `${core.LETTERS[codes[p]]}${p + 1}${core.LETTERS[b]}`), onDone);
      if (table === null) return null;
      const column = (name) => (i, k) => table[`${card.targets[k]}_${name}`][i];
      const hasStd = `${card.targets[0]}_effect_epistemic_std` in table;
      return { effect: column("effect"), std: hasStd ? column("effect_epistemic_std") : null };
    }
    const said = await ask(core.mutants(codes, places), onDone);
    return said && { effect: (i, k) => said.mean[i * T + k] - shown.columns.mean[row * T + k], std: null };
  }

  // The table of effects of mutations, as many in one request as the backend takes; null when stopped.
  async function askEffects(codes, mutations, onDone) {
    const table = {};
    for (let at = 0; at < mutations.length; at += backend.mutations) {
      const said = await backend.effects(codes, mutations.slice(at, at + backend.mutations));
      for (const [name, values] of Object.entries(said)) table[name] = (table[name] || []).concat(values);
      onDone(Math.min(at + backend.mutations, mutations.length), mutations.length);
      await pause();
      if (now.isStopped) return null;
    }
    return table;
  }

  const effect = (position, base, k) => map.effects[(position * 4 + base) * T + k];

  function drawMap() {
    const k = Number(el("map-target").value) || 0;
    const [W, H, LEFT, TOP] = [13, 18, 22, 34];
    const length = card.length;
    let most = 0;
    for (let p = 0; p < length; p++) for (let b = 0; b < 4; b++) most = Math.max(most, Math.abs(effect(p, b, k)) || 0);
    const svg = draw("svg", { width: LEFT + W * length + 4, height: TOP + 4 * H + 4, "font-family": "ui-monospace, DejaVu Sans Mono, monospace", "font-size": 11 });
    svg.append(draw("rect", { x: LEFT, y: TOP, width: W * length, height: 4 * H, fill: "var(--zero)" }));
    for (let p = 0; p < length; p++) {
      const x = LEFT + p * W;
      if (p === 0 || (p + 1) % 10 === 0) svg.append(text(x + W / 2, 11, String(p + 1), "var(--soft)"));
      svg.append(text(x + W / 2, 27, core.LETTERS[map.codes[p]], "var(--ink)"));
      for (let b = 0; b < 4; b++) {
        if (b === map.codes[p]) {
          svg.append(draw("circle", { cx: x + W / 2, cy: TOP + b * H + H / 2, r: 1.5, fill: "var(--soft)" }));
          continue;
        }
        const one = effect(p, b, k);
        if (Number.isNaN(one)) continue;
        svg.append(draw("rect", { x: x + 0.5, y: TOP + b * H + 0.5, width: W - 1, height: H - 1, fill: one < 0 ? "var(--down)" : "var(--up)", "fill-opacity": most > 0 ? (Math.abs(one) / most).toFixed(3) : 0 }));
      }
    }
    for (let b = 0; b < 4; b++) svg.append(text(10, TOP + b * H + 13, core.LETTERS[b], "var(--ink)"));
    const mark = draw("rect", { id: "cursor", width: W, height: H, fill: "none", stroke: "var(--ink)", "stroke-width": 2, visibility: "hidden" });
    svg.append(mark);
    const point = (event) => {
      const box = svg.getBoundingClientRect();
      const p = Math.floor((event.clientX - box.left - LEFT) / W);
      const b = Math.floor((event.clientY - box.top - TOP) / H);
      if (p >= 0 && p < length && b >= 0 && b < 4) moveTo(p, b, false);
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("click", point);
    el("map-scroll").replaceChildren(svg);
    const scale = [make("span", {}, signed(-most, k)), make("i"), make("span", {}, `${signed(most, k)} ${card.units}`)];
    el("map-scale").replaceChildren(...scale);
    const strongest = strongestMutation(k);
    el("map-read").textContent = "";
    el("map-status").textContent = strongest ? `${map.id}, ${card.targets[k]}: strongest effect ${named(...strongest, k)}.` : "";
    cursor = strongest || [0, 0];
  }

  function strongestMutation(k) {
    let [best, most] = [null, -1];
    for (let p = 0; p < card.length; p++) {
      for (let b = 0; b < 4; b++) {
        const size = Math.abs(effect(p, b, k));
        if (size > most) [best, most] = [[p, b], size];
      }
    }
    return best;
  }

  function text(x, y, content, fill) {
    return draw("text", { x, y, "text-anchor": "middle", fill }, content);
  }

  function named(position, base, k) {
    const own = core.LETTERS[map.codes[position]];
    const std = map.stds ? ` (\u00b1 ${digits(map.stds[(position * 4 + base) * T + k], k)})` : "";
    return `${own}${position + 1}${core.LETTERS[base]} ${signed(effect(position, base, k), k)}${std} ${card.units}`;
  }

  function moveTo(position, base, scroll) {
    cursor = [position, base];
    const k = Number(el("map-target").value) || 0;
    const mark = el("map-scroll").querySelector("#cursor");
    mark.setAttribute("x", 22 + position * 13);
    mark.setAttribute("y", 34 + base * 18);
    mark.setAttribute("visibility", "visible");
    if (scroll) el("map-scroll").scrollLeft = Math.max(0, 22 + position * 13 - el("map-scroll").clientWidth / 2);
    const isOwn = map.codes[position] === base;
    el("map-read").textContent = isOwn ? `position ${position + 1}: ${core.LETTERS[base]}, as it is` : named(position, base, k);
  }

  function mapColumns() {
    const rows = [];
    for (let p = 0; p < card.length; p++) for (let b = 0; b < 4; b++) if (b !== map.codes[p]) rows.push([p, b]);
    const columns = [
      ["id", () => map.id],
      ["position", (i) => rows[i][0] + 1],
      ["ref", (i) => core.LETTERS[map.codes[rows[i][0]]]],
      ["alt", (i) => core.LETTERS[rows[i][1]]],
    ];
    card.targets.forEach((target, k) => {
      columns.push([`${target}_effect`, (i) => effect(...rows[i], k)]);
      if (map.stds) columns.push([`${target}_effect_epistemic_std`, (i) => map.stds[(rows[i][0] * 4 + rows[i][1]) * T + k]]);
    });
    return [columns, rows.length];
  }

  // ---- what only a service can do: logos, and variants with their std -------------------------------------------------

  let logo = null; // {id, svg, address}
  let variants = null; // {id, table by column}

  function showMore() {
    el("map-about").textContent = ABOUT_MAP + (map.stds ? " In brackets, after \u00b1: how far independently trained networks would disagree about it (std)." : "");
    el("logo-section").hidden = !backend.logo;
    el("variants-section").hidden = !backend.effects;
    for (const id of ["logo-scroll", "logo-download", "variants-scroll", "variants-download"]) el(id).hidden = true;
    el("logo-status").textContent = el("variants-status").textContent = "";
    const middle = Math.floor(card.length / 2);
    const own = core.LETTERS[map.codes[middle]];
    el("mutations").placeholder = `${own}${middle + 1}${own === "A" ? "G" : "A"}`;
  }

  // Does one thing for the map that is shown, and says beside it what it is, or what is wrong.
  async function beside(id, what, work) {
    if (!map || isAsked("prediction", "map")) return;
    await inTurn(id, async () => {
      el(id).textContent = `${what} ...`;
      try {
        await busy(what, work);
        el(id).textContent = "";
      } catch (error) {
        el(id).textContent = error.message || String(error);
        if (!(error instanceof core.InputError)) throw error;
      } finally {
        tell("");
      }
    });
  }

  function drawLogo() {
    const [output, target] = JSON.parse(el("logo-output").value);
    const method = el("logo-method").value;
    return beside("logo-status", "explaining", async () => {
      const { id, codes } = map;
      const svg = await backend.logo(codes, id, { output, target, method });
      if (now.isStopped) return;
      if (logo) URL.revokeObjectURL(logo.address);
      logo = { id, svg, address: URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" })) };
      el("logo").src = logo.address;
      el("logo").alt = `Logo of ${id}: what each base contributes to ${output} of ${target}`;
      await el("logo").decode().catch(() => {});
      el("logo-scroll").hidden = el("logo-download").hidden = false;
    });
  }

  function askVariants() {
    const given = el("mutations").value;
    return beside("variants-status", "asking", async (onDone) => {
      const mutations = given.split(/[\n,;]/).map((one) => one.trim()).filter(Boolean);
      if (!mutations.length) throw new core.InputError("no mutations; give at least one, such as " + el("mutations").placeholder);
      const { id, codes } = map;
      const table = await askEffects(codes, mutations, onDone);
      if (table === null) return;
      variants = { id, table };
      showVariants();
    });
  }

  function showVariants() {
    const effects = variants.table;
    const has = (name) => `${card.targets[0]}_${name}` in effects;
    const head = make("tr", {}, make("th", { scope: "col" }, "Mutation"));
    for (const target of card.targets) {
      head.append(make("th", { scope: "col" }, target, make("small", {}, `effect${has("effect_lower") ? " and 95 % interval" : ""}, ${card.units}`)));
      if (has("sign_prob")) head.append(make("th", { scope: "col" }, "Direction", make("small", {}, "probability")));
    }
    el("variants-table").tHead.replaceChildren(head);
    const lines = effects.id.map((id, i) => {
      const line = make("tr", {}, make("th", { scope: "row" }, id));
      card.targets.forEach((target, k) => {
        const at = (name) => effects[`${target}_${name}`][i];
        const text = make("span", { class: "numbers" }, signed(at("effect"), k));
        if (has("effect_lower")) text.append(make("span", {}, ` [${signed(at("effect_lower"), k)} to ${signed(at("effect_upper"), k)}]`));
        line.append(make("td", {}, text));
        if (has("sign_prob")) line.append(make("td", {}, Number.isNaN(at("sign_prob")) ? "\u2013" : `${at("effect") < 0 ? "down" : "up"} ${at("sign_prob").toFixed(2)}`));
      });
      return line;
    });
    el("variants-table").tBodies[0].replaceChildren(...lines);
    el("variants-scroll").hidden = el("variants-download").hidden = false;
  }

  function variantsTable() {
    const { table } = variants;
    return core.tsv(Object.keys(table).map((name) => [name, (i) => table[name][i]]), table.id.length);
  }

  // ---- the rest -----------------------------------------------------------------------------------------------------

  function save(name, content, type = "text/tab-separated-values") {
    const link = make("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  async function open(file) {
    if (!file) return;
    if (file.size > core.MOST_FILE_BYTES) {
      refuse(`${file.name}: ${core.many(Math.round(file.size / 1e6))} MB, at most 64 MB in the browser; use octodon predict`);
      return;
    }
    const how = policy();
    await inTurn("prediction", async () => {
      let text;
      try {
        text = await file.text();
      } catch (error) {
        refuse(`${file.name} cannot be read: ${error.message || error}`); // a folder, say; the sequences before stay with their answer
        return;
      }
      if (now.isStopped) return;
      el("sequences").value = text;
      await predict(text, how);
    });
  }

  const percent = (level) => `${Number((level * 100).toPrecision(4))} %`;

  function describe() {
    const { targets, length, units } = card;
    el("title").textContent = card.title;
    el("lead").textContent =
      `Predicts ${targets.join(" and ")} (${units}) of DNA of ${length} bases, and how sure it is. ` + card.where;
    el("expects").textContent = `${length} bases each, letters A C G T N, at most ${core.many(core.MOST_SEQUENCES)} sequences.`;
    el("sequences").placeholder = ">name\n" + core.decode(Uint8Array.from(card.example[0])).slice(0, 60) + "...";
    const about = [["Activity", `what an experiment like the one that was learnt from would measure, in ${units}.`]];
    if (card.interval) about.push([`${percent(card.level)} interval`, card.interval_about]);
    const has = (name) => card.outputs.includes(name);
    const key = (colour, words) => [make("span", { class: "key", style: `background: var(${colour})` }), words];
    if (has("epistemic_std")) about.push([key("--epistemic", "Unknown (epistemic std)"), "how far independently trained networks would disagree about this sequence. Large: the network does not know; more data of this kind would help."]);
    if (has("aleatoric_std")) about.push([key("--aleatoric", "Noise (aleatoric std)"), "the noise of ONE measurement; measuring again helps, more training data does not. The bar shows both: its length the total std, its parts their shares of the variance."]);
    if (has("ood")) about.push(["Unlike the training sequences", `a score (${card.ood.score}) beyond ${card.ood.threshold_percentile} % of those of the training sequences. The network was never asked to know such DNA: distrust the prediction and its interval.`]);
    about.push(["Map of mutations", "change of the predicted activity when one base is replaced: red up, blue down, darker = stronger. The given base is a dot. An effect much smaller than the uncertainty says little."]);
    el("about").replaceChildren(...about.flatMap(([term, words]) => [make("dt", {}, ...[term].flat()), make("dd", {}, words)]));
    el("legend").textContent = `All bars share one axis; the dashed line is 0.${card.interval ? ` Interval: ${card.interval}.` : ""} Choose a row to see its map of mutations; arrow keys move through the rows, Enter chooses.`;
    el("map-about").textContent = ABOUT_MAP;
    el("map-target").replaceChildren(...targets.map((target, k) => make("option", { value: k }, target)));
    const explained = [["activity", ""], ["epistemic_std", "what is unknown of "], ["aleatoric_std", "the noise of "]];
    el("logo-output").replaceChildren(
      ...targets.flatMap((target) =>
        explained
          .filter(([output]) => output === "activity" || has(output))
          .map(([output, words]) => make("option", { value: JSON.stringify([output, target]) }, words + target)),
      ),
    );
    el("made").textContent = card.made;
    el("policy").value = card.policy.name;
    el("left-flank").value = card.policy.left;
    el("right-flank").value = card.policy.right;
    el("lengths").open = card.policy.name !== "refuse";
    showFlanks();
  }

  function showFlanks() {
    for (const node of document.querySelectorAll(".flank")) node.hidden = el("policy").value !== "flank";
  }

  function listen() {
    el("predict").addEventListener("click", () => predictText(el("sequences").value));
    el("sequences").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) predictText(el("sequences").value);
    });
    el("example").addEventListener("click", () => {
      el("sequences").value = card.example.map((codes, i) => `>example_${i + 1}\n${core.decode(Uint8Array.from(codes))}\n`).join("");
      el("policy").value = "refuse";
      showFlanks();
      predictText(el("sequences").value);
    });
    el("file").addEventListener("change", () => {
      const [file] = el("file").files;
      el("file").value = ""; // so that the same file can be opened again
      open(file);
    });
    el("stop").addEventListener("click", () => {
      for (const one of asked) one.isStopped = true;
    });
    el("policy").addEventListener("change", showFlanks);
    el("sort").addEventListener("change", fillRows);
    el("download").addEventListener("click", () => save("predictions.tsv", table()));
    el("map-download").addEventListener("click", () => map && save(`mutations_${map.id}.tsv`, core.tsv(...mapColumns())));
    el("map-row").addEventListener("change", () => choose(Number(el("map-row").value)));
    el("map-target").addEventListener("change", () => map && drawMap());
    const chooseLine = (event) => {
      const line = event.target.closest("tr");
      if (line && line.dataset.row !== undefined) choose(Number(line.dataset.row));
    };
    el("table").addEventListener("click", chooseLine);
    el("table").addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        chooseLine(event);
      }
      const at = lines().indexOf(event.target.closest("tr"));
      const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: lines().length - 1 }[event.key];
      if (at < 0 || to === undefined) return;
      event.preventDefault();
      const line = lines()[to];
      if (!line) return;
      stopAt(line);
      el("table-scroll").style.scrollPaddingTop = `${el("table").tHead.offsetHeight}px`; // not behind the head, which stays above
      line.focus();
    });
    el("map-scroll").addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-card.length, 0], End: [card.length, 0] }[event.key];
      if (!step || !map) return;
      event.preventDefault();
      const [p, b] = [cursor[0] + step[0], cursor[1] + step[1]];
      moveTo(Math.min(Math.max(p, 0), card.length - 1), Math.min(Math.max(b, 0), 3), true);
    });
    el("logo-draw").addEventListener("click", drawLogo);
    el("logo-download").addEventListener("click", () => logo && save(`logo_${logo.id}.svg`, logo.svg, "image/svg+xml"));
    el("variants-ask").addEventListener("click", askVariants);
    el("variants-download").addEventListener("click", () => variants && save(`variants_${variants.id}.tsv`, variantsTable()));
    const drop = el("drop");
    for (const name of ["dragenter", "dragover"]) {
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.add("over");
      });
    }
    for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      open(event.dataTransfer.files[0]);
    });
  }

  // Rows of an answer that another is about to replace cannot be chosen.
  async function choose(row) {
    if (!shown || isAsked("prediction")) return;
    await inTurn("map", async () => {
      refuse("");
      await tryMap(row);
    });
  }

  function table() {
    return core.tsv(core.tableColumns(card, shown.ids, shown.columns), shown.ids.length);
  }

  describe();
  listen();
  const ready = octodonBackend.open(card).then(
    (opened) => {
      backend = opened;
      el("predict").disabled = false;
      tell("Ready.");
    },
    (error) => {
      const words = `the network could not be started: ${error.message || error}`;
      tell("");
      refuse(words);
      throw new Error(words, { cause: error });
    },
  );
  // For people who like the console, and for tests.
  window.octodon = { card, ready, predictText, table: () => shown && table(), map: () => map && core.tsv(...mapColumns()), choose, drawLogo, askVariants, variants: () => variants && variantsTable() };
})();
