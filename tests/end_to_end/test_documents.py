"""Every page: links lead somewhere, commands parse, configurations are accepted, Python runs on tiny input."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from documents import (
    REPOSITORY,
    TINY_NETWORK,
    anchors,
    blocks,
    check_octodon,
    links,
    name_of,
    pages,
    shell_lines,
    write_files_of_the_pages,
)

import octodon
from octodon.calibration.methods import methods
from octodon.data._options import typed_options
from octodon.data._split_ways import way_of
from octodon.data.read import checked_options, reader_of
from octodon.experiment.config import ExperimentConfig, resolve
from octodon.models.backbones import backbones
from octodon.models.heads import heads

PAGES = {name_of(page): page.read_text() for page in pages()}
SNIPPET = re.compile(r'^--8<-- "(?P<path>[^":]+)(?::[\w-]+)?"$', re.M)
every_page = pytest.mark.parametrize("name", list(PAGES))
EXPERIMENT = '[data]\npath = "mpra.tsv.gz"\ntargets = { K562 = ["rep1", "rep2", "rep3"] }\n'


@cache
def anchors_of(page: Path) -> set[str]:
    return anchors(page.read_text())


@every_page
def test_links_lead_somewhere(name: str) -> None:
    page = REPOSITORY / name
    wrong = []
    for address in links(PAGES[name]):
        if re.match(r"https?://|mailto:", address):
            continue
        path, _, anchor = address.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            wrong.append(f"{address}: no such file")
        elif name.startswith("docs/") and not target.is_relative_to(REPOSITORY / "docs"):
            wrong.append(f"{address}: outside docs/, so it is broken on the site")
        elif anchor and target.suffix == ".md" and anchor not in anchors_of(target):
            wrong.append(f"{address}: no heading {anchor!r}; there are {sorted(anchors_of(target))}")
    wrong += [
        f"{path}: no such file" for path in SNIPPET.findall(PAGES[name]) if not (REPOSITORY / path).is_file()
    ]
    assert not wrong


def test_the_navigation_lists_every_page_and_no_other() -> None:
    text = (REPOSITORY / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = set(re.findall(r"[\w/]+\.(?:md|ipynb)\b", text))
    docs = REPOSITORY / "docs"
    there = {
        path.relative_to(docs).as_posix() for kind in ("md", "ipynb") for path in docs.rglob(f"*.{kind}")
    }
    assert listed == there


def test_the_api_page_lists_every_public_name() -> None:
    listed = re.findall(r"^::: octodon\.(\w+)$", PAGES["docs/api.md"], flags=re.M)
    assert sorted(listed) == sorted(octodon.__all__)


@every_page
def test_commands_parse(name: str) -> None:
    for words in shell_lines(PAGES[name]):
        try:
            check_command(words)
        except Exception as error:
            raise AssertionError(f"{' '.join(words)}: {error}") from error


def check_command(words: list[str]) -> None:
    """Raise unless the command exists and takes these arguments; nothing is run."""
    if re.match(r"\w+=\$\(", words[0]):  # VARIABLE=$(what a program says)
        return
    while re.fullmatch(r"\w+=\S*", words[0]):  # VARIABLE=value in front
        words = words[1:]
    program, *arguments = words
    if program == "octodon":
        cut = next((i for i, word in enumerate(arguments) if word in ("|", ">", "&&", "&", "2>&1")), None)
        check_octodon(arguments[:cut])
    elif program == "make":
        targets = [word for word in arguments if "=" not in word]
        makefile = (REPOSITORY / "Makefile").read_text()
        assert all(re.search(rf"^{target}:", makefile, flags=re.M) for target in targets)
    elif program == "pip":
        extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"][
            "optional-dependencies"
        ]
        named = [part for word in arguments for part in re.findall(r"\[([\w,]+)\]", word)]
        assert all(extra in extras for part in named for extra in part.split(","))
    elif program.startswith("python"):
        script = next((word for word in arguments if word.endswith(".py")), None)
        assert script is None or (REPOSITORY / script).is_file() or "/" not in script
    else:
        assert program in OTHER_PROGRAMS, "a program that the test does not know"


OTHER_PROGRAMS = {
    "cd",
    "curl",
    "export",
    "git",
    "gunzip",
    "head",
    "kubectl",
    "ls",
    "open",
    "ray",
    "sbatch",
    "source",
    "squeue",
    "srun",
    "wait",
}


@every_page
def test_configurations_are_accepted(name: str) -> None:
    """A block with [data] is a whole experiment; a piece without it is read beside a [data] section."""
    for block in blocks(PAGES[name], "toml"):
        content = tomllib.loads(block.code)
        if block.title.startswith(("pyproject", "with the")):
            continue
        data = {"data": tomllib.loads(EXPERIMENT)["data"]}
        content = content if "data" in content else data | content
        check_names(resolve(content, where=f"{name}, line {block.line}"))


def check_names(config: ExperimentConfig) -> None:
    """Raise unless every part that the configuration names is there and takes its options."""
    data = {key: value for key, value in config.data.items() if key != "format"}
    checked_options(reader_of(config.data), data, Path())
    split = dict(config.split)
    way = way_of(split.pop("by", "fraction"))
    split.pop("on_leak", None)
    typed_options(way, split, "split")
    assert ".py:" in config.model.backbone or config.model.backbone in backbones
    for head in (config.ensemble.head, config.distill.head):
        assert head == "auto" or head in heads
    assert config.calibrate.method == "none" or config.calibrate.method in methods


def test_the_table_of_differences_is_that_of_the_presets() -> None:
    published, ours = (
        _flat(resolve(tomllib.loads(EXPERIMENT) | {"preset": p}).model_dump()) for p in ("paper", "default")
    )
    differing = {key for key in published if published[key] != ours[key]} - {"preset"}
    rows = re.findall(r"^\| `([\w.]+)` \| (\S+) \| (\S+)", PAGES["docs/method.md"], flags=re.M)
    assert {key for key, _, _ in rows} == differing
    for key, theirs, default in rows:
        assert (theirs, default) == (str(published[key]).lower(), str(ours[key]).lower()), key


def _flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        value = "+".join(step["name"] for step in value) or "none" if key == "augment" else value
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
    return flat


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages speak of, and a calibrated student in run/student."""
    folder = tmp_path_factory.mktemp("pages")
    write_files_of_the_pages(folder, EXPERIMENT, rows=300)
    data = octodon.read_table(folder / "mpra.tsv.gz", targets={"K562": ["rep1", "rep2", "rep3"]})
    data = data.split(by="fraction", valid=0.1, test=0.1, seed=0)
    ensemble = octodon.train(data, members=2, **TINY)
    student = octodon.distill(ensemble, data, copies=1, processes=0, progress=False, training={"epochs": 1})
    assert isinstance(student, octodon.Student)
    unseen = octodon.read_table(folder / "unseen.tsv", targets={"K562": ["rep1", "rep2", "rep3"]})
    octodon.save(octodon.calibrate(student, unseen), folder / "run" / "student")
    octodon.save(ensemble, folder / "run" / "ensemble")
    return folder


