"""The tables of ``engine.py`` as Markdown, from whatever sections are known."""

from __future__ import annotations

import statistics
from typing import Any

from octodon.metrics.summary import markdown_table

Row = dict[str, Any]
GOALS = (
    ("ensemble training", "as octodon chooses (auto), 10 members", "training", 2.5),
    ("student prediction, uncertainty included", "student, as octodon answers", "student", 3.5),
    ("prediction by 10 members", "10 members, as octodon answers", "ensemble", 3.0),
)
GOAL_MIB = 1.2 * 1000**3 / 2**20
"""1.2 GB."""


def report(found: dict[str, Any]) -> str:
    """Return the whole result file."""
    known = Known(found)
    lines = [
        "# Engine: training and prediction on a CPU\n",
        "<!-- --8<-- [start:tables] -->\n",
        f"{found.get('machine', '')}. `python benchmarks/engine.py`: DeepSTARR, two targets, 249 bp, batch 128, simulated "
        "sequences; each cell in a fresh process, after a warm-up. Memory: peak of the process tree, shared pages counted once.\n",
        *_titled("Goals", _goals(known)),
        *_titled("Training", _rates(known, "training", "training", train=True), _ceiling_line(known)),
        *_titled("Prediction", _rates(known, "prediction", "student", train=False), _ERROR_LINE),
        *_titled("Members as one computation, and compiled", _stacked(known), _STACK_LINE),
        *_titled("More members", _growth(known, "members", "train", "members"), _MEMBERS_LINE),
        *_titled("More sequences", _growth(known, "sequences", "train", "rows")),
        *_titled("Longer sequences", _lengths(known)),
        *_titled("Memory of a run on a table of DeepSTARR's size", _memory(known)),
        *_titled("float32 and bfloat16 on measured data", _accuracy(known), _ACCURACY_LINE),
        *_titled("When", _when(found)),
        "<!-- --8<-- [end:tables] -->\n",
    ]
    return "\n".join(lines)


_ERROR_LINE = (
    "Error: standard deviation of the difference to the network in float64, in percent of the predictions' own. A ratio to the "
    "ceiling counts the operations of the network as published; a look-up table needs fewer. Prediction stays float32 in octodon."
)
_STACK_LINE = "On a CPU octodon stacks nothing and compiles nothing: these are here because they lose."
_MEMBERS_LINE = (
    "Training: member-sequences/s, networks built and begun included; one member keeps one core busy. Prediction: sequences/s "
    "times members, the members' look-up tables made within the time."
)
_ACCURACY_LINE = (
    "Promoter set (Mattioli et al. 2020, 144 bp), test Pearson; the same seeds, rows and data order in both precisions. ± is the sample "
    "standard deviation over members."
)


def _titled(title: str, cells: list[list[str]], line: str = "") -> list[str]:
    if len(cells) < 2:
        return []
    return [f"## {title}\n", *([f"{line}\n"] if line else []), markdown_table(cells)]


