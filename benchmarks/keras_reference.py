"""DEGU the way the published reference implementation does it, in Keras and TensorFlow, timed and scored.

octodon is compared with this script on the same table, split and settings. It is written anew from the
description of the method: M DeepSTARR networks one after the other with every thread, population standard
deviation over members, one student with twice the outputs.

TensorFlow lives in an environment of its own, never in the one of octodon::

    python3 -m venv .venv-keras
    .venv-keras/bin/pip install tensorflow pandas psutil      # tensorflow-cpu is smaller and enough
    .venv-keras/bin/python benchmarks/keras_reference.py --data TABLE.tsv.gz --sequence sequence \
        --split split --targets HUES64=log2_HUES64_rep1,log2_HUES64_rep2,log2_HUES64_rep3 \
        --members 10 --epochs 100 --out run.json

A target is the mean of the columns behind its name. Rows whose split is train, valid (or val) and test are
used, the others counted. Equal seeds give equal starts and data order. Adam 1e-3, batch 128, MSE, at most 100
epochs, early stopping with patience 10 and the best weights restored, learning rate x0.1 (members) or x0.2
(student) after 5 epochs without gain. The student validates on measured activity and ensemble std.

``--shared-initialisation`` repeats a flaw of the released class: one network is built and, before each
member, the stored unseeded initialisers are called again. They return equal tensors each time, so all members
start from the same kernels; BatchNorm (scale, shift, running statistics) is never reset and passes to the
next member.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SPLIT_NAMES = {"train": ("train",), "valid": ("valid", "val"), "test": ("test",)}
Ensemble = dict[str, np.ndarray]  # predictions (m, n, t) per split
STUDENT_SEED_OFFSET = 100_000  # far from seed + member, so the student shares no stream with a member


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """One split: one-hot sequences (n, l, 4) float32 and activities (n, t) float32."""

    x: np.ndarray
    y: np.ndarray


@dataclass(kw_only=True)
class Fit:
    """What one training run cost."""

    seconds: float  # compile to restored best weights, validation passes included
    cpu_seconds: float  # user + system, all threads; less than seconds x cores on a machine in use
    epochs: int
    train_sequences_per_s: float  # gradient steps only, median over epochs but the first, which traces
    best_valid_loss: float
    label_seconds: float = 0.0  # predicting all splits afterwards
    test_pearson: dict[str, float] = field(default_factory=dict)


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter, allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True, help="table, .tsv or .csv, may be .gz")
    parser.add_argument("--sequence", required=True, help="column with the sequences, all of one length")
    parser.add_argument("--targets", required=True, nargs="+", metavar="NAME=COL[,COL...]")
    parser.add_argument("--split", required=True, help="column with train, valid (or val) and test")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--max-members", type=int, help="stop after so many; the total is then projected")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--predict-batch-size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0, help="member k uses seed + k")
    parser.add_argument("--threads", type=int, default=0, help="threads per operation, 0 = every core")
    parser.add_argument("--shared-initialisation", action="store_true", help="repeat the released flaw")
    parser.add_argument(
        "--keep", type=Path, help="folder for finished members; the same command goes on there"
    )
    arguments = parser.parse_args(argv)
    if arguments.max_members is None:
        arguments.max_members = arguments.members
    if min(arguments.members, arguments.max_members) < 2:
        parser.error("--members and --max-members must be at least 2: one member has no spread")
    if arguments.keep is not None and arguments.shared_initialisation:
        parser.error(
            "--keep: members of a shared initialisation follow from one another and cannot be kept apart"
        )
    return arguments


def parse_targets(texts: list[str]) -> dict[str, list[str]]:
    targets = {}
    for text in texts:
        name, separator, columns = text.partition("=")
        if not (name and separator and columns) or name in targets:
            sys.exit(f"--targets: expected NAME=col1,col2 with each NAME once, got {text!r}")
        targets[name] = columns.split(",")
    return targets


def one_hot(sequences: list[str]) -> np.ndarray:
    """Code sequences of one length as (n, l, 4) float32 in the order A C G T; N is zeros, case is ignored."""
    lengths = {len(sequence) for sequence in sequences}
    if len(lengths) != 1:
        sys.exit(f"sequences must have one length, got {sorted(lengths)[:5]}")
    rows = np.zeros((256, 4), dtype=np.float32)
    known = np.zeros(256, dtype=bool)
    known[[ord(base) for base in "ACGTNacgtn"]] = True
    for channel, base in enumerate("ACGT"):
        rows[[ord(base), ord(base.lower())], channel] = 1.0
    codes = np.frombuffer("".join(sequences).encode("ascii"), dtype=np.uint8).reshape(len(sequences), -1)
    if not known[codes].all():
        sys.exit(f"sequences must hold A C G T N only, got {chr(codes[~known[codes]][0])!r}")
    return rows[codes]


def load_parts(arguments: argparse.Namespace, targets: dict[str, list[str]]) -> tuple[dict[str, Part], int]:
    """Read the table; return train, valid and test, and the number of rows that belong to none of them."""
    import pandas as pd

    table = pd.read_csv(arguments.data, sep="," if ".csv" in arguments.data.suffixes else "\t")
    wanted = [arguments.sequence, arguments.split, *(c for columns in targets.values() for c in columns)]
    missing = [column for column in wanted if column not in table]
    if missing:
        sys.exit(f"{arguments.data}: no column {missing}; it has {list(table.columns)}")
    parts = {}
    for part_name, aliases in SPLIT_NAMES.items():
        rows = table.loc[table[arguments.split].isin(aliases)]
        if rows.empty or rows[wanted].isna().to_numpy().any():
            sys.exit(f"{arguments.data}: split {part_name}: {len(rows)} rows, none or some incomplete")
        activities = [rows[columns].to_numpy(np.float64).mean(axis=1) for columns in targets.values()]
        y = np.stack(activities, axis=1).astype(np.float32)
        parts[part_name] = Part(x=one_hot(rows[arguments.sequence].tolist()), y=y)
    return parts, len(table) - sum(len(part.x) for part in parts.values())


def build_network(length_bp: int, outputs: int) -> Any:
    """DeepSTARR: four convolutions, two hidden dense layers, one linear layer; Keras's own initialisers."""
    from keras import Model, layers

    inputs = layers.Input((length_bp, 4))
    hidden = inputs
    for filters, width in ((256, 7), (60, 3), (60, 5), (120, 3)):
        hidden = layers.Conv1D(filters, width, padding="same")(hidden)
        hidden = layers.BatchNormalization()(hidden)
        hidden = layers.ReLU()(hidden)
        hidden = layers.MaxPooling1D(2)(hidden)
    hidden = layers.Flatten()(hidden)
    for _ in range(2):
        hidden = layers.Dense(256)(hidden)
        hidden = layers.BatchNormalization()(hidden)
        hidden = layers.ReLU()(hidden)
        hidden = layers.Dropout(0.4)(hidden)
    return Model(inputs, layers.Dense(outputs)(hidden))


