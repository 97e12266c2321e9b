"""The text of the pages beside the answer: the foot of the first page, and all details for the pages after it."""

from __future__ import annotations

from config.indication.vocabulary import ConditionState, Severity
from config.messages.message import render
from dicom_sr.page.page_words import page_words
from dicom_sr.page.text_flow import Paragraph, item, title
from dicom_sr.page.verdict import SIGNS, differs_from_guidelines, warning_items
from dicom_sr.report.plain_text import decision_rule, input_rows
from dicom_sr.report.report_inputs import GuidelineText, ModelPerformance
from dicom_sr.report.treatment_report import TreatmentReport
from dicom_sr.report.wording import Wording

FOOT_SIZE, DETAIL_SIZE = 16.0, 14.5


def basis(report: TreatmentReport, words: Wording) -> list[Paragraph]:
    """Return what the numbers of the first page are computed from: contours and inputs.

    Parameters
    ----------
    report : TreatmentReport
        Any report; a withdrawal has none.
    words : Wording
        Wording of the language.
    """
    if report.withdrawal is not None:  # without inputs: one of them may be what was wrong
        return []
    # The contour is named first: whether the right one was used is what a planner can check at once.
    contours = "; ".join(f"{each.roi_name}, {words.slices.format(n=each.n_slices)}" for each in report.contours)
    on_page = page_words(words)
    lines = [Paragraph(f"{on_page.contour_used}: {contours}", FOOT_SIZE, bold=True)] if contours else []
    inputs = "; ".join(f"{name} {value}" for name, value, _ in input_rows(report, words))
    return [*lines, Paragraph(f"{words.inputs}: {inputs}", FOOT_SIZE)]


def foot(
    report: TreatmentReport, words: Wording, performance: ModelPerformance | None, guideline: GuidelineText | None
) -> list[Paragraph]:
    """Return how a reader may take the answer: guidelines, performance of the model, intended use.

    Parameters
    ----------
    report : TreatmentReport
        Any report.
    words : Wording
        Wording of the language.
    performance : ModelPerformance or None
        Of the model that computed the report.
    guideline : GuidelineText or None
        The site's.
    """
    lines: list[Paragraph] = []
    if report.withdrawal is None:  # a page that withdraws an answer names no regimen
        lines += guideline_lines(report, words, guideline, FOOT_SIZE)
    if report.computed:
        lines.append(Paragraph(performance_text(performance, words), FOOT_SIZE))
    lines.append(Paragraph(f"{words.intended_use}: {report.model.intended_use}", FOOT_SIZE))
    if report.withdrawal is not None:  # which has no page of details
        lines.append(Paragraph(f"{words.model}: {'; '.join(model_lines(report, words))}", FOOT_SIZE))
    return lines


def guideline_lines(
    report: TreatmentReport, words: Wording, guideline: GuidelineText | None, size: float
) -> list[Paragraph]:
    """Return what guidelines recommend, who says so, and whether the answer differs from it.

    Parameters
    ----------
    report : TreatmentReport
        Its answer and stage.
    words : Wording
        Wording of the language.
    guideline : GuidelineText or None
        The site's; None has the sentence of the program.
    size : float
        Text size in canvas units.
    """
    on_page = page_words(words)
    text = on_page.default_guideline
    if guideline is not None:
        signed = on_page.signed.format(source=guideline.source, date=guideline.date, signer=guideline.signer)
        text = f"{guideline.text} ({signed})"
    differs = differs_from_guidelines(report)
    text = f"{on_page.guidelines}: {text} {on_page.differs if differs else ''}".rstrip()
    return [Paragraph(text, size, bold=differs)]


def performance_text(performance: ModelPerformance | None, words: Wording) -> str:
    """Write how the model performed on cases that it had not seen.

    Parameters
    ----------
    performance : ModelPerformance or None
        C-index and calibration slope with 95 % intervals; None where the bundle states none.
    words : Wording
        Words of the language.

    Returns
    -------
    str
        One sentence.
    """
    on_page = page_words(words)
    if performance is None or performance.c_index is None:
        return on_page.performance_unknown
    slope = on_page.slope.format(slope=_figure(performance.slope, performance.slope_ci95, words))
    c_index = _figure(performance.c_index, performance.c_index_ci95, words)
    n = "-" if performance.n_cases is None else performance.n_cases
    return on_page.performance.format(
        group=render(performance.group, words.language), n=n, c_index=c_index, slope=slope
    )


def _figure(value: float | None, ci95: tuple[float, float] | None, words: Wording) -> str:
    if value is None:
        return "-"
    if ci95 is None:
        return f"{value:.2f}"
    return f"{value:.2f} ({words.interval.format(low=f'{ci95[0]:.2f}', high=f'{ci95[1]:.2f}')})"


def details(report: TreatmentReport, words: Wording) -> list[Paragraph]:
    """Return all details, for the pages after the first.

    Parameters
    ----------
    report : TreatmentReport
        Any report; of a withdrawal all is on the first page.
    words : Wording
        Wording of the language.

    Returns
    -------
    list of Paragraph
        Warnings in full, conditions with their grounds, inputs with their sources, model and training population.
    """
    if report.withdrawal is not None:
        return []
    size = DETAIL_SIZE
    lines = warning_items(report, words, tuple(Severity), size)
    lines += _conditions(report, words, size)
    lines.append(title(words.inputs, size + 1))
    for name, value, source in input_rows(report, words):
        lines.append(item(f"{name}: {value}{f' ({source})' if source else ''}", size))
    if report.computed:
        lines += [
            title(page_words(words).rule, size + 1),
            Paragraph(f"{decision_rule(report, words)}{words.stop}", size),
        ]
    lines.append(title(words.model, size + 1))
    lines += [Paragraph(text, size) for text in model_lines(report, words)]
    return [*lines, title(words.training, size + 1), Paragraph(report.model.training_population, size)]


def _conditions(report: TreatmentReport, words: Wording, size: float) -> list[Paragraph]:
    """Return the conditions of use with their grounds; of those that are met the names, since they need no action."""
    lines = [title(words.conditions, size + 1)] if report.conditions else []
    for condition in report.conditions:
        if condition.state is not ConditionState.MET:
            state, name = words.condition_states[condition.state], words.condition_titles[condition.code]
            is_bold = condition.state is ConditionState.NOT_MET
            lines.append(item(f"{name}: {state}{words.stop} {condition.text}", size, SIGNS[condition.state], is_bold))
    met = [words.condition_titles[each.code] for each in report.conditions if each.state is ConditionState.MET]
    if met:
        text = f"{words.condition_states[ConditionState.MET]}: {', '.join(met)}"
        lines.append(item(text, size, SIGNS[ConditionState.MET]))
    return lines


def model_lines(report: TreatmentReport, words: Wording) -> list[str]:
    """Return the lines that name bundle, software version and, where there is one, the nomogram's source."""
    model = report.model
    lines = [
        f"{model.name} {model.version}, {model.digest[:19]}",
        f"{page_words(words).software} {report.software_version}",
    ]
    return [*lines, *([model.nomogram_citation] if model.nomogram_citation else [])]
