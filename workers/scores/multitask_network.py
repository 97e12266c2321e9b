"""The multi-task network: from deep features of three sequences to Prognostic-score and Predictive-score.

    T1w, CE-T1w, T2w features (n, 3 x 512) ─ shared 4608 ReLU, dropout (keep 0.6) ┬─ 1536 ─ 512 ─────── 3 tanh prognosis
                                                                                  └─ 1536 ─ 512 x T/2 ─ 1 tanh response

The response branch is the modified covariate method: the hidden layer times T/2 (T = +1 ICT+CCRT, -1 CCRT), and no main
effect of the treatment.

References
----------
Zhong et al., EBioMedicine 2021;70:103522, section 2.3. Tian et al., JASA 2014;109:1517, section 2.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from config.indication.nasopharynx import NASOPHARYNX
from workers.scores.score_scale import ScoreScale

SEQUENCES = tuple(role.value for role in NASOPHARYNX.feature_order)  # order in which their features are concatenated
SHARED, BRANCH, LAST = 4608, 1536, 512  # at width 1
N_ENDPOINTS = len(NASOPHARYNX.component_endpoints)
DROPOUT = 0.4  # keep 0.6


@dataclass(frozen=True)
class ScoresArchitecture:
    """Everything that determines the shape of the multi-task network.

    Parameters
    ----------
    n_features : int
        Deep features of one sequence (512 times the width of the SE-ResNet).
    width : float
        Multiplies the hidden layers, in (0, 4]; 1 is the paper's.
    output_bias : bool
        The last layers have a bias: the scores are on the scale of a given nomogram, see `MultitaskNetwork.on_scale`.

    Raises
    ------
    ValueError
        A value is outside its range.
    """

    n_features: int = 512
    width: float = 1.0
    output_bias: bool = False

    def __post_init__(self) -> None:
        if self.n_features < 1:
            raise ValueError(f"n_features must be at least 1, found {self.n_features}")
        if not 0 < self.width <= 4:
            raise ValueError(f"width must be in (0, 4], found {self.width}")

    def units(self, at_width_one: int) -> int:
        """Return the size of a hidden layer of the paper at this width, at least 1."""
        return max(1, round(at_width_one * self.width))

    def to_json(self) -> dict[str, Any]:
        """Return plain values for the bundle's manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ScoresArchitecture:
        """Read what `to_json` wrote; raises ValueError or TypeError where it does not fit."""
        return cls(**document)


class MultitaskNetwork(nn.Module):
    """Shared layer, prognosis branch and response branch on the features of three sequences.

    Parameters
    ----------
    architecture : ScoresArchitecture
        Number of features and width.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, architecture: ScoresArchitecture) -> None:
        super().__init__()
        units = architecture.units
        self.architecture = architecture
        n_inputs = len(SEQUENCES) * architecture.n_features
        # Features are standardised with the training cohort's moments, which travel with the weights.
        self.register_buffer("feature_mean", torch.zeros(n_inputs))
        self.register_buffer("feature_scale", torch.ones(n_inputs))
        self.shared = nn.Sequential(nn.Linear(n_inputs, units(SHARED)), nn.ReLU(), nn.Dropout(DROPOUT))
        self.prognosis = nn.Sequential(
            nn.Linear(units(SHARED), units(BRANCH)),
            nn.ReLU(),
            nn.Linear(units(BRANCH), units(LAST)),
            nn.ReLU(),
        )
        # No bias in training, as in the paper: but for tanh, a constant added to all risks does not change the partial
        # likelihood.
        self.prognosis_output = nn.Linear(units(LAST), N_ENDPOINTS, bias=architecture.output_bias)
        self.response = nn.Sequential(
            nn.Linear(units(SHARED), units(BRANCH)),
            nn.ReLU(),
            nn.Linear(units(BRANCH), units(LAST)),
            nn.ReLU(),
        )
        # A bias in training would be a main effect of the treatment, which the modified covariate method leaves out;
        # without it the output is odd in T.
        self.response_output = nn.Linear(units(LAST), 1, bias=architecture.output_bias)

    def forward(self, features: Tensor, treatment_factor: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """Compute prognosis and response.

        Parameters
        ----------
        features : tensor, shape (n, 3 * n_features)
            Deep features in the order of SEQUENCES, not standardised.
        treatment_factor : tensor, shape (n,), or float
            T/2 in training; 1 for every patient when predicting.

        Returns
        -------
        prognosis : tensor, shape (n, 3)
            In (-1, 1), rising with risk: OS, DMFS, LRRFS.
        response : tensor, shape (n,)
            In (-1, 1), without a bias odd in the treatment factor.
        """
        x = (features - self.feature_mean) / self.feature_scale
        shared = self.shared(x)  # (n, 4608)
        prognosis = torch.tanh(self.prognosis_output(self.prognosis(shared)))  # (n, 3)
        factor = torch.as_tensor(treatment_factor, dtype=x.dtype, device=x.device).reshape(-1, 1)
        hidden = self.response(shared) * factor  # (n, 512)  W(x) T/2, Tian et al. equation 2
        return prognosis, torch.tanh(self.response_output(hidden)).squeeze(1)

    def standardise(self, features: Tensor) -> None:
        """Set mean and scale of each feature from the training cohort.

        Parameters
        ----------
        features : tensor, shape (n, 3 * n_features)
            Deep features of its patients, n > 1.
        """
        scale = features.std(dim=0)
        # A feature that is 0 for all patients (a ReLU that never fires) keeps its scale.
        self.get_buffer("feature_mean").copy_(features.mean(dim=0))
        self.get_buffer("feature_scale").copy_(torch.where(scale > 1e-6, scale, torch.ones_like(scale)))

    def on_scale(self, scale: ScoreScale) -> MultitaskNetwork:
        """Return a network with the same scores on another scale.

        Parameters
        ----------
        scale : ScoreScale
            In the weights and biases of the last layers, so that maps and members' spread are on it as well.

        Returns
        -------
        MultitaskNetwork
            With `output_bias`, in evaluation mode.
        """
        network = MultitaskNetwork(replace(self.architecture, output_bias=True))
        network.load_state_dict(self.state_dict(), strict=False)  # all but the biases
        layers = (
            (self.prognosis_output, network.prognosis_output, scale.prognostic),
            (self.response_output, network.response_output, scale.predictive),
        )
        with torch.no_grad():
            for old, new, to in layers:
                new.weight.copy_(to.slope * old.weight)
                new.bias.copy_(to.intercept + (to.slope * old.bias if old.bias is not None else 0.0))
        return network.eval()