def reset_kernels_only(network: Any) -> None:
    """Call each layer's stored initialisers again, as the released class does; BatchNorm is left as it is."""
    for layer in network.layers:
        if hasattr(layer, "kernel_initializer"):
            layer.kernel.assign(layer.kernel_initializer(layer.kernel.shape))
            layer.bias.assign(layer.bias_initializer(layer.bias.shape))


def make_epoch_timer() -> tuple[Any, list[float]]:
    """Make a callback and the list it fills: seconds of each epoch's gradient steps, without validation."""
    from keras.callbacks import LambdaCallback

    starts: list[float] = []
    seconds: list[float] = []
    callback = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: starts.append(time.perf_counter()),
        on_test_begin=lambda logs: seconds.append(time.perf_counter() - starts[-1]),  # validation begins
    )
    return callback, seconds


def fit(network: Any, train: Part, valid: Part, arguments: argparse.Namespace, *, decay: float) -> Fit:
    """Train in place with a fresh optimiser and return the cost."""
    import keras

    timer, epoch_seconds = make_epoch_timer()
    callbacks = [
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=10, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=decay, patience=5, min_lr=1e-7),
        timer,
    ]
    start, cpu_start = time.perf_counter(), time.process_time()
    network.compile(optimizer=keras.optimizers.Adam(learning_rate=1e-3), loss="mse")
    settings = {"epochs": arguments.epochs, "batch_size": arguments.batch_size, "callbacks": callbacks}
    history = network.fit(train.x, train.y, validation_data=(valid.x, valid.y), verbose=0, **settings)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return Fit(
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        epochs=len(history.history["loss"]),
        train_sequences_per_s=len(train.x) / statistics.median(epoch_seconds[1:] or epoch_seconds),
        best_valid_loss=float(min(history.history["val_loss"])),
    )


