"""The service keeps the promises of its own OpenAPI description, whatever it is asked."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from exported import complete_student
from hypothesis import HealthCheck, given, settings
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


@pytest.fixture(scope="module")
def api() -> Iterator[Any]:
    service = Service(complete_student(LENGTH), device="cpu", limits=Limits(sequences=50, seconds=30.0))
    service.worker.start()
    yield schemathesis.openapi.from_asgi("/openapi.json", make_app(service))
    assert service.worker.stop(10.0)


@pytest.mark.parametrize("path", ["/predict", "/variants", "/attribute", "/model", "/health", "/metrics"])
def test_whatever_is_asked_the_answer_is_as_described(api: Any, path: str) -> None:
    operation = next(found.ok() for found in api.get_all_operations() if found.ok().path == path)
    statuses = set()

    @settings(
        max_examples=12 if operation.method == "post" else 1,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        statuses.add(case.call_and_validate(checks=CHECKS).status_code)

    ask()
    assert statuses <= {200, 413, 415, 422}


def test_every_address_of_the_description_is_asked(api: Any) -> None:
    marks = test_whatever_is_asked_the_answer_is_as_described.pytestmark  # type: ignore[attr-defined]
    assert {found.ok().path for found in api.get_all_operations()} == set(marks[0].args[1])
