"""Elements that do not conform to PS3.5: read where they have one meaning, refused with their name where not."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import time
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filereader import read_dataset

from node.dicom.headers.conforming import conforming_data_set, open_conforming, read_conforming
from node.dicom.headers.early_header import read_early_header
from node.dicom.headers.full_header import read_full_header
from node.dicom.headers.identifying_uids import find_identifying_uids
from node.dicom.headers.structure import STUDY_INSTANCE_UID, EncodingError, validate_structure
from node.store.part10 import FileMeta, file_header
from tests.dicom.odd_elements import CREATOR, Part, parts_of, with_element
from tests.dicom.raw_scu import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, MR, RawSender
from tests.dicom.scenes import Scene, encoded, mr_slice
from tests.fuzz.mutations import mutated

RLE = "1.2.840.10008.1.2.5"
PRIVATE = Part(0x00191008, b"LO", b"ABCD")
ODD = {
    "unknown VR, 16 bits": CREATOR + PRIVATE.short(b"??"),
    "unknown VR, 32 bits": CREATOR + PRIVATE.long(b"??"),
    "blanks, 16 bits": CREATOR + PRIVATE.short(b"  "),
    "blanks, 32 bits": CREATOR + PRIVATE.long(b"  "),
    "NUL, 16 bits": CREATOR + PRIVATE.short(b"\0\0"),
    "capital letters, 32 bits": CREATOR + PRIVATE.long(b"RE"),
    "capital letters, 16 bits": CREATOR + PRIVATE.short(b"RE"),
    "small letters": CREATOR + PRIVATE.short(b"lo"),
    "empty, 16 bits": CREATOR + Part(0x00191008, b"", b"").short(b"??"),
    "empty, 32 bits": CREATOR + Part(0x00191008, b"", b"").long(b"??"),
    "no VR": CREATOR + PRIVATE.without_vr(),
    "UN with 16 bits": CREATOR + PRIVATE.short(b"UN"),
    "many in a row": CREATOR + b"".join(Part(0x00191000 + n, b"", b"v%03d" % n).short(b"??") for n in range(50)),
    "many without VR": CREATOR + b"".join(Part(0x00191000 + n, b"", b"v%03d" % n).without_vr() for n in range(5)),
    "two kinds in a row": CREATOR + PRIVATE.short(b"??") + Part(0x00191009, b"", b"12").without_vr(),
    "twice": CREATOR + PRIVATE.sound() + PRIVATE.sound(),
    "private, twice and different": CREATOR + PRIVATE.sound() + Part(0x00191008, b"LO", b"EFGH").sound(),
    "out of order": CREATOR + Part(0x00191009, b"LO", b"AB").sound() + PRIVATE.sound(),
}  # fmt: skip


def stored(folder: Path, data: bytes, syntax: str = EXPLICIT) -> tuple[Path, int]:
    header = file_header(FileMeta(MR, "1.2.3", syntax, "RAW"))
    path = folder / "stored.dcm"
    path.write_bytes(header + data)
    return path, len(header)


def values_of(ds: Dataset) -> dict[int, object]:
    return {int(element.tag): element.value for element in ds if not element.tag.is_private}


@pytest.mark.parametrize("name", ODD)
def test_odd_elements_before_the_study_are_stepped_over(name: str, tmp_path: Path) -> None:
    """All other values are those of the sound data set, in the header and where a worker reads the file."""
    sound = encoded(mr_slice(StudyDescription="Neck"))
    odd = with_element(sound, 0x00190000, ODD[name])
    assert read_early_header(memoryview(odd), EXPLICIT) is None
    expected = read_full_header(*stored(tmp_path, sound), EXPLICIT)
    path, begin = stored(tmp_path, odd)
    header = read_full_header(path, begin, EXPLICIT)
    [*_, finding] = header.values.pop("EncodingFindings")
    assert all(header.values.pop("EncodingFindings_messages"))  # key and parameters of each, for other languages
    assert "(0019,10" in finding
    assert header == expected
    with open_conforming(path) as file:
        ds = dcmread(file)
    assert values_of(ds) == values_of(read_dataset(BytesIO(sound), False, True))


def test_the_pixels_of_a_file_that_is_read_anew_have_the_place_of_the_stored_file(tmp_path: Path) -> None:
    sound = encoded(mr_slice())
    pixels = parts_of(sound)[-1].value
    for odd in ODD.values():
        path, _ = stored(tmp_path, with_element(sound, 0x00190000, odd))
        with open_conforming(path) as file:
            dcmread(file, stop_before_pixels=True)
            offset = file.tell() + 12 + file.pixel_shift  # type: ignore[attr-defined]
        assert path.read_bytes()[offset:] == pixels


@pytest.mark.parametrize("name", ["unknown VR, 16 bits", "capital letters, 32 bits", "out of order"])
def test_dcmtk_reads_the_same(name: str, tmp_path: Path) -> None:
    """dcmdump is another program; it has no rule for the other oddities, and reads no further there."""
    if shutil.which("dcmdump") is None:
        pytest.skip("dcmdump is not installed (Debian package dcmtk)")
    sound = encoded(mr_slice(StudyDescription="Neck"))
    path, _ = stored(tmp_path, with_element(sound, 0x00190000, ODD[name]))
    done = subprocess.run(["dcmdump", "-M", str(path)], capture_output=True, text=True, check=False)
    with open_conforming(path) as file:
        assert str(dcmread(file).StudyInstanceUID) in done.stdout


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (b"".join(Part(0x00080021, b"DA", day).sound() for day in (b"20260101", b"20260102")), "(0008,0021) is there"),
        (CREATOR + PRIVATE.head + b"??\xf0\xff" + b"ABCD", "(0019,1008) has no known value representation"),
    ],
)  # fmt: skip
def test_what_has_no_one_meaning_is_refused_by_name(odd: bytes, words: str, tmp_path: Path) -> None:
    sound = encoded(mr_slice(StudyInstanceUID="1.2.77"))
    tag = struct.unpack("<HH", odd[:4])
    data = with_element(sound, tag[0] << 16 | tag[1], odd)
    with pytest.raises(EncodingError) as refusal:
        validate_structure(data, EXPLICIT)
    assert words in str(refusal.value)
    assert find_identifying_uids(data, EXPLICIT)[STUDY_INSTANCE_UID] == "1.2.77"


def test_implicit_vr_under_an_explicit_syntax_is_refused_by_name() -> None:
    with pytest.raises(EncodingError, match="found a data set in implicit VR"):
        validate_structure(encoded(mr_slice(), IMPLICIT), EXPLICIT)


def test_elements_out_of_order_are_read_in_implicit_vr_where_they_are_known(tmp_path: Path) -> None:
    parts = parts_of(encoded(mr_slice()))
    places = {part.tag: n for n, part in enumerate(parts)}
    swapped = list(parts)
    a, b = places[0x00100010], places[0x00100020]
    swapped[a], swapped[b] = parts[b], parts[a]
    header = read_full_header(*stored(tmp_path, b"".join(p.without_vr() for p in swapped), IMPLICIT), IMPLICIT)
    assert header.values["EncodingFindings"] == ["(0010,0010) is after (0010,0020)"]
    unknown = [*parts[:-1], Part(0x00191234, b"", b"1234"), parts[-1]]
    with pytest.raises(EncodingError, match=r"\(0019,1234\) is after"):
        validate_structure(b"".join(part.without_vr() for part in unknown), IMPLICIT)


KINDS = ("sound", "??16", "??32", "  16", "RE32", "lo16", "none", "twice")


def as_kind(part: Part, kind: str) -> bytes:
    if kind == "twice":
        return part.sound() * 2
    if kind == "none":
        return part.without_vr()
    if kind[2:] == "16":
        return part.short(kind[:2].encode())
    return part.long(kind[:2].encode()) if kind != "sound" else part.sound()


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_elements_in_odd_forms_give_the_values_of_the_sound_data_set(data: st.DataObject) -> None:
    """Any element but the pixels in any odd form, and two of them exchanged: equal to the sound one, or refused."""
    sound = encoded(mr_slice(PatientID=data.draw(st.text("ABC123", min_size=1, max_size=12))))
    *parts, pixels = parts_of(sound)
    kinds = [data.draw(st.sampled_from(KINDS)) if data.draw(st.integers(0, 4)) == 0 else "sound" for _ in parts]
    pieces = [as_kind(part, kind) for part, kind in zip(parts, kinds, strict=True)]
    if data.draw(st.booleans()):
        place = data.draw(st.integers(1, len(pieces) - 2))
        pieces[place], pieces[place + 1] = pieces[place + 1], pieces[place]
    odd = b"".join([*pieces, pixels.sound()])
    try:
        structure = validate_structure(odd, EXPLICIT)
    except EncodingError:
        return
    anew = read_dataset(BytesIO(conforming_data_set(memoryview(odd), EXPLICIT, structure)), False, True)
    assert values_of(anew) == values_of(read_dataset(BytesIO(sound), False, True))


def test_a_deflated_and_a_compressed_file_are_read_anew(tmp_path: Path) -> None:
    sound = encoded(mr_slice(StudyDescription="Neck"))
    odd = with_element(sound, 0x00190000, ODD["unknown VR, 32 bits"])
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    path, begin = stored(tmp_path, engine.compress(odd) + engine.flush(), DEFLATED)
    assert read_full_header(path, begin, DEFLATED).values["StudyDescription"] == "Neck"
    assert values_of(read_conforming(path)) == values_of(read_dataset(BytesIO(sound), False, True))
    *parts, pixels = parts_of(odd.replace(ODD["unknown VR, 32 bits"], b""))
    fragments = encapsulate([pixels.value])
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    head = pixels.head + b"OB\0\0\xff\xff\xff\xff"
    before = b"".join(part.sound() for part in parts)
    path, begin = stored(tmp_path, with_element(before, 0x00190000, ODD["no VR"]) + head + fragments + end, RLE)
    assert read_full_header(path, begin, RLE).values["StudyDescription"] == "Neck"
    assert next(generate_frames(read_conforming(path).PixelData, number_of_frames=1)) == pixels.value


def test_an_odd_element_within_a_sequence_is_read(tmp_path: Path) -> None:
    """In an item of a sequence of undefined length, as pydicom's own reader meets it."""
    inside = Part(0x00081150, b"UI", b"1.2.3\0").sound() + CREATOR + PRIVATE.long(b"RE")
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inside + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    sequence = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + item
    sequence += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    path, begin = stored(tmp_path, with_element(encoded(mr_slice()), 0x00081140, sequence))
    header = read_full_header(path, begin, EXPLICIT)
    assert header.values["EncodingFindings"] == ["(0019,1008) has the value representation 'RE'"]
    [item_read] = read_conforming(path).ReferencedImageSequence
    assert (item_read.ReferencedSOPClassUID, item_read[0x00191008].value) == ("1.2.3", b"ABCD")


