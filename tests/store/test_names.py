"""What counts as a UID, and that long texts in its place are not kept."""

from __future__ import annotations

import pytest

from node.store.names import _has_form, is_uid


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1.2.840", True), ("0", True), ("1.02", True), ("1.2.", False), (".1", False),
     ("1.2 ", False), ("", False), ("1..2", False), ("1.2\n", False), ("1" * 64, True),
     ("1" * 65, False)],
)  # fmt: skip
def test_uids_by_their_form(text: str, expected: bool) -> None:
    assert [is_uid(text), is_uid(text)] == [expected, expected]


def test_a_long_text_is_refused_without_being_remembered() -> None:
    before = _has_form.cache_info()
    assert not is_uid("1." * 30_000 + "1")
    assert _has_form.cache_info() == before
