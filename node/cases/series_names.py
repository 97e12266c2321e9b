"""Names and stated values of a header: weighting, contrast agent, and what is no candidate for a role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from config.messages.message import message
from node.cases import vocabulary
from node.cases.physics import parts_of

Contrast = Literal["given", "denied", "contradictory", "unsaid"]

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
LEGACY_ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.4"
MR_CLASSES = frozenset({MR_IMAGE, ENHANCED_MR, LEGACY_ENHANCED_MR})

# Values of Image Type and Frame Type (PS3.3 C.8.3.1.1.1, C.8.13.1.1.1) and of vendors -> kind of image.
IMAGE_TYPES: Mapping[str, str] = {
    "LOCALIZER": "a localizer",
    "DIFFUSION": "diffusion-weighted", "ADC": "diffusion-weighted", "TRACEW": "diffusion-weighted",
    "TENSOR": "diffusion-weighted", "FA": "diffusion-weighted", "EADC": "diffusion-weighted",
    "PERFUSION": "perfusion", "ASL": "perfusion", "RELCBF": "perfusion", "CBF": "perfusion", "CBV": "perfusion",
    "MTT": "perfusion", "TTP": "perfusion",
    "FMRI": "functional MRI", "MOSAIC": "a mosaic of a functional or diffusion series", "EPI": "echo-planar",
    "MIP": "a projection", "MINIP": "a projection", "MNIP": "a projection",
    "SUB": "a subtraction", "SUBTRACTION": "a subtraction", "SUBTRACT": "a subtraction",
    "SPECTROSCOPY": "spectroscopy", "METABOLITE": "spectroscopy",
    "PHASE": "a phase image", "P": "a phase image", "R": "a real part", "REAL": "a real part",
    "I": "an imaginary part", "IMAGINARY": "an imaginary part",
    "VELOCITY": "a velocity map", "FLOW": "a flow image", "ANGIO": "angiography", "TOF": "angiography",
    "FAT": "a Dixon fat image", "F": "a Dixon fat image", "FF": "a fat fraction map", "OP": "an opposed-phase image",
    "OUT": "an opposed-phase image", "OPP": "an opposed-phase image",
    "T2MAP": "a quantitative map", "T1MAP": "a quantitative map", "R2": "a quantitative map",
    "STAR": "a quantitative map", "FIELD": "a field map", "B0": "a field map", "B1": "a field map",
    "SW": "susceptibility-weighted", "SWI": "susceptibility-weighted",
    "VXTL": "the state of a viewer", "SCREEN": "a screenshot", "SCREENSHOT": "a screenshot", "REPORT": "a report",
}  # fmt: skip
# Only from the third value on: values 1 and 2 are the pixel data and patient examination characteristics.
SHORT_IMAGE_TYPES = frozenset({"P", "R", "I", "F", "FF", "OP", "R2", "STAR", "FA"})
# Complex Image Component (0008,9208) of Enhanced MR. Objects of MIXED frames are not excluded: the magnitude frames
# among them are used.
NOT_MAGNITUDE: Mapping[str, str] = {"PHASE": "a phase image", "REAL": "a real part", "IMAGINARY": "an imaginary part"}
ACQUISITION_CONTRASTS: Mapping[str, str] = {
    "DIFFUSION": "diffusion-weighted", "PERFUSION": "perfusion", "FLUID_ATTENUATED": "FLAIR",
    "PROTON_DENSITY": "proton-density-weighted", "T2_STAR": "T2*-weighted", "TOF": "angiography",
    "FLOW_ENCODED": "flow-encoded", "TAGGING": "tagged",
}  # fmt: skip


@dataclass(frozen=True)
class Naming:
    """What names and stated values say.

    Attributes
    ----------
    text : str
        Plain text of description and protocol.
    not_a_role : str or None
        Why it is no candidate, for example "a localizer or calibration (named 'scout')".
    weightings : frozenset of {"T1", "T2"}
        Stated by description, protocol, sequence name, Image Type or Acquisition Contrast.
    witnesses : int
        Independent places that state the one weighting.
    flair, stir, dixon_in_phase, fat_suppressed : bool
        Whether it is stated.
    part_of : str or None
        What the series is only a part or a product of; the original is preferred.
    derived : bool
        Whether it is derived from other images in a way that is not stated.
    contrast : {"given", "denied", "contradictory", "unsaid"}
        Contrast agent, by recorded agent and names.
    contrast_because : str
        Half a sentence for it.
    contrast_named : bool
        Whether a name states that an agent was given, whatever is recorded.
    """

    text: str
    not_a_role: str | None
    weightings: frozenset[str]
    witnesses: int
    flair: bool
    stir: bool
    dixon_in_phase: bool
    fat_suppressed: bool
    part_of: str | None
    derived: bool
    contrast: Contrast
    contrast_because: str
    contrast_named: bool


def naming_of(header: Mapping[str, Any]) -> Naming:
    """Read the names and stated values of one header.

    Parameters
    ----------
    header : mapping of DICOM keyword to value
        As `header_of` or any converter writes it.

    Returns
    -------
    Naming
        Its patterns are in `vocabulary`.
    """
    description, protocol = _names(header)
    text = vocabulary.plain_text(description, protocol)
    sequence = vocabulary.plain_text(
        header.get("SequenceName"), header.get("PulseSequenceName"), *parts_of(header.get("ScanningSequence"))
    )
    image_type = _image_type(header)
    weightings, witnesses = _weightings(header, description, protocol, sequence, image_type)
    dixon = bool(vocabulary.DIXON.search(text) or vocabulary.DIXON.search(sequence) or "DIXON" in image_type)
    contrast, because = _contrast(header, text)
    return Naming(
        text=text,
        not_a_role=_not_a_role(header, text, sequence, image_type, weightings, dixon),
        weightings=weightings,
        witnesses=witnesses,
        flair=bool(vocabulary.FLAIR.search(text) or vocabulary.FLAIR.search(sequence)),
        stir=bool(vocabulary.STIR.search(text)) or str(header.get("AcquisitionContrast") or "").upper() == "STIR",
        dixon_in_phase=(dixon and bool(vocabulary.DIXON_IN.search(text))) or _in_phase(image_type),
        fat_suppressed=_fat_suppressed(header, text, image_type, dixon),
        part_of=_part_of(text, image_type, dixon, is_one_volume=bool(header.get("VolumeOfSeries"))),
        derived=image_type[:2] == ["DERIVED", "SECONDARY"],
        contrast=contrast,
        contrast_because=because,
        contrast_named=contrast == "given" and bool(vocabulary.CONTRAST_SAID.search(_without_treatment(text))),
    )


def _image_type(header: Mapping[str, Any]) -> list[str]:
    """Return the values of Image Type in capitals, also where a converter joined them; IN_PHASE is no phase image."""
    values = [part.upper() for part in parts_of(header.get("ImageType"))]
    return [
        value for at, value in enumerate(values) if not (value == "PHASE" and at and values[at - 1] in ("IN", "IP"))
    ]


def _names(header: Mapping[str, Any]) -> tuple[str, str]:
    """Return description and protocol; GE's protocol names the examination: it is used for a series without a name."""
    description = str(header.get("SeriesDescription") or "").strip()
    protocol = str(header.get("ProtocolName") or "").strip()
    examination = str(header.get("Manufacturer") or "").upper().startswith("GE")
    return description, "" if examination and description else protocol


