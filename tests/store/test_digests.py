"""The digest of received bytes against the published answers of BLAKE3 and against pieces of any size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.store.digests import content_hash

# Published with BLAKE3: no input, and "abc".
EMPTY = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
ABC = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"


def test_published_answers() -> None:
    assert content_hash().hexdigest() == EMPTY
    hashed = content_hash()
    hashed.update(b"abc")
    assert hashed.hexdigest() == ABC


@given(data=st.binary(max_size=5000), cut=st.integers(0, 5000))
def test_pieces_do_not_matter(data: bytes, cut: int) -> None:
    whole, pieces = content_hash(), content_hash()
    whole.update(data)
    pieces.update(memoryview(data)[:cut])
    pieces.update(memoryview(data)[cut:])
    assert pieces.hexdigest() == whole.hexdigest()
