"""Digests and names of stored files against the published answers of BLAKE3, and against pieces of any size."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import InputError
from node.store.consistency import digest_of
from node.store.digests import content_hash
from node.store.names import digest_name, uid_name
from node.store.part10 import FileMeta
from node.store.study_store import StudyStore

ABC = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"

# test_vectors.json of BLAKE3: bytes 0, 1, ... 250, 0, 1, ... of this length. One chunk has 1,024 bytes.
PUBLISHED = {
    0: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    1: "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
    1024: "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
    1025: "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
}


@pytest.mark.parametrize(("length", "digest"), PUBLISHED.items())
def test_published_answers(length: int, digest: str) -> None:
    hashed = content_hash()
    hashed.update(bytes(number % 251 for number in range(length)))
    assert hashed.hexdigest() == digest


def test_the_name_of_an_instance_is_its_uid_and_the_beginning_of_the_digest_of_its_bytes(tmp_path: Path) -> None:
    """Installations find their files by these names: another derivation would lose them."""
    store = StudyStore(tmp_path)
    store.prepare()
    meta = FileMeta("1.2.840.10008.5.1.4.1.1.4", "1.2.3.4", "1.2.840.10008.1.2.1", "PACS")
    with store.open_incoming(meta) as incoming:
        incoming.write(b"abc")
        stored = store.store_instance(incoming, "1.2", "1.2.3")
    assert stored.path == "studies/1.2/1.2.3/1.2.3.4-6437b3ac38465133.dcm"
    assert stored.digest == ABC == digest_of(store.path(stored.path))
    assert store.artefact_folder("1.2", f"sha256:{ABC}") == store.root / "artefacts" / "1.2" / ABC


@pytest.mark.parametrize("digest", ["", "abc", "../" + "a" * 20, "A" * 32, "a" * 65, "sha256:", "a" * 32 + "\n"])
def test_only_hexadecimal_digests_become_names(digest: str) -> None:
    with pytest.raises(InputError, match="hexadecimal digest"):
        digest_name(digest)


@pytest.mark.parametrize("uid", ["", "..", "1.2/../3", "1..2", "1" * 65])
def test_only_uids_become_names_of_files(uid: str) -> None:
    with pytest.raises(InputError, match="expected a UID"):
        uid_name(uid)


@given(data=st.binary(max_size=5000), cut=st.integers(0, 5000))
def test_pieces_do_not_matter(data: bytes, cut: int) -> None:
    whole, pieces = content_hash(), content_hash()
    whole.update(data)
    pieces.update(memoryview(data)[:cut])
    pieces.update(memoryview(data)[cut:])
    assert pieces.hexdigest() == whole.hexdigest()