def _weightings(
    header: Mapping[str, Any], description: str, protocol: str, sequence: str, image_type: list[str]
) -> tuple[frozenset[str], int]:
    named = _weightings_in(vocabulary.plain_text(description)) or _weightings_in(vocabulary.plain_text(protocol))
    places = [named, _weightings_in(sequence)]
    contrast = str(header.get("AcquisitionContrast") or "").upper()
    stated = {contrast} & {"T1", "T2"} or set(image_type[2:]) & {"T1", "T2"}
    if stated:
        places.append(stated)
    stating = [place for place in places if place]
    if named and len(named) == 1:
        return frozenset(named), sum(place == named for place in stating)
    together = frozenset().union(*stating)
    return together, len(stating)


def _weightings_in(text: str) -> set[str]:
    weightings = {kind for kind, pattern in (("T1", vocabulary.T1), ("T2", vocabulary.T2)) if pattern.search(text)}
    # Only without a stated weighting: the name of a sequence is the weaker statement.
    if not weightings and vocabulary.T1_SEQUENCE.search(text):
        return {"T1"}
    if not weightings and vocabulary.T2_SEQUENCE.search(text):
        return {"T2"}
    return weightings


def _not_a_role(
    header: Mapping[str, Any],
    text: str,
    sequence: str,
    image_type: list[str],
    weightings: frozenset[str],
    dixon: bool,
) -> str | None:
    sop_class = str(header.get("SOPClassUID") or "")
    modality = str(header.get("Modality") or "MR").upper()
    if (sop_class and sop_class not in MR_CLASSES) or modality != "MR":
        return message("kind.not_an_mr")
    photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2").upper()
    if not photometric.startswith("MONOCHROME"):
        return message("kind.colour", photometric=photometric)
    for value in image_type:
        if value in IMAGE_TYPES and not (value in SHORT_IMAGE_TYPES and value not in image_type[2:]):
            return message("kind.image_type", what=message(f"kind.{IMAGE_TYPES[value]}"), value=value)
        if value.startswith(("MIP", "PROJECTION", "METABOLITE", "PERFUSION", "DIFFUSION")):
            return message("kind.projection_or_map", value=value)
    component = str(header.get("ComplexImageComponent") or "").upper()
    if component in NOT_MAGNITUDE:
        return message("kind.component", what=message(f"kind.{NOT_MAGNITUDE[component]}"), component=component)
    contrast = str(header.get("AcquisitionContrast") or "").upper()
    # A "T1 FLAIR" has FLUID_ATTENUATED contrast and is a T1w series.
    if contrast in ACQUISITION_CONTRASTS and not (contrast == "FLUID_ATTENUATED" and "T1" in weightings):
        return message("kind.contrast", what=message(f"kind.{ACQUISITION_CONTRASTS[contrast]}"), contrast=contrast)
    if str(header.get("AngioFlag") or "").upper() == "Y":
        return message("kind.angio_flag")
    # Names last: what the header states in defined terms is surer than a word in a description.
    for meaning, pattern in vocabulary.NOT_A_ROLE.items():
        word = pattern.search(text) or pattern.search(sequence)
        # A dual-echo series is named "PD/T2": its weighting is settled by the echo time.
        if word and not (meaning.startswith("proton") and "T2" in weightings):
            return message("kind.named", what=message(f"kind.{meaning}"), name=word.group(0).strip())
    if vocabulary.PRODUCT_OF_A_SERIES.match(str(header.get("SeriesDescription") or "")):
        return message("kind.product")
    if dixon and _rejected_phase(text):
        return message("kind.dixon_rejected")
    return None


