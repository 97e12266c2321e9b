"""High-Throughput JPEG 2000, encoded by OpenJPH 0.26.3: received over the wire, and decoded in a worker."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from node.dicom.content.comparison import differences_between
from node.dicom.headers.conforming import read_conforming
from node.dicom.network.contexts import TRANSFER_SYNTAXES
from node.store.part10 import FileMeta, file_header
from tests.dicom.raw_scu import EXPLICIT, MR, RawSender
from tests.dicom.scenes import encoded, mr_slice, scene
from workers.volumes.decoder_client import decode_frames
from workers.volumes.decoder_process import Request

# Codestreams of `image()`: reversible, and with a quantisation step of 0.002; and how OpenJPH decodes the second one.
# Both have progression order RPCL, so that the first one is one of each lossless syntax.
LOSSLESS = (
    "|4;u>04YEK0000G0000G00000000000000G0000G0000000000009pH0sl|{2mk^A000XAQUDA90ssL31q1{@0smY86Cj9?kdTm&kdTm&kdTmw"
    "h=~7W02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00001;{XBwlfVEb|9J%mbN~Rr0206e6F>kH044$lbO18`0*7<}F#H0CbO68r6)*q=Q~&`|"
    "gOVX!KmkKE03QMnrd|F3p_Bkt8O<z)0YbC@zyKEH00D1602cTSpJt>+lduP$Ffl$k*<@#&3N`outz?j3LpT825fo?cP!4kY2*^Ad1*FJ*=tdkp"
    "{sBlsjDQ0;00{clhls!w%UyE@1M?TIQMrDlvoiz!0|CxL0JAs%zyL32fB;_A006xt|6`v3U;zwxLF2loEQ8=$nIo0NY4>g{0eAt!KmSVk7~pPQ"
    "l?K;W)66FT0RRJzI12LcKcu^M5sqKNtZy;Ruy(;wV|tEXA*GK{4t1FkK8X$yE1dual0cGB;S_Lk#Dx@qLoopZEC7C}P+-M(D&GqfC}5ldETjNh"
    "Rsg?K00k7FUjh0BQ-J7q>9nG0QJ?yN1~diGvefwF4;xG{0>OOlK2QLH5e$7{E@3yy84U8~ZgL}H6aXLq$Z11lDPWLtfDQ{zQb7R#A_22D0seQ3"
    "Thfkma9+0ow!7VOVHYbM)SzZpM%8P(?TV0pKn&so+b+pSRJP0QCZp#>=m1)0(tYrCMSwoePz&cdfN%W5FhPL6*#ZCA"
)
LOSSY = (
    "|4;u>04YEK0000G0000G00000000000000G0000G0000000000009pH0sl|{2mk^A001NZQUDA90ssL31q1{@0RLP7BO-rve?@;qe;0RLcU*Tp"
    "Z>n#qZ^BqLST$I9P#RDgU%&rk02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00000^#B3?lfVF&qre1*bN~Rr0W1I#zyTQa00(pc)&Pfe003hE"
    "zyfFhO#lf%r^*1tbO1+n{xOpP0SYsd0Kf{!0b2kofU7koA6f|#I~(&h0B3hW2J7GgPT}-(cL3fJntc+?68HrH#)#Gcz!y^hT|5A~a1{VBrB_TI"
    "m}~oj2*MdCd$>T0z<`j!{Q-kitfqBvwNzzL0Bfbp(E$Z{I607IA&3aT{1;U-6cQ6)`*(=H?Z;$x-jQ8!Abx!;{pIm?0SIFx0v;WN64<Ja0YN$z"
    "ERPi70JOtK_o3QIKEN(=`5&Li%6`-V|Je"
)
LOSSY_DECODED = (
    "K@dj(TL1t6CIAfqk^l`5egOCYW&!vBPXT)Y0ubB*LjWKEUI3E-J^%*+Cjm17X8}I}-vN38I|54rgaQ=<Zvb}y;{aj+tN^zGUIE4d1p;mY!vYxt"
    "fCC2u>jO;$F#wnV<^X{KDFBiINCNl)*8)icwFCD9i3H39?*!8Y3IW&vlmW{D1p<Qt8v{NAp935Ou>{5hnFXr_ZU*)S&JU3R(gEuMJ_3mYxdSo~"
    "Mg%Jbqy+^AU<SPg84!j7o&o9sEdp5rPy^TlT?CH=^aN7{Tn6(7s0Z-@cmj6=o&h=ni2~ySsRLdF4h3rkiw1lKT?Y>Wg#t$d>;t+4NCJTZ_X2MN"
    "5d{7O)&*w<;s$#Mj{+|P>jSU^^#t|>egeS)l>?mw%mk4IU<Ts`!vWm_z5`VR2nD$Xj0S)Q1Q1RGDg=WBf(2j(83*?dxB{00Oaw6nb_O5^+YcoJ"
    "Rs*sFnFO~5E(R+H1OoR0qyxhQg$14lnFl2ZDFcuM@dHBy<piz;%?2|F5(Do8!~}!|9|xuf!2;$3^923{%mc9m(FL~#Xa~9i<pbyh$pt<J><97!"
    "`U9N=j0GA8oCH7x6b3Q}Tmk?Dy#$d3*#>h5P6OuyKLra0K?ivV1Q78BZU?{zOapoZe+B6ezz2o`j0AH9aR!42><`!j"
)
SYNTAXES = {f"1.2.840.10008.1.2.4.{number}": LOSSLESS for number in (201, 202)} | {"1.2.840.10008.1.2.4.203": LOSSY}


def image() -> np.ndarray:
    """16 rows and columns of 12 bits: a pattern with steps, extreme values among it."""
    y, x = np.mgrid[:16, :16]
    pixels = ((x * x + 3 * y * y + 17 * x * y) % 1500 + 100 * (x // 5) + 40 * y).astype(np.uint16)
    pixels[::5, ::7] = 4095
    pixels[3, 4] = 0
    return pixels


def compressed(syntax: str) -> Dataset:
    ds = mr_slice(rows=16)
    ds.PixelData = encapsulate([base64.b85decode(SYNTAXES[syntax])])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    return ds


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_it_is_received_and_decoded_as_its_encoder_decodes_it(syntax: str, tmp_path: Path) -> None:
    assert syntax in TRANSFER_SYNTAXES
    ds = compressed(syntax)
    with scene(tmp_path / "data") as node:
        with RawSender(node.port, [(MR, [syntax])]) as sender:
            assert sender.accepted == {1: syntax}
            answer = sender.store(1, MR, str(ds.SOPInstanceUID), encoded(ds, syntax))
            assert answer is not None
            assert answer.status == 0
        [row] = node.instances()
        path = node.store.path(row.path)
        [pixels] = decode_frames(Request(str(path), syntax, 16, 16, 12, False, (0,)))
    expected = image()
    if SYNTAXES[syntax] == LOSSY:
        expected = np.frombuffer(base64.b85decode(LOSSY_DECODED), "<u2").reshape(16, 16)
        # The irreversible wavelet is computed in floating point; two programs may round to neighbours.
        assert np.abs(pixels.astype(int) - expected).max() <= 1
    else:
        assert np.array_equal(pixels, expected)


def test_an_image_that_was_recompressed_without_loss_is_the_same(tmp_path: Path) -> None:
    native = mr_slice(rows=16)
    native.PixelData = image().astype("<u2").tobytes()
    stored = {}
    for name, ds, syntax in (
        ("native", native, EXPLICIT), ("lossless", compressed("1.2.840.10008.1.2.4.201"), "1.2.840.10008.1.2.4.201"),
        ("lossy", compressed("1.2.840.10008.1.2.4.203"), "1.2.840.10008.1.2.4.203"),
    ):  # fmt: skip
        for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(ds, keyword, native[keyword].value)
        path = tmp_path / name
        path.write_bytes(file_header(FileMeta(MR, str(ds.SOPInstanceUID), UID(syntax), "RAW")) + encoded(ds, syntax))
        stored[name] = path

    def differences(name: str) -> tuple[str, ...]:
        return differences_between(read_conforming(stored["native"]), read_conforming(stored[name]))

    assert differences("lossless") == ()
    assert differences("lossy") == ("PixelData",)
