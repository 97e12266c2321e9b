"""Scores and scenarios from the measurement groups of both layouts.

Groups are told apart by the measurements and codes in them, not by their tracking identifiers, which are text. In
layout 1 the numbers of all regimens and categories had the same codes (`result_codes.earlier_dfs`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydicom import Dataset

from config.indication.vocabulary import Answer, AnswerGround, EbvCategory, TreatmentArm
from dicom_sr.coding import codes, result_codes
from dicom_sr.coding.concept import PRIVATE_SCHEME, Concept
from dicom_sr.coding.result_codes import HIGH, LOW
from dicom_sr.reading import content_tree as tree
from dicom_sr.reading.content_tree import decoded
from dicom_sr.report.errors import UnreadableReportError
from dicom_sr.report.treatment_report import ArmResult, DfsEstimate, ErrorOfScores, Scenario, Scores

Group = dict[tree.CodeKey, Dataset]


def horizons(details: Dataset) -> Iterator[int]:
    """Yield the reported horizons in months, in the order of the document."""
    for item in details.get("ContentSequence") or ():
        value, scheme = tree.key_of(item.get("ConceptNameCodeSequence")) or ("", "")
        is_coded = value.startswith(result_codes.HORIZON_PREFIX) and scheme == PRIVATE_SCHEME
        if is_coded or (value, scheme) == result_codes.EARLIER_HORIZON.key:
            yield int(tree.number_value(item))


def scores(groups: Sequence[Dataset]) -> Scores | None:
    """Return both scores with their errors; None where no group has them."""
    group = next((each for each in groups if tree.first(each, codes.PROGNOSTIC_SCORE) is not None), None)
    if group is None:
        return None
    error = None
    if tree.first(group, codes.MODELS) is not None:
        error = ErrorOfScores(
            int(tree.required_number(group, codes.MODELS)),
            tree.required_number(group, codes.PROGNOSTIC_SE),
            tree.required_number(group, codes.PREDICTIVE_SE),
            tree.required_number(group, codes.SCORES_CORRELATION),
            tree.required_number(group, codes.SCORES_DF),
        )
    return Scores(
        tree.required_number(group, codes.PROGNOSTIC_SCORE),
        tree.required_number(group, codes.PREDICTIVE_SCORE),
        error,
    )


def scenarios(groups: Sequence[Dataset], evaluations: Dataset, months: Sequence[int]) -> Iterator[Scenario]:
    """Yield the scenario of each comparison group.

    Parameters
    ----------
    groups : sequence of Dataset
        All measurement groups.
    evaluations : Dataset
        The container of the qualitative evaluations, for the answers.
    months : sequence of int
        The horizons.

    Yields
    ------
    Scenario
        In the order of the document.

    Raises
    ------
    UnreadableReportError
        A regimen's group or one of its numbers is missing.
    """
    # By code, once: a group of a regimen has a dozen numbers, each under one of several codes.
    coded = [_by_code(group) for group in groups]
    for comparison in coded:
        # Both kinds of group name their category; only that of a regimen names a regimen.
        category = _code_of(comparison, codes.EBV_ASSUMED)
        if category is None or codes.REGIMEN.key in comparison:
            continue
        ebv_category = decoded(category, codes.EBV_CATEGORIES)
        arms = {
            _code_of(group, codes.REGIMEN): group
            for group in coded
            if codes.REGIMEN.key in group and _code_of(group, codes.EBV_ASSUMED) == category
        }
        ground = _code_of(comparison, codes.GROUND)
        intervals = {month: _difference_interval(comparison, month, ebv_category) for month in months}
        yield Scenario(
            ebv_category,
            _arm(TreatmentArm.ICT_CCRT, ebv_category, arms, months),
            _arm(TreatmentArm.CCRT, ebv_category, arms, months),
            _answer(evaluations, ebv_category),
            {month: interval for month, interval in intervals.items() if interval is not None},
            AnswerGround.POINT_DIFFERENCE if ground is None else decoded(ground, codes.GROUNDS),
        )


def _by_code(group: Dataset) -> Group:
    items: Group = {}
    for child in group.get("ContentSequence") or ():
        if (key := tree.key_of(child.get("ConceptNameCodeSequence"))) is not None:
            items.setdefault(key, child)
    return items


def _code_of(group: Group, name: Concept) -> tree.CodeKey | None:
    item = group.get(name.key)
    return None if item is None else tree.key_of(item.get("ConceptCodeSequence"))


def _answer(evaluations: Dataset, category: EbvCategory) -> Answer:
    # The answer of a category is written only where the categories differ.
    by_category = tree.code(evaluations, codes.RECOMMENDED_BY_CATEGORY[category])
    return decoded(by_category or tree.code(evaluations, codes.RECOMMENDED_REGIMEN), codes.ANSWERS)


def _arm(
    arm: TreatmentArm,
    category: EbvCategory,
    arms: Mapping[tree.CodeKey | None, Group],
    months: Sequence[int],
) -> ArmResult:
    group = arms.get(codes.REGIMENS[arm].key)
    if group is None:
        raise UnreadableReportError(f"expected a measurement group for {arm.value}, found none")
    points = {}
    for factor, earlier in result_codes.EARLIER_POINTS.items():
        names = [result_codes.points(factor, arm, assumed) for assumed in (None, category)]
        if (item := _first_of(group, [*names, earlier])) is not None:
            points[factor] = tree.number_value(item)
    totals = [result_codes.total_points(arm, assumed) for assumed in (None, category)]
    total = _required_of(group, [*totals, result_codes.EARLIER_TOTAL_POINTS])
    return ArmResult(arm, points, total, {month: _estimate(group, month, arm, category) for month in months})


def _estimate(group: Group, months: int, arm: TreatmentArm, category: EbvCategory) -> DfsEstimate:
    value, low, high = (
        _required_of(group, [*(result_codes.dfs(months, arm, assumed, end) for assumed in (None, category)), earlier])
        / 100
        for end, earlier in zip((None, LOW, HIGH), result_codes.earlier_dfs(months), strict=True)
    )
    return DfsEstimate.rounded(value, low, high)


def _difference_interval(group: Group, months: int, category: EbvCategory) -> tuple[float, float] | None:
    _, *earlier = result_codes.earlier_difference(months)
    low, high = (
        _first_of(group, [*(result_codes.difference(months, assumed, end) for assumed in (None, category)), name])
        for end, name in zip((LOW, HIGH), earlier, strict=True)
    )
    if low is None or high is None:
        return None
    return tree.number_value(low) / 100, tree.number_value(high) / 100


def _first_of(group: Group, names: Sequence[Concept]) -> Dataset | None:
    return next((group[name.key] for name in names if name.key in group), None)


def _required_of(group: Group, names: Sequence[Concept]) -> float:
    item = _first_of(group, names)
    if item is None:
        raise UnreadableReportError(f"expected the content item {names[0].meaning!r} ({names[0].value}), found none")
    return tree.number_value(item)