class Known:
    """Rows by section and name; rates of Keras and the ceilings, where they were measured."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.sections: dict[str, list[Row]] = {
            name: section["rows"] for name, section in found["sections"].items()
        }

    def rows(self, section: str) -> list[Row]:
        """Return the rows of a section; none where it was not run."""
        return self.sections.get(section, [])

    def rate(self, section: str, name: str) -> float | None:
        """Return the sequences/s of a row."""
        row = next((row for row in self.rows(section) if row["name"] == name), {})
        return row.get("sequences_per_s")

    def keras(self, what: str, length: int = 249) -> float | None:
        """Return the best rate of Keras, over its batch sizes."""
        rates = [
            row["sequences_per_s"]
            for row in self.rows("keras")
            if row["name"] == f"{what} {length} bp" and "sequences_per_s" in row
        ]
        return max(rates) if rates else None

    def ceiling(self, precision: str, *, train: bool, length: int = 249) -> float | None:
        """Return the sequences/s that matrix products alone would allow."""
        gflops = next((row.get("gflops") for row in self.rows("ceiling")), None)
        return None if gflops is None else gflops[precision] * 1e9 / operations(length, train=train)


def operations(length: int, *, train: bool) -> float:
    """Return the floating-point operations of the products in DeepSTARR, per sequence.

    Training is three products a layer (output, gradient of weights, gradient of inputs), the first layer two.
    """
    layers, first = 0.0, 0.0
    for inputs, outputs, size in ((4, 256, 7), (256, 60, 3), (60, 60, 5), (60, 120, 3)):
        layers += 2.0 * length * inputs * outputs * size
        first = first or layers
        length //= 2
    layers += 2.0 * (length * 120 * 256 + 256 * 256)
    return 3 * layers - first if train else layers


def _goals(known: Known) -> list[list[str]]:
    cells = [["", "octodon, sequences/s", "Keras, sequences/s", "ratio", "goal", ""]]
    for title, name, what, goal in GOALS:
        section = "training" if what == "training" else "prediction"
        ours, theirs = known.rate(section, name), known.keras(what)
        if ours is not None and theirs is not None:
            reached = "reached" if ours >= goal * theirs else "missed"
            cells.append(
                [title, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.2f}", f"{goal:.1f}", reached]
            )
    for row in known.rows("memory"):
        if "reading_mib" in row:
            peak = max(row["peak_mib"], row["reading_mib"])
            reached = "reached" if peak <= GOAL_MIB else "missed"
            cells.append(
                [
                    "peak memory, 402,296 training rows, MiB",
                    f"{peak:,.0f}",
                    "",
                    "",
                    f"{GOAL_MIB:,.0f}",
                    reached,
                ]
            )
    return cells


def _ceiling_line(known: Known) -> str:
    row = next((row for row in known.rows("ceiling") if "gflops" in row), None)
    if row is None:
        return ""
    said = ", ".join(f"{name} {value:,.0f}" for name, value in row["gflops"].items())
    return (
        f"Ceiling: matrix products on every core reach {said} GFLOP/s. One sequence takes {operations(249, train=True) / 1e6:.1f} "
        f"million operations in training, {operations(249, train=False) / 1e6:.1f} in prediction."
    )


def _rates(known: Known, section: str, what: str, *, train: bool) -> list[list[str]]:
    with_error = not train
    header = ["way", "sequences/s", "x Keras", "of float32 ceiling", "of bfloat16 ceiling", "peak MiB"]
    cells = [[*header, "error, %"] if with_error else header]
    batches = {row["spec"]["batch"] for row in known.rows("keras") if row["name"] == f"{what} 249 bp"}
    for row in known.rows("keras"):
        if row["name"] == f"{what} 249 bp":
            batch = f", batch {row['spec']['batch']}" if len(batches) > 1 else ""
            said = row | {"name": f"{row.get('versions', 'Keras')}, every thread{batch}"}
            cells.append(_rate_cells(known, said, what, train=train))
    for row in known.rows(section):
        whose = "ensemble" if row["spec"].get("what") == "ensemble" else what
        cells.append(_rate_cells(known, row, whose, train=train))
        if row["spec"].get("what") == "student":
            others = [one for one in known.rows("keras") if one["name"].startswith("ensemble")]
            for one in others:
                said = one | {"name": f"Keras, 10 members, batch {one['spec']['batch']}"}
                cells.append(_rate_cells(known, said, "ensemble", train=train))
    return cells


def _rate_cells(known: Known, row: Row, what: str, *, train: bool) -> list[str]:
    width = 6 if train else 7
    if "sequences_per_s" not in row:
        return [row["name"], f"failed: {row.get('failed', '')}", *[""] * (width - 2)]
    rate, keras = row["sequences_per_s"], known.keras(what)
    networks = row["spec"].get("members", 1) if what == "ensemble" else 1
    shares = []
    for precision in ("float32", "bfloat16"):
        ceiling = known.ceiling(precision, train=train)
        shares.append("" if ceiling is None else f"{100 * rate * networks / ceiling:.0f} %")
    error = [] if train else [f"{100 * row['error']:.2g}" if "error" in row else ""]
    return [
        row["name"],
        f"{rate:,.0f}",
        "" if keras is None else f"{rate / keras:.2f}",
        *shares,
        f"{row['peak_mib']:,.0f}",
        *error,
    ]


def _stacked(known: Known) -> list[list[str]]:
    cells = [["way", "sequences/s", "x Keras", "peak MiB"]]
    keras = {"train": known.keras("training"), "predict": known.keras("student")}

    def line(name: str, rate: float, what: str, peak: float) -> None:
        theirs = keras[what]
        cells.append([name, f"{rate:,.0f}", "" if theirs is None else f"{rate / theirs:.2f}", f"{peak:,.0f}"])

    for row in known.rows("stacked"):
        for name, rate in sorted(row.get("by_strategy", {}).items(), key=lambda item: -item[1]):
            line(f"training, {row['name']}: {name}", rate, "train", row["peak_mib"])
        if "failed" in row:
            cells.append([row["name"], f"failed: {row['failed']}", "", ""])
    for row in known.rows("compiled"):
        if "sequences_per_s" in row:
            line(row["name"], row["sequences_per_s"], row["spec"]["what"], row["peak_mib"])
        else:
            cells.append([row["name"], f"failed: {row.get('failed', '')}", "", ""])
    return cells


def _growth(known: Known, section: str, first: str, word: str) -> list[list[str]]:
    """Return training beside prediction, a row for every size."""
    rows = {row["name"]: row for row in known.rows(section)}
    sizes = [name.split()[1] for name in rows if name.startswith(first)]
    title = "members" if word == "members" else "sequences"
    cells = [[title, "training, sequences/s", "peak MiB", "prediction, sequences/s", "peak MiB"]]
    for size in sizes:
        line = [f"{int(size):,}"]
        for what in (first, "predict"):
            row = rows.get(f"{what} {size}", {})
            rate = row.get("sequences_per_s")
            if rate is not None and word == "members" and what == "predict":
                rate *= int(size)
            line += ["" if rate is None else f"{rate:,.0f}", f"{row.get('peak_mib', 0):,.0f}"]
        cells.append(line)
    return cells


def _lengths(known: Known) -> list[list[str]]:
    cells = [["bp", "training, sequences/s", "Keras", "ratio", "prediction, sequences/s", "Keras", "ratio"]]
    rows = {row["name"]: row for row in known.rows("length")}
    for name in [name for name in rows if name.startswith("train")]:
        length = int(name.split()[1])
        line = [f"{length:,}"]
        for ours, theirs in (("train", "training"), ("predict", "student")):
            rate = rows.get(f"{ours} {length}", {}).get("sequences_per_s")
            keras = known.keras(theirs, length)
            ratio = rate / keras if rate is not None and keras is not None else None
            line += [
                *("" if value is None else f"{value:,.0f}" for value in (rate, keras)),
                "" if ratio is None else f"{ratio:.2f}",
            ]
        cells.append(line)
    return cells


def _memory(known: Known) -> list[list[str]]:
    cells = [["octodon run, two worker processes", "peak MiB, all processes", "seconds"]]
    for row in known.rows("memory"):
        if "failed" in row:
            return [*cells, [f"failed: {row['failed']}", "", ""]]
        cells.append(
            [
                "until training begins (read, split, checked, shared)",
                f"{row['reading_mib']:,.0f}",
                f"{row['reading_s']:.0f}",
            ]
        )
        cells.append(["training two members", f"{row['peak_mib']:,.0f}", ""])
    return cells


def _accuracy(known: Known) -> list[list[str]]:
    cells = [["target", "precision", "individuals", "each", "ensemble", "epochs"]]
    for row in sorted(known.rows("accuracy"), key=lambda row: row["target"]):
        each = row["individuals"]
        spread = f" ± {statistics.stdev(each):.3f}" if len(each) > 1 else ""
        cells.append(
            [
                row["target"],
                row["precision"],
                f"{statistics.fmean(each):.3f}{spread}",
                " ".join(f"{value:.3f}" for value in each),
                f"{row['ensemble']:.3f}",
                " ".join(map(str, row["epochs"])),
            ]
        )
    return cells


def _when(found: dict[str, Any]) -> list[list[str]]:
    cells = [["section", "when", "load before", "seconds"]]
    for name, section in found["sections"].items():
        cells.append([name, section["when"], f"{section['load_before']:.1f}", f"{section['seconds']:.0f}"])
    return cells
