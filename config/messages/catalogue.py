"""Every message: key -> template in English and in Chinese. The key begins with the reason code or the room."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from config.messages import (
    condition_texts,
    contour_texts,
    delivery_texts,
    eligibility_texts,
    encoding_texts,
    figure_texts,
    form_texts,
    health_texts,
    image_texts,
    model_texts,
    notice_texts,
    plausibility_texts,
    purpose_texts,
    report_texts,
    role_texts,
    series_kind_texts,
    series_texts,
    stage_texts,
    system_texts,
    timeline_texts,
    withdrawal_texts,
    work_item_texts,
)
from config.messages.finding_reasons import FINDINGS
from config.messages.reasons import REASONS

_ROOMS = (
    condition_texts,
    contour_texts,
    delivery_texts,
    eligibility_texts,
    encoding_texts,
    figure_texts,
    form_texts,
    health_texts,
    image_texts,
    model_texts,
    notice_texts,
    plausibility_texts,
    purpose_texts,
    report_texts,
    role_texts,
    series_kind_texts,
    series_texts,
    stage_texts,
    system_texts,
    timeline_texts,
    withdrawal_texts,
    work_item_texts,
)

CATALOGUE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {key: texts for room in _ROOMS for key, texts in room.TEXTS.items()}
    | {f"reason.{code}": reason.short for code, reason in {**REASONS, **FINDINGS}.items()}
)
