// The network on the computer that this page came from (octodon serve): every answer is asked for there.
const octodonBackend = (() => {
  const TRIES = 5;

  // The answer to one request; a service that is busy is asked again.
  async function ask(address, body) {
    for (let tried = 1; ; tried++) {
      let answer;
      try {
        const how = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
        answer = await fetch(address, how);
      } catch {
        throw new octodonCore.InputError("the service does not answer; does it still run?");
      }
      if (answer.ok) return answer;
      if (answer.status !== 503 || tried === TRIES) {
        const said = await answer.json().catch(() => ({ error: `the service answered with ${answer.status}` }));
        throw new octodonCore.InputError(said.error);
      }
      await new Promise((done) => setTimeout(done, 1000 * tried));
    }
  }

  // What is no number comes as null, which an array of numbers would take for 0.
  const withNaN = (values) => values.map((value) => value ?? NaN);

  const query = (options) => new URLSearchParams(Object.entries(options).filter(([, value]) => value !== undefined));

  return {
    async open(card) {
      const { limits } = await (await ask("model")).json();
      const PER_TARGET = ["mean", "epistemic_std", "aleatoric_std", "calibrated_std", "lower", "upper"];
      return {
        batch: Math.min(256, limits.sequences),
        // in one request, where the sequence itself counts too; no more than keep the page alive
        mutations: Math.max(1, Math.min(1000, limits.sequences - 1)),

        async predict(codes, n) {
          const text = octodonCore.decode(codes);
          const sequences = Array.from({ length: n }, (_, i) => text.slice(i * card.length, (i + 1) * card.length));
          const { table } = await (await ask("predict?length=refuse", { sequences })).json();
          const columns = {};
          for (const name of PER_TARGET.filter((one) => card.outputs.includes(one))) {
            columns[name] = new Float64Array(n * card.targets.length);
            card.targets.forEach((target, k) => {
              withNaN(table[`${target}_${name}`]).forEach((value, i) => (columns[name][i * card.targets.length + k] = value));
            });
          }
          if (card.outputs.includes("ood")) {
            columns.ood_score = Float64Array.from(withNaN(table.ood_score));
            columns.ood = Uint8Array.from(table.ood);
          }
          return columns;
        },

        // The table of effects of mutations, in their order.
        async effects(codes, mutations) {
          const { table } = await (await ask("variants", { sequence: octodonCore.decode(codes), mutations })).json();
          return Object.fromEntries(Object.entries(table).map(([name, values]) => [name, withNaN(values)]));
        },

        // A logo as SVG.
        async logo(codes, id, options) {
          const asked = query({ length: "refuse", format: "svg", ...options });
          return (await ask(`attribute?${asked}`, { sequences: [octodonCore.decode(codes)], ids: [id] })).text();
        },
      };
    },
  };
})();