def test_elements_of_unknown_form_without_end_cost_little() -> None:
    """Half a million bytes of them; the reader gives up, and names why."""
    begun = time.process_time()
    data = encoded(mr_slice()).partition(b"\x20\0\x0d\0")[0]
    data += b"".join(Part(0x00191000 + n, b"", b"").short(b"??") for n in range(60_000))
    with pytest.raises(EncodingError, match="more than 2000 elements"):
        validate_structure(data, EXPLICIT)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("vr", [b"??", b"  ", b"RE"])
def test_an_odd_element_does_not_stop_a_sender(node: Scene, vr: bytes) -> None:
    ds = mr_slice()
    odd = with_element(encoded(ds), 0x00190000, CREATOR + PRIVATE.short(vr))
    with RawSender(node.port, [(MR, [EXPLICIT])]) as sender:
        answer = sender.store(1, MR, str(ds.SOPInstanceUID), odd)
    assert answer is not None
    assert answer.status == 0
    [row] = node.instances()
    assert row.study_instance_uid == ds.StudyInstanceUID
    assert node.store.path(row.path).read_bytes().endswith(odd)  # byte for byte as it was received


def test_of_several_forms_the_one_next_to_a_usual_element_counts(tmp_path: Path) -> None:
    """Without its VR, the length of the Patient ID is also a VR with an empty value: its text is then a tag, and the
    next element, of 12 bytes behind its head, a value that ends where another element begins."""
    parts = {part.tag: part.sound() for part in parts_of(encoded(mr_slice(PatientID="XXX", PatientName="Phantom^One")))}
    name = parts.pop(0x00100010)
    assert name.endswith(b"Phantom^One ")
    patient_id = Part(0x00100020, b"", b"XXX ").without_vr()
    parts[0x00100020] = patient_id + name
    header = read_full_header(*stored(tmp_path, b"".join(parts[tag] for tag in sorted(parts))), EXPLICIT)
    assert header.values["PatientID"] == "XXX"
    assert header.values["EncodingFindings"] == [
        "(0010,0020) has no value representation", "(0010,0010) is after (0010,0020)",
    ]  # fmt: skip


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_any_damage_is_refused_or_written_anew_without_a_finding(syntax: str) -> None:
    """Whatever the bytes are: one error, or a data set that conforms."""
    rng = random.Random(syntax)
    sound = encoded(mr_slice(rows=4, ReferencedImageSequence=[Dataset()]), syntax)
    n_read = 0
    for _ in range(400):
        data = mutated(sound, rng, sound)
        try:
            structure = validate_structure(data, syntax)
            anew = conforming_data_set(memoryview(data), syntax, structure)
        except EncodingError:
            continue
        n_read += 1
        assert validate_structure(anew, syntax).findings == ()
    assert n_read > 20
