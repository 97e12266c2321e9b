"""Grey scales of members: templates learned from some of the patients whose landmarks were taken.

Patches are cut once, on the scale of all training patients. A member must not have seen the patients of its fold, their
histograms included, so it learns on the scale of its own patients; `intensity.rescaled` maps one to the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from config.arrays import FloatArray
from workers.volumes.intensity import IntensityTemplate


@dataclass(frozen=True)
class GreyScale:
    """The scale on which the patches of a cohort were cut.

    Attributes
    ----------
    templates : mapping of str to IntensityTemplate
        By role.
    landmarks : mapping of str to mapping of str to array, shape (n_percentiles,)
        By patient and role, of the training patients. Empty for saved patches, which were cut before: all members then
        share their scale.
    """

    templates: Mapping[str, IntensityTemplate]
    landmarks: Mapping[str, Mapping[str, FloatArray]] = field(default_factory=dict)

    def of(self, patient_ids: Sequence[str]) -> Mapping[str, IntensityTemplate]:
        """Return the templates of these patients by role; those of the cohort where no landmarks are known."""
        if not self.landmarks:
            return self.templates
        return {
            role: IntensityTemplate.from_landmarks([self.landmarks[name][role] for name in patient_ids], cohort.kind)
            for role, cohort in self.templates.items()
        }
