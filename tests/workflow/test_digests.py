"""What makes a report another report."""

from __future__ import annotations

import pytest

from config.settings import ReportSettings
from node.workflow.digests import computation_digest, identity_of

BASE = ("request", "sha256:bundle", ReportSettings())


def test_the_same_inputs_have_the_same_identity() -> None:
    assert computation_digest(*BASE) == computation_digest("request", "sha256:bundle", ReportSettings())
    assert identity_of("c", None) == identity_of("c", None)


@pytest.mark.parametrize(
    "changed",
    [
        ("another request", "sha256:bundle", ReportSettings()),
        ("request", "sha256:another", ReportSettings()),
        ("request", "sha256:bundle", ReportSettings(language="zh")),
        ("request", "sha256:bundle", ReportSettings(preliminary=False)),
    ],
)
def test_anything_changed_is_another_computation(changed: tuple[str, str, ReportSettings]) -> None:
    assert computation_digest(*changed) != computation_digest(*BASE)


def test_a_return_to_an_earlier_value_is_a_new_document() -> None:
    first = identity_of("a", None)
    second = identity_of("b", first)
    assert identity_of("a", second) not in {first, second}