TINY: dict[str, Any] = {
    "options": TINY_NETWORK,
    "training": {"epochs": 1},
    "processes": 0,
    "progress": False,
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """``octodon.train`` and the like with the least that works, whatever a page asks for."""
    train, distill, simulate = octodon.train, octodon.distill, octodon.simulate

    def tiny_train(
        data: Any, backbone: Any = "deepstarr", members: int = 10, seed: int = 0, **given: Any
    ) -> Any:
        if isinstance(backbone, str) and ".py:" not in backbone:
            given["options"] = TINY_NETWORK
        return train(
            data, backbone, min(members, 2), seed, **(given | {k: TINY[k] for k in TINY if k != "options"})
        )

    def tiny_distill(teachers: Any, data: Any, **given: Any) -> Any:
        least = {"copies": 1, "training": {"epochs": 1}, "processes": 0, "progress": False}
        if not isinstance(teachers, octodon.Ensemble):
            least["options"] = TINY_NETWORK
        return distill(teachers, data, **(given | least))

    def tiny_simulate(n: int, length: int, **given: Any) -> Any:
        return simulate(min(n, 400), min(length, 60), **given)

    monkeypatch.setitem(vars(octodon), "train", tiny_train)
    monkeypatch.setitem(vars(octodon), "distill", tiny_distill)
    monkeypatch.setitem(vars(octodon), "simulate", tiny_simulate)


WITH_PYTHON = [name for name in PAGES if name != "README.md" and blocks(PAGES[name], "python")]


@pytest.mark.parametrize("name", WITH_PYTHON)
@pytest.mark.usefixtures("small")
def test_python_runs(
    name: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks of a page are one program; one whose title is a file of the package, or marked no-run, is only compiled."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    student = octodon.load("run/student")
    data = octodon.read_table("mpra.tsv.gz", targets={"K562": ["rep1", "rep2", "rep3"]})
    data = data.split(by="fraction", valid=0.1, test=0.1, seed=0)
    names: dict[str, Any] = {"__name__": "page", "octodon": octodon, "student": student, "data": data}
    names["prediction"] = student.predict(data.subset("test").codes)
    for block in blocks(PAGES[name], "python"):
        code = compile("\n" * block.line + block.code, name, "exec")
        if block.title.startswith("src/") or "no-run" in block.info:
            refuse_unknown_names(block.code)
            continue
        if block.title:
            (tmp_path / block.title).write_text(block.code)
        exec(code, names)
    capsys.readouterr()


def refuse_unknown_names(code: str) -> None:
    for name in re.findall(r"\boctodon\.(\w+)", code):
        assert name in octodon.__all__ or importlib.util.find_spec(f"octodon.{name}"), name
