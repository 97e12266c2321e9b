"""Nasopharyngeal carcinoma T3N1M0: induction chemotherapy before concurrent chemoradiotherapy, or not.

Source: Zhong et al., EBioMedicine 2021;70:103522.
"""

from __future__ import annotations

from config.indication.profile import Biomarker, DecisionRule, Indication, StageGate
from config.indication.vocabulary import Endpoint, SeriesRole, TreatmentArm

NASOPHARYNX = Indication(
    name="nasopharynx-t3n1m0",
    disease="nasopharyngeal carcinoma",
    stage=StageGate(t="T3", n="N1", m="M0", edition="8"),
    arms=(TreatmentArm.ICT_CCRT, TreatmentArm.CCRT),
    series_roles=(SeriesRole.T1W, SeriesRole.T2W, SeriesRole.CE_T1W),
    feature_order=(SeriesRole.T1W, SeriesRole.CE_T1W, SeriesRole.T2W),
    biomarker=Biomarker(name="EBV DNA", specimen="plasma", unit="copies/mL", threshold=4000.0),
    endpoints=(Endpoint.DFS, Endpoint.OS, Endpoint.DMFS, Endpoint.LRRFS),
    horizons_months=(36, 60),
    decision=DecisionRule(horizon_months=60, threshold=0.0),
)