def pearson(predicted: np.ndarray, expected: np.ndarray, names: list[str]) -> dict[str, float]:
    """Pearson correlation per column of two (n, t) arrays, in double precision."""
    a, b = predicted.astype(np.float64), expected.astype(np.float64)
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    values = (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def train_ensemble(
    parts: dict[str, Part], names: list[str], arguments: argparse.Namespace
) -> tuple[Ensemble, list[Fit]]:
    """Train the members one after the other; return predictions (m, n, t) per split and the cost of each."""
    import keras

    predictions: dict[str, list] = {part_name: [] for part_name in parts}
    fits = []
    predicting = {"batch_size": arguments.predict_batch_size, "verbose": 0}
    network = None
    members = min(arguments.members, arguments.max_members)
    for member in range(members):
        kept = None if arguments.keep is None else arguments.keep / f"member_{member:03d}.npz"
        if kept is not None and kept.is_file():
            cost, found = load_member(kept)
            for part_name in parts:
                predictions[part_name].append(found[part_name])
            fits.append(cost)
            continue
        if network is None or not arguments.shared_initialisation:
            keras.backend.clear_session()  # or the graphs of earlier members stay in memory
            keras.utils.set_random_seed(arguments.seed + member)
            network = build_network(parts["train"].x.shape[1], len(names))
        else:
            reset_kernels_only(network)
        cost = fit(network, parts["train"], parts["valid"], arguments, decay=0.1)
        start = time.perf_counter()
        for part_name, part in parts.items():
            predictions[part_name].append(network.predict(part.x, **predicting))
        cost.label_seconds = time.perf_counter() - start
        cost.test_pearson = pearson(predictions["test"][-1], parts["test"].y, names)
        fits.append(cost)
        if kept is not None:
            save_member(kept, cost, {part_name: arrays[-1] for part_name, arrays in predictions.items()})
        print_progress(f"member {member + 1}/{members}", cost)
    return {part_name: np.stack(arrays) for part_name, arrays in predictions.items()}, fits


def save_member(path: Path, cost: Fit, predictions: Ensemble) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    np.savez(partial, cost=np.array(json.dumps(asdict(cost))), **predictions)
    partial.rename(path)


def load_member(path: Path) -> tuple[Fit, Ensemble]:
    with np.load(path) as file:
        return Fit(**json.loads(str(file["cost"]))), {name: file[name] for name in SPLIT_NAMES}


def train_student(
    parts: dict[str, Part], ensemble: Ensemble, names: list[str], arguments: argparse.Namespace
) -> tuple[np.ndarray, Fit, float]:
    """Distil; return test predictions (n, 2t) as [means, stds], the cost, and sequences/s in prediction."""
    import keras

    std = {part_name: members.std(axis=0, ddof=0) for part_name, members in ensemble.items()}
    train_y = np.concatenate([ensemble["train"].mean(axis=0), std["train"]], axis=1)
    valid_y = np.concatenate([parts["valid"].y, std["valid"]], axis=1)
    keras.backend.clear_session()
    keras.utils.set_random_seed(arguments.seed + STUDENT_SEED_OFFSET)
    train, valid = Part(x=parts["train"].x, y=train_y), Part(x=parts["valid"].x, y=valid_y)
    student = build_network(train.x.shape[1], 2 * len(names))
    cost = fit(student, train, valid, arguments, decay=0.2)
    test_x, predicting = parts["test"].x, {"batch_size": arguments.predict_batch_size, "verbose": 0}
    predicted = student.predict(test_x, **predicting)  # traces the graph, so it is not timed
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        student.predict(test_x, **predicting)
        seconds.append(time.perf_counter() - start)
    cost.test_pearson = pearson(predicted[:, : len(names)], parts["test"].y, names)
    print_progress("student", cost)
    return predicted, cost, len(test_x) / statistics.median(seconds)


def print_progress(label: str, cost: Fit) -> None:
    scores = " ".join(f"{name} {value:.4f}" for name, value in cost.test_pearson.items())
    print(
        f"{label}: {cost.seconds:.1f} s ({cost.cpu_seconds:.1f} s CPU), {cost.epochs} epochs, "
        f"{cost.train_sequences_per_s:.0f} seq/s, valid loss {cost.best_valid_loss:.4f}, test r {scores}",
        flush=True,
    )


def score(
    truth: np.ndarray, members: np.ndarray, student: np.ndarray, names: list[str]
) -> dict[str, dict[str, float]]:
    """Test scores per target; spreads over members name their estimator."""
    std = members.std(axis=0, ddof=0)
    of_members = [pearson(member, truth, names) for member in members]
    of_ensemble = pearson(members.mean(axis=0), truth, names)
    of_student = pearson(student[:, : len(names)], truth, names)
    epistemic = pearson(student[:, len(names) :], std, names)
    scores = {}
    for column, name in enumerate(names):
        individual = [of_member[name] for of_member in of_members]
        between = np.corrcoef(members[:, :, column].astype(np.float64))
        scores[name] = {
            "individual_pearson_mean": statistics.fmean(individual),
            "individual_pearson_sd_ddof1": statistics.stdev(individual),
            "ensemble_pearson": of_ensemble[name],
            "student_pearson": of_student[name],
            "epistemic_pearson": epistemic[name],
            "ensemble_std_ddof0_mean": float(std[:, column].mean()),
            "members_pairwise_pearson_mean": float(between[np.triu_indices(len(members), k=1)].mean()),
        }
    return scores


def summarise_time(fits: list[Fit], student: Fit, predict_rate: float, arguments: argparse.Namespace) -> dict:
    training = [cost.seconds for cost in fits]
    labels = [cost.label_seconds for cost in fits]
    per_member = statistics.fmean(training) + statistics.fmean(labels)
    return {
        "member_seconds_mean": statistics.fmean(training),
        "ensemble_seconds": sum(training),
        "ensemble_label_seconds": sum(labels),
        "student_seconds": student.seconds,
        "training_cpu_seconds": sum(one.cpu_seconds for one in (*fits, student)),
        "total_seconds": sum(training) + sum(labels) + student.seconds,
        "projected_total_seconds_all_members": per_member * arguments.members + student.seconds,
        "member_epochs": [cost.epochs for cost in fits],
        "student_epochs": student.epochs,
        "train_sequences_per_s": statistics.median(cost.train_sequences_per_s for cost in fits),
        "predict_sequences_per_s": predict_rate,
    }


def describe_machine(load_at_start: tuple[float, ...]) -> dict[str, Any]:
    import keras
    import psutil
    import tensorflow as tf

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": psutil.virtual_memory().total / 2**30,
        "load_average_at_start": load_at_start,
        "load_average_at_end": os.getloadavg(),
        "devices": [device.device_type for device in tf.config.list_physical_devices()],
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__},
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def peak_rss_mib() -> float:
    """Return the largest resident set of this process; the kernel counts KiB on Linux and bytes on macOS."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def print_table(scores: dict[str, dict[str, float]], cost: dict[str, Any], rss_mib: float) -> None:
    print(f"\n{'target':<12}{'individual (sd)':>20}{'ensemble':>10}{'student':>10}{'epistemic':>11}")
    for name, row in scores.items():
        individual = f"{row['individual_pearson_mean']:.4f} ({row['individual_pearson_sd_ddof1']:.4f})"
        print(
            f"{name:<12}{individual:>20}{row['ensemble_pearson']:>10.4f}{row['student_pearson']:>10.4f}"
            f"{row['epistemic_pearson']:>11.4f}"
        )
    print(
        f"total {cost['total_seconds']:.0f} s: {cost['member_seconds_mean']:.1f} s a member, student "
        f"{cost['student_seconds']:.1f} s, labels {cost['ensemble_label_seconds']:.1f} s; training "
        f"{cost['train_sequences_per_s']:.0f} seq/s, prediction {cost['predict_sequences_per_s']:.0f} seq/s; "
        f"peak RSS {rss_mib:.0f} MiB"
    )


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    targets = parse_targets(arguments.targets)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # or TensorFlow's notices bury the progress lines
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    load_at_start = os.getloadavg()
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # a new network per member is meant to trace a new graph
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    names = list(targets)
    parts, unused = load_parts(arguments, targets)
    sizes = {part_name: len(part.x) for part_name, part in parts.items()}
    length_bp = parts["train"].x.shape[1]
    print(f"{arguments.data.name}: {sizes}, {unused} rows unused, {length_bp} bp, {names}", flush=True)

    ensemble, fits = train_ensemble(parts, names, arguments)
    student, student_cost, predict_rate = train_student(parts, ensemble, names, arguments)
    scores = score(parts["test"].y, ensemble["test"], student, names)
    cost = summarise_time(fits, student_cost, predict_rate, arguments)
    settings = vars(arguments) | {"data": arguments.data.name, "out": arguments.out.name, "targets": targets}
    settings["keep"] = arguments.keep is not None
    result = {
        "implementation": "keras reference",
        "date_utc": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "settings": settings,
        "rows": sizes | {"in_no_split": unused},
        "length_bp": length_bp,
        "test": scores,
        "cost": cost | {"peak_rss_mib": peak_rss_mib()},
        "members": [asdict(member_cost) for member_cost in fits],
        "student": asdict(student_cost),
        "machine": describe_machine(load_at_start),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print_table(scores, cost, peak_rss_mib())


if __name__ == "__main__":
    main()
