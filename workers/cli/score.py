"""`cptdn score`: the computation on files, without network and ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import IneligibleStudyError, InputError
from node.cases.assessment import Assessment, CaseInputs, StoredInstance, assess_inputs
from node.cases.clinical_facts import ClinicalFacts, DiagnosisFact, EbvResult, Provenance, StageFact, StageValue
from node.cases.diagnosis import read_diagnosis
from node.cli.context import print_json, series_by_role, settings_of

if TYPE_CHECKING:
    from config.settings import Settings
    from dicom_sr.report.treatment_report import TreatmentReport


def score(
    ctx: typer.Context,
    series: Annotated[list[Path], typer.Argument(metavar="SERIES_FOLDERS...", help="Folders or files of the study.")],
    rtstruct: Annotated[Path, typer.Option(help="The RTSTRUCT (or SEG) with the primary tumour.")],
    age: Annotated[
        float | None, typer.Option(help="Years (default: from the images' birth date and study date).")
    ] = None,
    ebv_dna: Annotated[str, typer.Option(help="Copies/mL: 5000, >4000, <400, not-detected or unknown.")] = "unknown",
    stage: Annotated[str | None, typer.Option(help="Clinical stage; without it, it is not checked.")] = None,
    ajcc: Annotated[str | None, typer.Option("--ajcc", help="Edition of the stage (default: the site's, 8).")] = None,
    ene: Annotated[str | None, typer.Option("--ene", metavar="yes|no", help="Advanced extranodal extension.")] = None,
    diagnosis: Annotated[
        str | None, typer.Option(help="A code or a text, C11.9; without it and in the images, it is not checked.")
    ] = None,
    confirm: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="A question that is answered: it is right as it is.")
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=SERIES", help="T1w, T2w or CE-T1w = UID, UID:VOLUME or UID+UID, as classify shows."),
    ] = None,
    bundle: Annotated[str | None, typer.Option(help="Model bundle (default: as configured).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Score one study from its files: both arms' disease-free survival and the recommended regimen.

    Example: cptdn score mr/t1 mr/t2 mr/t1c --rtstruct rtstruct.dcm --age 46 --ebv-dna 5000 --json
    """
    from dicom_sr.report.json_form import to_json
    from dicom_sr.report.plain_text import plain_text

    settings = settings_of(ctx)
    facts = stated_facts(settings, ebv_dna, stage, ajcc, ene, diagnosis)
    report = score_files(settings, series, rtstruct, age, facts, bundle, confirm or (), series_by_role(role or ()))
    if as_json:
        print_json(to_json(report))
    else:
        typer.echo(plain_text(report, settings.report.language))


def score_files(
    settings: Settings,
    series: Sequence[Path],
    rtstruct: Path,
    age_years: float | None,
    facts: ClinicalFacts,
    bundle_name: str | None = None,
    confirmed: Sequence[str] = (),
    assigned: Mapping[str, str] | None = None,
) -> TreatmentReport:
    """Score a study from its files.

    Parameters
    ----------
    settings : Settings
        Rules, decision, model.
    series : sequence of Path
        Folders or files of the images.
    rtstruct : Path
        RTSTRUCT or SEG.
    age_years : float or None
        In place of the age in the images.
    facts : ClinicalFacts
        As of `stated_facts`; without stage or diagnosis these are not checked and the report says so.
    bundle_name : str or None
        In place of the configured bundle.
    confirmed : sequence of str
        Reason codes of questions that are answered.
    assigned : mapping of role to key, optional
        Series or volumes that are to be used (see `SeriesSummary.key`).

    Returns
    -------
    TreatmentReport
        As the service would report it.

    Raises
    ------
    IneligibleStudyError
        The rules do not admit the study.
    InputError
        The files are not the MR series of one study.
    """
    from config.bundle_admission import require_admitted
    from config.bundle_signature import trust_of
    from config.decision_policy import policy_for_manifest
    from dicom_sr.header.copied_values import with_header_findings
    from dicom_sr.report.report_inputs import SourceStudy
    from node.dicom.headers.conforming import read_conforming
    from node.ledger.database import now_utc
    from node.store.pixel_digests import pixel_digests
    from workers.bundles.bundle import load_bundle
    from workers.pipeline.computation import analyse_study, prepare_study
    from workers.pipeline.prediction import predict_survival
    from workers.pipeline.report_values import (
        draft_report,
        implausible_reasons,
        refuse_before_networks,
        refuse_out_of_distribution,
    )
    from workers.plausibility.measures import study_measures

    stored, files = _stored([*_files(series), rtstruct])
    studies = sorted(
        {str(instance.header["StudyInstanceUID"]) for instance in stored if instance.header.get("Modality") == "MR"}
    )
    # The node groups by study, too: series of two studies were acquired at different times.
    if len(studies) != 1:
        raise InputError(f"expected the MR series of one study, found {len(studies)}: {', '.join(studies) or 'none'}")
    stored = _with_age(stored, age_years)
    # Without a stage or a diagnosis these cannot be checked here; the report says so.
    lenient = settings.eligibility.model_copy(update={"stage_unknown": "report_unverified", "diagnosis": "assume"})
    settings = settings.model_copy(update={"eligibility": lenient})
    now = now_utc()
    images = tuple(instance for instance in stored if instance.header.get("Modality") == "MR")
    related = tuple(instance for instance in stored if instance.header.get("Modality") != "MR")
    inputs = CaseInputs(
        studies[0], images, related=related, facts=facts, assignments=dict(assigned or {}),
        pixel_digest_of=pixel_digests(files),
    )  # fmt: skip
    bundle = load_bundle(bundle_name or settings.model.bundle, trust_of(settings.model))
    require_admitted(bundle.manifest.content, bundle.manifest.name)
    policy = policy_for_manifest(settings, bundle.manifest)
    assessment = assess_inputs(inputs, settings, policy, now)
    answered = {reason["code"]: reason for reason in assessment.reasons if reason["code"] in confirmed}
    if answered:
        answers = {
            code: {"text": reason["text"], "because": "--confirm", "by": "the command line"}
            for code, reason in answered.items()
        }
        assessment = assess_inputs(replace(inputs, confirmations=answers), settings, policy, now)
    if assessment.request is None:
        raise _not_ready(assessment)
    request = assessment.request
    if age_years is not None:
        # PatientAge has whole years (AS, PS3.5 6.2); the nomogram gets the age as it was entered.
        request = replace(request, age_years=age_years, age_source="given on the command line")
    material = prepare_study(request, files, bundle, settings.case)
    # Before the networks run, as in the service: intensities can refuse a study in a second.
    stops, questions = implausible_reasons(study_measures(material), bundle)
    refuse_before_networks(material, stops, settings)
    analysis = analyse_study(material, bundle, settings.model.device, with_variants=policy.stability)
    refuse_out_of_distribution(analysis.out_of_distribution, settings)
    nomogram = predict_survival(analysis, request, bundle, policy)
    report = draft_report(request, material, analysis, nomogram, bundle, policy, now, implausible=(*stops, *questions))
    first = next(uid for used in request.series.values() for uid, _ in used["instances"])
    header = read_conforming(files[first], stop_before_pixels=True)
    return with_header_findings(report, SourceStudy((header,), character_set=request.character_set))


