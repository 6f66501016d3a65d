// Runs the script of a served page in node, on a document that only remembers what it is told; prints what was asked and shown.
// Usage: node page_without_browser.js PAGE.html CASE.json
const { readFileSync } = require("node:fs");
const [html, given] = process.argv.slice(2).map((file) => readFileSync(file, "utf8"));
const { text, limits, refuse, then } = JSON.parse(given);
const card = html.match(/<script type="application\/json" id="card">([\s\S]*?)<\/script>/)[1];
const script = html.match(/<script>\n([\s\S]*)\n<\/script>\n<\/body>/)[1];

class Element {
  constructor() {
    Object.assign(this, { children: [], dataset: {}, textContent: "", value: "", hidden: false, options: [] });
    this.classList = { add() {}, remove() {} };
  }
  append(...nodes) {
    this.children.push(...nodes);
  }
  replaceChildren(...nodes) {
    this.children = nodes;
  }
  setAttribute(name, value) {
    if (name.startsWith("data-")) this.dataset[name.slice(5)] = String(value);
  }
  querySelector() {
    return new Element();
  }
  addEventListener() {}
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

const elements = { card: Object.assign(new Element(), { textContent: card }) };
const el = (id) => (elements[id] ||= new Element());
const asked = [];
const at = (mutation) => [Number(mutation.slice(1, -1)), "ACGT".indexOf(mutation.at(-1))];

// The service: activity 0 everywhere; mutation to base b at position p (from 1) has the effect p + b / 10, and target 2 its double.
function answer(address, body) {
  if (address === "model") return [200, { limits }];
  const { targets, outputs } = JSON.parse(card);
  const what = address.split("?")[0];
  const count = what === "variants" ? (body.mutations ? body.mutations.length : 3 * body.sequence.length) : body.sequences.length;
  asked.push([what, count]);
  if (what === refuse) return [503, { error: "busy" }];
  if (count + (what === "variants") > limits.sequences) return [413, { error: "too many sequences" }];
  if (what === "variants") {
    const table = { id: body.mutations };
    targets.forEach((name, k) => (table[`${name}_effect`] = body.mutations.map((one) => (at(one)[0] + at(one)[1] / 10) * (k + 1))));
    return [200, { table }];
  }
  const zeros = body.sequences.map(() => 0);
  const table = { ood_score: zeros, ood: zeros };
  for (const name of targets) for (const output of outputs) table[`${name}_${output}`] = zeros;
  return [200, { table }];
}

const page = {
  window: {},
  document: { getElementById: el, querySelectorAll: () => [], createElement: () => new Element(), createElementNS: () => new Element() },
  fetch: async (address, how) => {
    const [status, content] = answer(address, how && JSON.parse(how.body));
    return { ok: status === 200, status, json: async () => content };
  },
  setTimeout: (call) => setImmediate(call), // nobody waits for a service that stays busy
};
new Function(...Object.keys(page), script)(...Object.values(page));
const run = page.window.octodon;
(async () => {
  await run.ready;
  await run.predictText(text);
  for (const [name, ...words] of then || []) {
    if (name === "mutations") el("mutations").value = words[0];
    else await run[name](...words);
  }
  const shown = Object.fromEntries(Object.entries(elements).map(([id, one]) => [id, { text: one.textContent, hidden: one.hidden }]));
  const rows = el("table").tBodies[0].children.length;
  console.log(JSON.stringify({ asked, shown, rows, table: run.table(), map: run.map(), variants: run.variants() }));
})();
