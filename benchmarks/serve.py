"""``octodon serve`` under load on loopback: requests a second, latencies, and memory over time.

python benchmarks/serve.py [--seconds 180] [--bundle run/student]

Client and service share the machine; the client is a few lines over plain sockets, since a comfortable one would cost as much
as the service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import machine
import numpy as np
from export import student_of

from octodon.artifact.bundle import save
from octodon.seq.codes import decode, random_codes

LENGTH = 249


@dataclass
class Measured:
    """What a number of connections saw."""

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def row(self, sequences: int) -> dict[str, float]:
        """Return rates and latencies, ``sequences`` being in each request."""
        times_ms = 1000 * np.array(self.latencies_s)
        rate = len(times_ms) / self.seconds
        return {
            "requests_per_s": rate,
            "sequences_per_s": rate * sequences,
            "p50_ms": float(np.quantile(times_ms, 0.5)),
            "p99_ms": float(np.quantile(times_ms, 0.99)),
            "refused": sum(n for status, n in self.statuses.items() if status != 200),
        }


def request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytes
) -> tuple[int, bytes]:
    writer.write(asked)
    head = await reader.readuntil(b"\r\n\r\n")
    size = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return int(head.split(b" ", 2)[1]), await reader.readexactly(size)


async def one_client(port: int, requests: list[bytes], until: float, measured: Measured) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    while time.perf_counter() < until:
        began = time.perf_counter()
        status, _ = await exchange(reader, writer, requests[number % len(requests)])
        measured.latencies_s.append(time.perf_counter() - began)
        measured.statuses[status] = measured.statuses.get(status, 0) + 1
        number += 1
    writer.close()


async def load(port: int, connections: int, requests: list[bytes], seconds: float) -> Measured:
    measured = Measured()
    began = time.perf_counter()
    await asyncio.gather(*(one_client(port, requests, began + seconds, measured) for _ in range(connections)))
    measured.seconds = time.perf_counter() - began
    return measured


async def gauges(port: int) -> dict[str, float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    _, body = await exchange(reader, writer, b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    writer.close()
    lines = [line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


async def watch(port: int, seconds: float, every_s: float) -> list[tuple[float, float]]:
    """Return resident memory (MiB) by the seconds since the start."""
    began, seen = time.perf_counter(), []
    while (passed := time.perf_counter() - began) < seconds:
        size_mib = (await gauges(port))["process_resident_memory_bytes"] / 2**20
        seen.append((round(passed, 1), round(size_mib, 1)))
        await asyncio.sleep(every_s)
    return seen


def fasta(codes: np.ndarray) -> bytes:
    return "".join(f">s{i}\n{text}\n" for i, text in enumerate(decode(codes))).encode()


async def measure(port: int, length: int, seconds: float, short: float) -> dict:
    rng = np.random.default_rng(0)
    path = "/predict"
    single = [request(path, fasta(random_codes((1, length), rng))) for _ in range(64)]
    hundred = [request(path, fasta(random_codes((100, length), rng))) for _ in range(8)]
    variants = [request("/predict?format=tsv", fasta(random_codes((10, length), rng))) for _ in range(32)]
    await load(port, 2, single, 1)  # warm
    rows = {}
    for name, connections, asked, sequences in (
        ("1 connection, 1 sequence", 1, single, 1),
        ("16 connections, 1 sequence", 16, single, 1),
        ("4 connections, 100 sequences", 4, hundred, 100),
    ):
        before = await gauges(port)
        rows[name] = (await load(port, connections, asked, short)).row(sequences)
        after = await gauges(port)
        done = {key: value - before.get(key, 0.0) for key, value in after.items()}
        rows[name]["sequences_per_batch"] = done["octodon_sequences_total"] / done["octodon_batches_total"]
        requests = done['octodon_requests_total{path="/predict",status="200"}']
        rows[name]["cpu_ms"] = 1000 * done["process_cpu_seconds_total"] / requests
        print(name, {key: round(value, 1) for key, value in rows[name].items()}, flush=True)
    mixed = [*single[:6], *variants[:3], hundred[0]]
    measured, memory = await asyncio.gather(
        load(port, 8, mixed, seconds), watch(port, seconds, max(1.0, seconds / 60))
    )
    soak = measured.row(0) | {"seconds": measured.seconds, "requests": len(measured.latencies_s)}
    return {"rows": rows, "soak": soak, "memory_mib": memory}


def table(found: dict, note: str) -> str:
    lines = [
        "# octodon serve under load",
        "",
        f"{machine.describe()}. `python benchmarks/serve.py`; client and service share the machine. {note}",
        "",
        "<!-- --8<-- [start:tables] -->",
        "",
        "| requests | requests/s | sequences/s | p50 (ms) | p99 (ms) | processor time of a request (ms) | sequences in a batch | refused |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['requests_per_s']:,.0f} | {row['sequences_per_s']:,.0f} | {row['p50_ms']:.1f} | "
        f"{row['p99_ms']:.1f} | {row['cpu_ms']:.1f} | {row['sequences_per_batch']:.1f} | {row['refused']:.0f} |"
        for name, row in found["rows"].items()
    ]
    soak, memory = found["soak"], found["memory_mib"]
    chosen = [memory[round(at)] for at in np.linspace(0, len(memory) - 1, min(9, len(memory)))]
    lines += [
        "",
        f"{soak['seconds']:.0f} seconds of mixed requests (1, 10 and 100 sequences; 8 connections): {soak['requests']:,} requests, "
        f"p50 {soak['p50_ms']:.1f} ms, p99 {soak['p99_ms']:.1f} ms, {soak['refused']:.0f} refused. Memory of the service:",
        "",
        "| second | " + " | ".join(f"{at:.0f}" for at, _ in chosen) + " |",
        "|---|" + "---|" * len(chosen),
        "| MiB | " + " | ".join(f"{size:.0f}" for _, size in chosen) + " |",
        "",
        "<!-- --8<-- [end:tables] -->",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=180, help="of mixed requests, in which memory is watched"
    )
    parser.add_argument("--short", type=float, default=10, help="seconds of each kind of request")
    parser.add_argument("--bundle", type=Path, help="default: an untrained DeepSTARR student of 249 bp")
    parser.add_argument("--note", default="", help="what else is to be known of the measurement")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "serve")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = given.bundle or save(student_of("deepstarr", LENGTH), Path(folder) / "student")
        command = [sys.executable, "-m", "octodon.cli.main", "serve", str(bundle), "--port", "0"]
        process = subprocess.Popen([*command, "--device", "cpu"], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            port = int(process.stderr.readline().split("127.0.0.1:")[1].split("/")[0])
            length = json.loads((bundle / "config.json").read_text())["length"]
            found = asyncio.run(measure(port, length, given.seconds, given.short))
        finally:
            process.terminate()
            print(process.stderr.read(), process.wait())
    given.out.with_suffix(".json").write_text(json.dumps(found) + "\n")
    given.out.with_suffix(".md").write_text(table(found, given.note))
    print(table(found, given.note))


if __name__ == "__main__":
    main()