def _rejected_phase(text: str) -> bool:
    # One series of a Dixon acquisition may name several images; with a usable one among them it is not excluded.
    if vocabulary.DIXON_IN.search(text) or vocabulary.DIXON_WATER.search(text):
        return False
    # "fat sat" contains "fat": the words of fat suppression are removed first.
    return bool(vocabulary.DIXON_REJECTED.search(vocabulary.FAT_SUPPRESSED.sub(" ", text)))


def _part_of(text: str, image_type: list[str], dixon: bool, is_one_volume: bool) -> str | None:
    if _reformatted(text, image_type):
        return message("kind.reformatted")
    if "COMBINED" in image_type[2:]:
        return message("kind.combination")
    if vocabulary.MP2RAGE.search(text):
        return message("kind.mp2rage")
    if vocabulary.DYNAMIC.search(text):
        return message("kind.dynamic_phase")
    # The images of such a series are told apart where they are stored; this is one of them then.
    if dixon and not is_one_volume and vocabulary.SEVERAL_IMAGES.search(text):
        return message("kind.all_dixon")
    return None


def _reformatted(text: str, image_type: list[str]) -> bool:
    """Return whether it is a reformat; by name only without ORIGINAL, because Siemens names an MPRAGE t1_mpr_sag."""
    if "MPR" in image_type or "REFORMATTED" in image_type:
        return True
    return "ORIGINAL" not in image_type and bool(vocabulary.REFORMAT.search(text))


def _in_phase(image_type: list[str]) -> bool:
    return "IP" in image_type or "IN" in image_type


def _fat_suppressed(header: Mapping[str, Any], text: str, image_type: list[str], dixon: bool) -> bool:
    options = {part.upper() for part in parts_of(header.get("ScanOptions"))}
    stated = str(header.get("SpectrallySelectedSuppression") or "").upper()
    water = "W" in image_type or "WATER" in image_type or (dixon and bool(vocabulary.DIXON_WATER.search(text)))
    return (
        "FS" in options or stated in ("FAT", "FAT_AND_WATER") or water or bool(vocabulary.FAT_SUPPRESSED.search(text))
    )


def _without_treatment(text: str) -> str:
    """Return names without "post op" and the like, which do not mean "after contrast"."""
    return vocabulary.POST_TREATMENT.sub(" ", text)


def recorded_agents(header: Mapping[str, Any]) -> list[str]:
    """Return the recorded contrast agents of a header; a text that denies one is none."""
    text = str(header.get("ContrastBolusAgent") or "").strip()
    if not vocabulary.denies_agent(text):
        return [text]
    sequence = header.get("ContrastBolusAgentSequence")
    items = sequence if isinstance(sequence, list | tuple) else [sequence] if sequence else []
    return [str(item) for item in items if not vocabulary.denies_agent(item)]


def _contrast(header: Mapping[str, Any], text: str) -> tuple[Contrast, str]:
    agents = recorded_agents(header)
    stated = bool(agents)
    names = _without_treatment(text)
    with_and_without = vocabulary.CONTRAST_WITH_AND_WITHOUT.search(names)
    # Denial before statement: "non contrast" contains "contrast".
    denied = None if with_and_without else vocabulary.CONTRAST_DENIED.search(names)
    said = None if denied else vocabulary.CONTRAST_SAID.search(names)
    if denied:
        because = message("contrast.named", name=denied.group(0).strip())
        return ("contradictory", message("contrast.recorded_but", because=because)) if stated else ("denied", because)
    if stated:
        return "given", message("contrast.recorded", agents=", ".join(agents)[:40])
    if with_and_without:
        return "contradictory", message("contrast.with_and_without", name=with_and_without.group(0).strip())
    if said:
        return "given", message("contrast.named", name=said.group(0).strip())
    if vocabulary.CONTRAST_UNCLEAR.search(names):
        return "contradictory", message("contrast.lone_c")
    return "unsaid", message("contrast.none")
