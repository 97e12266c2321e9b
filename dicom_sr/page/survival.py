"""The numbers of the first page: natural frequencies with icon arrays, rates with intervals, and curves over time."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.collections import LineCollection

from config.indication.conventions import MONTHS_PER_YEAR, whole_years
from config.indication.vocabulary import TreatmentArm
from dicom_sr.page.boxes import Box
from dicom_sr.page.canvas import PageCanvas
from dicom_sr.page.page_words import page_words
from dicom_sr.report import numbers
from dicom_sr.report.plain_text import difference_text, ebv_condition, regimen_name
from dicom_sr.report.report_inputs import DfsCurves
from dicom_sr.report.treatment_report import ArmResult, Scenario, TreatmentReport
from dicom_sr.report.wording import Wording, horizon

# The regimens also differ in shape and in the style of their lines, so that a grey print tells them apart.
MARKERS = {TreatmentArm.ICT_CCRT: "o", TreatmentArm.CCRT: "s"}
LINE_STYLES = {TreatmentArm.ICT_CCRT: "-", TreatmentArm.CCRT: (0, (5, 2))}
N_ICONS, ICON_COLUMNS = 100, 25
ARRAY_GAP = 36.0


def arms_of(scenario: Scenario) -> tuple[ArmResult, ArmResult]:
    """Return both regimens of a scenario, in the order in which every list has them."""
    return scenario.ict_ccrt, scenario.ccrt


def of_hundred(result: ArmResult, months: int) -> int:
    """Return how many of 100 patients are free of disease.

    Parameters
    ----------
    result : ArmResult
        Its displayed rate counts.
    months : int
        One of the report's horizons.

    Returns
    -------
    int
        0 to 100; half a patient is rounded up.
    """
    return int(result.dfs[months].value * N_ICONS + 0.5 + 1e-9)


def frequencies_height(canvas: PageCanvas, report: TreatmentReport) -> float:
    """Return the height that `frequencies` needs.

    Parameters
    ----------
    canvas : PageCanvas
        Measures the text.
    report : TreatmentReport
        A computed report: each scenario has its own icons.

    Returns
    -------
    float
        In canvas units.
    """
    return len(report.scenarios) * _scenario_height(canvas, report) + canvas.line_height(16) + 2


def _cell(report: TreatmentReport) -> float:
    return 18.0 if len(report.scenarios) == 1 else 13.0


def _scenario_height(canvas: PageCanvas, report: TreatmentReport) -> float:
    rows = N_ICONS // ICON_COLUMNS
    condition = canvas.line_height(17) if len(report.scenarios) > 1 else 0.0
    return condition + canvas.line_height(20) + rows * _cell(report) + 10


def frequencies(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> None:
    """Draw how many of 100 such patients are free of disease with each regimen, as a sentence and as icons.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        As high as `frequencies_height` says.
    report : TreatmentReport
        A computed report.
    words : Wording
        Wording of the language.

    References
    ----------
    Gigerenzer and Edwards, BMJ 2003;327:741 (natural frequencies with one denominator).
    """
    on_page, months = page_words(words), report.model.horizon_months
    y = box.y
    for scenario in report.scenarios:
        if len(report.scenarios) > 1:
            y = canvas.fitted(box, y, f"{ebv_condition(report, scenario, words)}:", 17, bold=True)
        counts = [of_hundred(result, months) for result in arms_of(scenario)]
        sentence = of_hundred_text(report, scenario, words)
        y = canvas.fitted(box, y, sentence, 20, bold=len(report.scenarios) == 1, smallest=15) + 4
        for half, result, count in zip(box.columns(2, ARRAY_GAP), arms_of(scenario), counts, strict=True):
            _icon_array(canvas, Box(half.x, y, half.width, 0), result.arm, count, _cell(report), words)
        y += N_ICONS // ICON_COLUMNS * _cell(report) + 6
    shapes = "\u25cf \u25a0", "\u25cb \u25a1"
    key = f"{shapes[0]} {on_page.free}      {shapes[1]} {on_page.not_free}"
    canvas.text(box.x, y, key, 16, canvas.palette.dim)


def of_hundred_text(report: TreatmentReport, scenario: Scenario, words: Wording) -> str:
    """Write how many of 100 such patients are free of disease with each regimen."""
    months = report.model.horizon_months
    ict, ccrt = (of_hundred(result, months) for result in arms_of(scenario))
    return page_words(words).of_hundred.format(ict=ict, ccrt=ccrt, time=time_text(months, words))


def time_text(months: int, words: Wording) -> str:
    """Write a horizon as a time: "5 years", or "30 months"."""
    years = whole_years(months)
    on_page = page_words(words)
    return on_page.n_months.format(n=months) if years is None else on_page.n_years.format(n=years)


def _icon_array(canvas: PageCanvas, box: Box, arm: TreatmentArm, count: int, cell: float, words: Wording) -> None:
    """Draw 100 icons in rows from the top left: those free of disease filled, the others hollow."""
    name = regimen_name(arm, words)
    name_width = canvas.text_width(words.regimen_ict, 16, bold=True) + 10
    color = canvas.arm_color(arm)
    canvas.text(box.x, box.y, name, 16, color, bold=True)
    canvas.text(box.x, box.y + canvas.line_height(16) - 2, str(count), 26 if cell > 15 else 20, color, bold=True)
    pitch = min(cell, (box.width - name_width) / ICON_COLUMNS)
    places = [
        (box.x + name_width + pitch * (i % ICON_COLUMNS + 0.5), box.y + cell * (i // ICON_COLUMNS + 0.5))
        for i in range(N_ICONS)
    ]
    size = canvas.points(pitch * 0.66)
    for shown, filled in ((places[:count], True), (places[count:], False)):
        if shown:
            xs, ys = zip(*shown, strict=True)
            canvas.drawing.plot(
                xs, ys, MARKERS[arm], ms=size, mec=color if filled else canvas.palette.dim, mew=1.0,
                mfc=color if filled else "none", linestyle="",
            )  # fmt: skip


def rates_height(canvas: PageCanvas, report: TreatmentReport, width: float, words: Wording) -> float:
    """Return the height that `rates` needs.

    Parameters
    ----------
    canvas : PageCanvas
        Measures the text.
    report : TreatmentReport
        A computed report.
    width : float
        Of the table, in canvas units: the names of two categories of EBV DNA may need a second line.
    words : Wording
        Wording of the language.

    Returns
    -------
    float
        In canvas units.
    """
    height = canvas.line_height(17) + 4
    for scenario in report.scenarios:
        height += 3 * canvas.line_height(20) + 2
        if len(report.scenarios) > 1:
            height += canvas.fitted_height(width, _category_text(report, scenario, words), 17, True, 14)
    return height


def _category_text(report: TreatmentReport, scenario: Scenario, words: Wording) -> str:
    """Name a category of EBV DNA, with its frequencies, whose icons are on the next page."""
    frequencies = f": {of_hundred_text(report, scenario, words)}" if report.is_valid else ""
    return f"{ebv_condition(report, scenario, words)}{frequencies}"


def rates(canvas: PageCanvas, box: Box, report: TreatmentReport, words: Wording) -> None:
    """Draw the table of rates: both regimens and their difference, latest horizon first, with 95 % intervals.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        As high as `rates_height` says.
    report : TreatmentReport
        A computed report.
    words : Wording
        Wording of the language.
    """
    months = sorted(report.horizons_months, reverse=True)
    names_width = (
        max(canvas.text_width(words.regimen_ict, 19, True) + 30, canvas.text_width(words.difference_points, 18)) + 16
    )
    head, rest = box.split(canvas.line_height(17) + 2)
    names, table = rest.beside(names_width, 0)
    for column, each in zip(_columns(head, names_width, len(months)), months, strict=True):
        text = f"{horizon(each, words)} ({words.ci})"
        canvas.fitted(column, head.y, text, 17, canvas.palette.dim, smallest=11)
    canvas.rule(box.x, head.bottom, box.width)
    y = head.bottom + 2
    for scenario in report.scenarios:
        if len(report.scenarios) > 1:
            y = canvas.fitted(box, y, _category_text(report, scenario, words), 17, bold=True, smallest=14)
        for result in arms_of(scenario):
            color = canvas.arm_color(result.arm)
            middle = y + canvas.line_height(20) / 2
            canvas.drawing.plot([box.x + 9], [middle], MARKERS[result.arm], color=color, ms=9, mec="none")
            canvas.text(names.x + 26, y, regimen_name(result.arm, words), 19, color, bold=True)
            for column, each in zip(table.columns(len(months)), months, strict=True):
                _rate(canvas, column, y, result, each, color, words)
            y += canvas.line_height(20)
        canvas.text(box.x, y + 1, words.difference_points, 18)
        for column, each in zip(table.columns(len(months)), months, strict=True):
            canvas.fitted(column, y + 1, difference_text(scenario, each, words), 18, bold=True, smallest=11)
        y += canvas.line_height(20)
        canvas.rule(box.x, y, box.width)
        y += 2


def _columns(head: Box, names_width: float, n: int) -> list[Box]:
    return head.beside(names_width, 0)[1].columns(n)


def _rate(
    canvas: PageCanvas, column: Box, y: float, result: ArmResult, months: int, color: str, words: Wording
) -> None:
    """Draw a rate in large letters and its interval beside it."""
    estimate = result.dfs[months]
    figure, interval = f"{numbers.percent(estimate.value)} %", numbers.interval(estimate.ci95, words.interval)
    size = 22.0
    while (
        size > 12 and canvas.text_width(figure, size, True) + canvas.text_width(interval, size - 4) + 12 > column.width
    ):
        size -= 0.5
    canvas.text(column.x, y - 2 + (22 - size) * 0.6, figure, size, color, bold=True)
    canvas.text(column.x + canvas.text_width(figure, size, True) + 10, y + 2 + (22 - size) * 0.6, interval, size - 4)


def curves(canvas: PageCanvas, box: Box, report: TreatmentReport, shown: Sequence[DfsCurves], words: Wording) -> None:
    """Draw survival over time under both regimens, with the intervals at the horizons; one panel per scenario.

    Parameters
    ----------
    canvas : PageCanvas
        The page.
    box : Box
        At least 150 units high.
    report : TreatmentReport
        A computed report.
    shown : sequence of DfsCurves
        Without one the panel has only the rates at the horizons.
    words : Wording
        Wording of the language.
    """
    canvas.fitted(box, box.y, page_words(words).curves, 17, bold=True, smallest=12)
    body = box.split(canvas.line_height(17) + 2)[1]
    by_category = {each.ebv_category: each for each in shown}
    for panel, scenario in zip(body.columns(len(report.scenarios), 40), report.scenarios, strict=True):
        if len(report.scenarios) > 1:
            y = canvas.fitted(panel, panel.y, ebv_condition(report, scenario, words), 15, smallest=11)
            panel = panel.split(y - panel.y)[1]
        _panel(canvas, panel, scenario, by_category.get(scenario.ebv_category), words)


def _panel(canvas: PageCanvas, box: Box, scenario: Scenario, curve: DfsCurves | None, words: Wording) -> None:
    last = max(scenario.ict_ccrt.dfs)
    plot = Box(box.x + 40, box.y + 8, box.width - 56, box.height - 8 - canvas.line_height(15) - 6)

    def at(months: float, dfs: float) -> tuple[float, float]:
        return plot.x + plot.width * months / last, plot.bottom - plot.height * dfs

    # In a low panel large marks would hide the intervals.
    palette, mark = canvas.palette, min(8.0, plot.height / 22)
    grid = [[at(0, level / 100), at(last, level / 100)] for level in (0, 25, 50, 75, 100)]
    canvas.drawing.add_collection(LineCollection(grid, colors=palette.line, linewidths=0.6, zorder=1), autolim=False)
    for level in (0, 50, 100):
        y = at(0, level / 100)[1] - canvas.line_height(15) / 2
        canvas.text(plot.x - 6, y, str(level), 15, palette.dim, align="right")
    for year in range(int(last // MONTHS_PER_YEAR) + 1):
        x = at(year * MONTHS_PER_YEAR, 0)[0]
        canvas.text(x, plot.bottom + 3, str(year), 15, palette.dim, align="center")
    for shift, result in zip((-3.0, 3.0), arms_of(scenario), strict=True):
        color = canvas.arm_color(result.arm)
        if curve is not None:
            steps = [at(m, p) for m, p in zip(curve.months, curve.dfs[result.arm], strict=True) if m <= last]
            xs, ys = zip(*steps, (plot.x + plot.width, steps[-1][1]), strict=True)
            canvas.drawing.plot(
                xs, ys, color=color, lw=2.2, drawstyle="steps-post", linestyle=LINE_STYLES[result.arm], zorder=2
            )
        for months, estimate in result.dfs.items():
            x, y = at(months, estimate.value)
            ends = [at(months, end)[1] for end in estimate.ci95]
            bars = [
                [(x + shift, ends[0]), (x + shift, ends[1])],
                *([(x + shift - 4, e), (x + shift + 4, e)] for e in ends),
            ]
            canvas.drawing.add_collection(
                LineCollection(bars, colors=color, linewidths=2.0, zorder=3), autolim=False
            )  # fmt: skip
            canvas.drawing.plot(
                [x], [y], MARKERS[result.arm], color=color, ms=mark, mec=palette.paper, mew=mark / 8, zorder=4
            )
