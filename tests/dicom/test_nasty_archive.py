"""The archive of odd and broken files, each sent through the wire byte by byte as it is."""

from __future__ import annotations

import time
from pathlib import Path

import pydicom
import pytest
from blake3 import blake3

from node.dicom.network.contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES
from node.dicom.network.statuses import StoreStatus
from tests.dicom.raw_scu import IMPLICIT, MR, RawSender
from tests.dicom.scenes import Scene, encoded, mr_slice
from tests.peers import unpacked

KNOWN = {int(status) for status in StoreStatus}


def wire_form(path: Path) -> tuple[str, str, str, bytes]:
    """SOP class, SOP instance and transfer syntax as a careless archive would announce them, and the bytes behind the
    file meta information."""
    raw = path.read_bytes()
    ds = pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
    meta = getattr(ds, "file_meta", {})
    syntax = str(meta.get("TransferSyntaxUID", IMPLICIT) or IMPLICIT)
    sop_class = str(ds.get("SOPClassUID", None) or meta.get("MediaStorageSOPClassUID", MR) or MR)
    uid = str(ds.get("SOPInstanceUID", None) or meta.get("MediaStorageSOPInstanceUID", "1.2.3") or "1.2.3")
    offset = 0
    if raw[128:132] == b"DICM":
        length = meta.get("FileMetaInformationGroupLength", None)
        offset = 144 + length if length is not None else 132
    return sop_class, uid, syntax, raw[offset:]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_file_ends_stored_refused_or_quarantined_and_the_node_keeps_answering(
    node: Scene, tmp_path: Path
) -> None:
    files = sorted(path for path in unpacked("nasty", tmp_path / "in").rglob("*") if path.is_file())
    assert len(files) > 20
    outcomes: dict[str, str] = {}
    for path in files:
        sop_class, uid, syntax, data = wire_form(path)
        for announced in dict.fromkeys((sop_class, MR)):
            offered = syntax if syntax in TRANSFER_SYNTAXES else IMPLICIT
            with RawSender(node.port, [(announced, [offered])]) as sender:
                if not sender.accepted:
                    assert announced not in STORAGE_CLASSES
                    outcomes[f"{path.name} as {announced}"] = "not accepted"
                    continue
                answer = sender.store(1, announced, uid, data)
                assert answer is not None, f"{path.name}: no answer"
                assert answer.status in KNOWN, f"{path.name}: {answer}"
                digest = blake3(data).hexdigest()
                kept = [row.path for row in node.instances() if row.digest == digest]
                kept += [row.path for row in node.quarantined() if row.digest == digest]
                if announced not in STORAGE_CLASSES:  # accepted, counted and discarded
                    assert answer.status == 0x0000
                    assert not kept
                    outcomes[f"{path.name} as {announced}"] = "discarded"
                    continue
                assert kept, f"{path.name}: {answer} and its bytes are nowhere"
                assert all(node.store.path(one).read_bytes().endswith(data) for one in kept)
                outcomes[f"{path.name} as {announced}"] = f"{answer.status:04X} {answer.comment}"
        begun = time.perf_counter()
        ds = mr_slice()
        with RawSender(node.port, [(MR, ["1.2.840.10008.1.2.1"])]) as sender:
            answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds))
            assert answer is not None
            assert answer.status == 0
        assert time.perf_counter() - begun < 5
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome}")
    stored = [name for name, outcome in outcomes.items() if outcome.startswith("0000")]
    # The compressed MR of the archive are sound images; truncated and mislabelled files are not.
    for name in ("MR4_JPLL", "MR4_JLSL", "MR4_J2KR", "MR4_RLE", "MR3_RLE", "MR-JPEGLosslessSV1.dcm", "MR4_UNC"):
        assert any(one.startswith(f"{name} ") for one in stored), outcomes
    assert not any(one.startswith(("MR_truncated", "rtplan_truncated")) for one in stored)
