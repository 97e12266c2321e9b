"""Decoding in another process: what its crash, endless loop or unreadable answer means for the caller."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from config.errors import IneligibleStudyError
from tests.peers import unpacked
from workers.volumes.decoder_client import Decoder, DecodingError, decode_frames
from workers.volumes.decoder_process import Request
from workers.volumes.frames import read_frames
from workers.volumes.pixels import decode

REQUEST = Request("/nowhere.dcm", "1.2.840.10008.1.2.4.90", 2, 3, 16, False, (0, 1))
READ = "import sys; line = sys.stdin.buffer.readline(); "
FRAME = 'sys.stdout.buffer.write(b\'{"dtype": "<u2", "shape": [2, 3]}\\n\' + bytes(12)); sys.stdout.buffer.flush(); '


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (READ + "import os; os.kill(os.getpid(), 11)", "ended by signal 11 in frame 1"),
        (READ + FRAME + "import os; os.abort()", "ended by signal 6 in frame 2"),
        (READ + "import time; time.sleep(600)", "did not finish frame 1 within 3 s"),
        (READ + "print('rubbish', flush=True); input()", "its answer is unreadable"),
        (READ + 'print(\'{"dtype": "<u2", "shape": [20000, 20000]}\', flush=True); input()', "another size or type"),
        (READ + 'print(\'{"dtype": "<u2", "shape": [2, 3]}\', flush=True)', "ended with code 0 in frame 1"),
        ("raise SystemExit(3)", "ended with code 3"),
    ],
)
def test_a_decoder_that_fails_is_named_and_ended(program: str, said: str) -> None:
    decoder = Decoder([sys.executable, "-c", program])
    with pytest.raises(DecodingError, match=said):
        decoder.frames(REQUEST, timeout_s=3)
    assert not decoder.usable
    decoder.close()


def test_a_missing_file_is_an_error_and_the_decoder_serves_on() -> None:
    decoder = Decoder()
    for _ in range(2):
        with pytest.raises(DecodingError, match=r"FileNotFoundError"):
            decoder.frames(REQUEST)
    assert decoder.usable
    decoder.close()


@pytest.mark.filterwarnings("ignore")  # pydicom warns of what it meets in damaged files
def test_damaged_streams_of_every_codec_end_in_pixels_or_a_refusal(tmp_path: Path) -> None:
    """Real compressed MR with damage behind the header; whatever the codec does, this process lives and says why."""
    folder = unpacked("nasty", tmp_path)
    names = ("MR4_JPLL", "MR4_JLSL", "MR4_J2KR", "MR4_RLE", "MR-JPEGLosslessSV1.dcm", "JPEG-lossy.dcm")
    found = {path.name: path for path in folder.rglob("*") if path.name in names}
    assert len(found) >= 5
    codes: list[str] = []
    for name, path in found.items():
        content = path.read_bytes()
        begins = content.rindex(b"\xe0\x7f\x10\x00")
        for seed in range(6):
            rng, data = random.Random(f"{name}{seed}"), bytearray(content)
            for _ in range(40):
                data[rng.randrange(begins + 20, len(data))] = rng.randrange(256)
            damaged = tmp_path / "damaged.dcm"
            damaged.write_bytes(data)
            try:
                frames = read_frames(damaged)
                assert decode(frames).shape[1:] == (frames[0].source.rows, frames[0].source.columns)
            except IneligibleStudyError as error:
                codes.append(error.code)
    assert set(codes) == {"unreadable_instance"}
    assert len(codes) > 3


def test_a_stream_that_claims_another_size_than_the_header_is_refused(tmp_path: Path) -> None:
    """A JPEG 2000 stream of a few kilobytes that claims 40,000 x 40,000 pixels behind a header of 256 x 256."""
    (path,) = (one for one in unpacked("nasty", tmp_path).rglob("MR4_J2KR"))
    data = bytearray(path.read_bytes())
    size = data.index(b"\xff\x51")  # SIZ marker of the code stream, ISO/IEC 15444-1 A.5.1
    for offset in (6, 10):
        data[size + offset : size + offset + 4] = (40_000).to_bytes(4, "big")
    bomb = tmp_path / "bomb.dcm"
    bomb.write_bytes(data)
    with pytest.raises(IneligibleStudyError) as caught:
        decode(read_frames(bomb))
    assert caught.value.code == "unreadable_instance"
    ds = dcmread(path)
    request = Request(str(path), str(ds.file_meta.TransferSyntaxUID), ds.Rows, ds.Columns, ds.BitsStored, False, (0,))
    assert np.array_equal(decode_frames(request)[0].astype(np.int64), ds.pixel_array.astype(np.int64))  # and it goes on
