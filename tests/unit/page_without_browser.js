// Runs the script of a served page in node, on a document that only remembers what it is told; prints what was asked and shown.
// Usage: node page_without_browser.js PAGE.html CASE.json
// In a case, `then` is done after the prediction of `text`, step by step; `during` is begun when the request of that number comes in
// (0: that for the model) and not waited for, as what a user does meanwhile.
const { readFileSync } = require("node:fs");
const [html, given] = process.argv.slice(2).map((file) => readFileSync(file, "utf8"));
const { text, limits, refuse, then, during = {}, means = {}, unknown = [], model = {} } = JSON.parse(given);
const own = html.match(/<script type="application\/json" id="card">([\s\S]*?)<\/script>/)[1];
const card = { ...JSON.parse(own), ...model };
const script = html.match(/<script>\n([\s\S]*)\n<\/script>\n<\/body>/)[1];
let focused = null;
const saved = [];

class Element {
  constructor(name) {
    Object.assign(this, { name, children: [], dataset: {}, textContent: "", value: "", hidden: false, options: [] });
    Object.assign(this, { attributes: {}, listeners: {}, style: {} });
    this.classList = { add() {}, remove() {} };
  }
  append(...nodes) {
    this.children.push(...nodes);
  }
  replaceChildren(...nodes) {
    this.children = nodes;
  }
  setAttribute(name, value) {
    this.attributes[name] = value;
    if (name.startsWith("data-")) this.dataset[name.slice(5)] = String(value);
  }
  querySelector() {
    return new Element();
  }
  closest() {
    return this;
  }
  addEventListener(name, call) {
    this.listeners[name] = call;
  }
  fire(name, event = {}) {
    return this.listeners[name]({ target: this, preventDefault() {}, ...event });
  }
  click() {
    if (this.attributes.download) saved.push([this.attributes.download, this.attributes.href]);
    else this.fire("click");
  }
  focus() {
    focused = this;
  }
  async decode() {}
  get words() {
    return this.children.map((one) => (one instanceof Element ? one.words : one)).join("");
  }
  get rows() {
    return this.children;
  }
  get tHead() {
    return (this.head ||= new Element());
  }
  get tBodies() {
    return [(this.body ||= new Element())];
  }
}

const elements = { card: Object.assign(new Element(), { textContent: JSON.stringify(card) }) };
const el = (id) => (elements[id] ||= new Element());
const lines = () => el("table").tBodies[0].children;
const asked = [];
const told = [];
const at = (mutation) => [Number(mutation.slice(1, -1)), "ACGT".indexOf(mutation.at(-1))];

// The service: activities as the case gives them by sequence (0 else); mutation to base b at position p (from 1) has the effect p + b / 10,
// and target 2 its double; `unknown` ones have none.
function answer(address, body) {
  if (address === "model") return [200, { limits }];
  const { targets, outputs } = card;
  const what = address.split("?")[0];
  const count = what === "variants" ? (body.mutations ? body.mutations.length : 3 * body.sequence.length) : body.sequences.length;
  asked.push([what, count]);
  if (what === refuse) return [503, { error: "busy" }];
  if (count + (what === "variants") > limits.sequences) return [413, { error: "too many sequences" }];
  if (what === "attribute") return [200, `<svg>${body.ids[0]}</svg>`];
  if (what === "variants") {
    const table = { id: body.mutations };
    targets.forEach((name, k) => (table[`${name}_effect`] = body.mutations.map((one) => (unknown.includes(one) ? null : (at(one)[0] + at(one)[1] / 10) * (k + 1)))));
    return [200, { table }];
  }
  const zeros = body.sequences.map(() => 0);
  const table = { ood_score: zeros, ood: zeros };
  for (const name of targets) for (const output of outputs) table[`${name}_${output}`] = zeros;
  targets.forEach((name, k) => (table[`${name}_mean`] = body.sequences.map((one) => (one in means ? means[one][k] : 0))));
  return [200, { table }];
}

const pause = () => new Promise((done) => setImmediate(done));
const page = {
  window: {},
  document: {
    getElementById: el,
    querySelectorAll: () => [],
    createElement: (name) => new Element(name),
    createElementNS: (_, name) => new Element(name),
  },
  fetch: async (address, how) => {
    const [status, content] = answer(address, how && JSON.parse(how.body));
    for (const step of during[asked.length] || []) {
      await pause();
      perform(step).catch((error) => told.push(String(error)));
    }
    delete during[asked.length];
    await pause();
    return { ok: status === 200, status, json: async () => content, text: async () => content };
  },
  setTimeout: (call) => setImmediate(call), // nobody waits for a service that stays busy
  Blob: function (parts) {
    this.content = parts.join("");
  },
  URL: { createObjectURL: (blob) => blob.content, revokeObjectURL() {} },
};
// What goes wrong unseen stands in the browser's console.
process.on("unhandledRejection", (error) => told.push(String(error)));
console.error = (error) => told.push(String(error));
new Function(...Object.keys(page), script)(...Object.values(page));
const run = page.window.octodon;

async function perform([name, ...words]) {
  if (name === "value") el(words[0]).value = words[1];
  else if (name === "click") await el(words[0]).fire("click");
  else if (name === "key") await el("table").fire("keydown", { key: words[0], target: focused });
  else if (name === "focus") lines()[words[0]].focus();
  else if (name === "drop") {
    const file = { name: words[0], size: words[1].length, text: async () => words[1] };
    await el("drop").fire("drop", { dataTransfer: { files: [file] } });
  } else await run[name](...words);
}

(async () => {
  await run.ready;
  if (text) await run.predictText(text);
  for (const step of then || []) await perform(step);
  // until nothing more is asked for
  for (let [quiet, before] = [0, -1]; quiet < 200; quiet++) {
    if (asked.length !== before) [quiet, before] = [0, asked.length];
    await pause();
  }
  const shown = Object.fromEntries(Object.entries(elements).map(([id, one]) => [id, { text: one.textContent, hidden: one.hidden, value: one.value }]));
  const rows = lines().length;
  const stops = lines().map((one) => Number(one.attributes.tabindex));
  const selected = lines().map((one) => one.attributes["aria-selected"] === "true");
  const words = lines().map((one) => one.words);
  const focus = lines().indexOf(focused);
  const [table, map, variants] = [run.table(), run.map(), run.variants()];
  console.log(JSON.stringify({ asked, shown, rows, stops, selected, words, focus, saved, told, table, map, variants }));
})();
