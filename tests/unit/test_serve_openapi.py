"""The service keeps the promises of its own OpenAPI description, whatever it is asked."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from exported import complete_student
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from octodon.serve.app import make_app
from octodon.serve.limits import Limits
from octodon.serve.service import Service

LENGTH = 62
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
GOOD = "ACGTTGCA" * 7 + "ACGTTG"
BODIES = {
    "/predict": {"sequences": [GOOD]},
    "/variants": {"sequence": GOOD, "mutations": ["A1C"]},
    "/attribute": {"sequences": [GOOD]},
}
PATHS = (*BODIES, "/model", "/health", "/metrics")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    made = Service(complete_student(LENGTH), device="cpu", limits=Limits(sequences=50, seconds=30.0))
    made.worker.start()
    yield made
    assert made.worker.stop(10.0)


@pytest.fixture(scope="module")
def api(service: Service) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", make_app(service))


def operation_of(api: Any, path: str) -> Any:
    return next(found.ok() for found in api.get_all_operations() if found.ok().path == path)


def statuses_of(cases: SearchStrategy[schemathesis.Case], examples: int, **options: Any) -> set[int]:
    """Return the statuses of so many cases, each of which was answered as the description says."""
    statuses = set()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: schemathesis.Case) -> None:
        statuses.add(case.call_and_validate(checks=CHECKS, **options).status_code)

    ask()
    return statuses


@pytest.mark.parametrize("path", PATHS)
def test_whatever_is_asked_the_answer_is_as_described(api: Any, path: str) -> None:
    examples = 12 if path in BODIES else 1
    assert statuses_of(operation_of(api, path).as_strategy(), examples) <= {200, 413, 415, 422}


@pytest.mark.parametrize("path", BODIES)
def test_what_the_description_rules_out_is_refused_as_described(api: Any, path: str) -> None:
    wrong = operation_of(api, path).as_strategy(GenerationMode.NEGATIVE)
    found = statuses_of(wrong, 20)
    assert 422 in found
    assert found <= {
        200,
        413,
        415,
        422,
    }  # 200: a parameter that is none after all, once it is part of an address


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_the_parameters_of_a_good_body_the_answer_is_as_described(
    api: Any, path: str, mode: GenerationMode
) -> None:
    given = {"body": BODIES[path], "media_type": "application/json"}
    if mode is GenerationMode.POSITIVE and path == "/attribute":
        given["query"] = {"target": "Dev", "method": "saliency"}  # no description could list them
    found = statuses_of(operation_of(api, path).as_strategy(mode, **given), 12)
    assert (200 if mode is GenerationMode.POSITIVE else 422) in found
    assert found <= {200, 422}


@pytest.mark.parametrize("path", PATHS)
def test_another_name_is_refused_as_described(service: Service, path: str) -> None:
    api = schemathesis.openapi.from_asgi("/openapi.json", make_app(service, hosts=frozenset({"testserver"})))
    cases = operation_of(api, path).as_strategy()
    assert statuses_of(cases, 1, headers={"Host": "evil.example"}) == {400}


def test_every_address_of_the_description_is_asked(api: Any) -> None:
    assert {found.ok().path for found in api.get_all_operations()} == set(PATHS)
