// What the page knows of sequences and of numbers; no document, no network. The messages are those of the Python package.
const octodonCore = (() => {
  const LETTERS = "ACGTN";
  const MOST_SEQUENCES = 20000;
  const MOST_FILE_BYTES = 64 * 1024 * 1024;
  const CODES = new Uint8Array(256).fill(255);
  for (let i = 0; i < 5; i++) {
    CODES[LETTERS.charCodeAt(i)] = i;
    CODES[LETTERS.toLowerCase().charCodeAt(i)] = i;
  }

  class InputError extends Error {}

  const many = (n) => n.toLocaleString("en-US");

  // Records {id, text} of FASTA; of text without any ">": one sequence a line, named 1, 2, ...
  function parse(text) {
    const lines = text.trimStart().split(/\r\n|\n|\r/); // blanks before all, and a byte order mark, are skipped
    if (lines[0] === "") throw new InputError("no sequences, expected at least one");
    const isFasta = lines.some((line) => line.startsWith(">"));
    const records = [];
    if (isFasta && !lines[0].startsWith(">")) {
      throw new InputError(`starts with '${lines[0][0]}', expected '>' (FASTA)`);
    }
    for (let i = 0; i < lines.length; i++) {
      if (isFasta && lines[i].startsWith(">")) {
        records.push({ id: lines[i].slice(1).trimStart().split(/\s/, 1)[0], pieces: [] });
      } else if (isFasta) {
        records[records.length - 1].pieces.push(lines[i].trim());
      } else if (lines[i].trim() !== "") {
        records.push({ id: String(records.length + 1), pieces: [lines[i].trim()] });
      }
    }
    const nameless = records.findIndex(({ id }) => id === "");
    if (nameless >= 0) {
      throw new InputError(`row ${nameless + 1} has an empty id; give every record one, behind its '>'`);
    }
    return records.map(({ id, pieces }) => ({ id, text: pieces.join("") }));
  }

  function encodeOne(text, where) {
    const codes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      const code = unit < 256 ? CODES[unit] : 255;
      if (code === 255) {
        throw new InputError(`${where}position ${i + 1}: '${text[i]}' is not a base; expected A, C, G, T or N`);
      }
      codes[i] = code;
    }
    return codes;
  }

  function inWords(lengths) {
    const found = [...new Set(lengths)].sort((a, b) => a - b);
    if (found.length > 5) return `${found.length} lengths from ${found[0]} to ${found[found.length - 1]} bp`;
    return found.join(" or ") + " bp";
  }

  // How many bases both flanks give when used equally, the odd one from the right.
  function reach(left, right) {
    return right.length > left.length ? 2 * left.length + 1 : 2 * right.length;
  }

  // Every sequence brought to one length, as octodon predict --length does it.
  function fit(records, length, policy) {
    const flank = (text) => (policy.name === "flank" ? text || "" : ""); // what stands there for another choice is not read
    const left = encodeOne(flank(policy.left), "flank before the sequence, ");
    const right = encodeOne(flank(policy.right), "flank after the sequence, ");
    if (policy.name === "flank" && left.length + right.length === 0) {
      throw new InputError("add flanks: give the vector's sequence before or after the element");
    }
    const lengths = records.map((record) => record.text.length);
    const empty = lengths.filter((n) => n === 0).length;
    if (empty) {
      throw new InputError(`row ${lengths.indexOf(0) + 1} has no sequence; remove ${many(empty)} such row(s)`);
    }
    // unequal flanks that bring the first sequence to the length are added whole, else both equally
    const unequal = ![0, 1].includes(right.length - left.length);
    const whole = policy.name === "flank" && unequal && lengths[0] + left.length + right.length === length;
    const fits = (n) => {
      if (policy.name === "crop") return n >= length;
      if (policy.name === "flank" && whole) return n + left.length + right.length === length;
      if (policy.name === "flank") return n <= length && length - n <= reach(left, right);
      return n === length;
    };
    const wrong = lengths.map((n, i) => (fits(n) ? -1 : i)).filter((i) => i >= 0);
    if (wrong.length) {
      const advice = { crop: "keep the centre only of longer ones", flank: `the flanks give ${left.length} + ${right.length} bases`, refuse: "see: Sequences of another length" }[policy.name];
      const odd = inWords(wrong.map((i) => lengths[i]));
      throw new InputError(
        `row ${wrong[0] + 1} has ${lengths[wrong[0]]} bases, expected ${length} (${many(wrong.length)} of ` +
          `${many(records.length)} rows do not fit: ${odd}); ${advice}`,
      );
    }
    const out = new Uint8Array(records.length * length);
    records.forEach((record, row) => {
      const codes = encodeOne(record.text, `row ${row + 1}, `);
      const at = row * length;
      if (codes.length >= length) {
        const skip = Math.floor((codes.length - length) / 2);
        out.set(codes.subarray(skip, skip + length), at);
        return;
      }
      const before = whole ? left.length : Math.floor((length - codes.length) / 2);
      const after = length - codes.length - before;
      out.set(left.subarray(left.length - before), at);
      out.set(codes, at + before);
      out.set(right.subarray(0, after), at + before + codes.length);
    });
    return out;
  }

  function read(text, length, policy) {
    const records = parse(text);
    if (records.length > MOST_SEQUENCES) {
      throw new InputError(
        `${many(records.length)} sequences, at most ${many(MOST_SEQUENCES)} in the browser; use octodon predict for more`,
      );
    }
    return { ids: records.map((record) => record.id), codes: fit(records, length, policy) };
  }

  const decode = (codes) => Array.from(codes, (code) => LETTERS[code]).join("");

  // The columns of octodon predict, in its order: [name, getter(row)].
  function tableColumns(card, ids, columns) {
    const per = ["mean", "epistemic_std", "aleatoric_std", "calibrated_std", "lower", "upper"].filter((name) => columns[name]);
    const t = card.targets.length;
    const made = [["id", (row) => ids[row]]];
    card.targets.forEach((target, k) => {
      for (const name of per) made.push([`${target}_${name}`, (row) => columns[name][row * t + k]]);
    });
    if (columns.ood_score) {
      made.push(["ood_score", (row) => columns.ood_score[row]]);
      made.push(["ood", (row) => (columns.ood[row] ? "true" : "false")]);
    }
    if (card.interval) made.push(["interval", () => card.interval]);
    return made;
  }

  // Seven digits are what float32 holds; what is no number is left empty, as by octodon predict.
  const field = (value) => {
    if (Number.isNaN(value)) return "";
    if (typeof value === "number") return String(Number(value.toPrecision(7)));
    return /[\t\n"]/.test(value) ? `"${value.replace(/"/g, '""')}"` : value;
  };

  function tsv(columns, rows) {
    const lines = [columns.map(([name]) => field(name)).join("\t")];
    for (let row = 0; row < rows; row++) lines.push(columns.map(([, get]) => field(get(row))).join("\t"));
    return lines.join("\n") + "\n";
  }

  // All single mutations of one sequence, as [position, base]: 3 per base (N: 4).
  function places(codes) {
    const found = [];
    codes.forEach((own, position) => {
      for (let base = 0; base < 4; base++) if (base !== own) found.push([position, base]);
    });
    return found;
  }

  // The codes of these mutations of one sequence, one after the other.
  function mutants(codes, places) {
    const out = new Uint8Array(places.length * codes.length);
    places.forEach(([position, base], row) => {
      out.set(codes, row * codes.length);
      out[row * codes.length + position] = base;
    });
    return out;
  }

  return { InputError, LETTERS, MOST_FILE_BYTES, MOST_SEQUENCES, read, decode, tableColumns, tsv, places, mutants, many };
})();