def _not_ready(assessment: Assessment) -> IneligibleStudyError:
    reasons = assessment.reasons or ({"code": assessment.state, "text": f"the study is {assessment.state}"},)
    return IneligibleStudyError(reasons[0]["code"], " ".join(reason["text"] for reason in reasons))


def _files(series: Sequence[Path]) -> list[Path]:
    paths = [
        path for place in series for path in (sorted(place.rglob("*")) if place.is_dir() else [place]) if path.is_file()
    ]
    if not paths:
        raise InputError(f"expected DICOM files in {', '.join(map(str, series))}, found none")
    return paths


def _stored(paths: Sequence[Path]) -> tuple[list[StoredInstance], dict[str, Path]]:
    """Read the headers as the ledger would store them; InputError for a file that is not DICOM."""
    from pydicom.errors import InvalidDicomError

    from node.cases.headers import header_of
    from node.dicom.headers.conforming import read_conforming
    from node.ledger.database import now_utc

    stored, files = [], {}
    for path in paths:
        try:
            ds = read_conforming(path, stop_before_pixels=True)
        except (InvalidDicomError, OSError) as error:
            raise InputError(f"expected a DICOM file, found {path}: {error}") from error
        header = header_of(ds)
        uid = str(header.get("SOPInstanceUID", ""))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        stored.append(StoredInstance(uid, digest, now_utc(), header))
        files[uid] = path
    return stored, files


def _with_age(stored: Sequence[StoredInstance], age_years: float | None) -> list[StoredInstance]:
    """Return the instances as if the images contained this age; without one, unchanged."""
    if age_years is None:
        return list(stored)
    # The rules take the birth date first and PatientAge second (node/cases/eligibility.py), so the birth date is
    # emptied.
    age_attributes = {"PatientAge": f"{int(age_years):03d}Y", "PatientBirthDate": ""}
    return [replace(instance, header={**instance.header, **age_attributes}) for instance in stored]


def stated_facts(
    settings: Settings,
    ebv_dna: str = "unknown",
    stage: str | None = None,
    edition: str | None = None,
    ene: str | None = None,
    diagnosis: str | None = None,
) -> ClinicalFacts:
    """Build the facts that are stated with the command, by the parsers of every other source.

    Parameters
    ----------
    settings : Settings
        The site's default edition.
    ebv_dna : str
        Laboratory value, copies/mL.
    stage, edition, ene : str, optional
        As of `cptdn clinical set`.
    diagnosis : str, optional
        A code or a text.

    Returns
    -------
    ClinicalFacts
        With the provenance "given on the command line".

    Raises
    ------
    InputError
        A text that cannot be read.
    """
    from node.clinical.entries import diagnosis_entry, stage_entry

    provenance = Provenance("given on the command line")
    stage_fact = None
    if stage is not None:
        stage_fact = StageFact(StageValue(**stage_entry(settings, stage, edition, ene=ene).value), provenance)
    diagnoses = () if diagnosis is None else (diagnosis_entry(diagnosis).value["text"],)
    return ClinicalFacts(
        ebv_dna=(EbvResult(ebv_dna, provenance),),
        stage=stage_fact,
        diagnoses=tuple(DiagnosisFact(read_diagnosis(text), provenance) for text in diagnoses),
    )
