"""Detectors of one request's texts, and how much of its adapter a text gets (Gao et al., ICLR 2025, arXiv:2407.10223).

A text is known by the mean hidden state z_l of its tokens in each layer l, of the model or of an encoder. Fitted on the
request's texts alone:

    s_l = -gamma * max_i cos(z_l, z_l(x_i)) - 1/2 (z_l - mu_l)' P_l (z_l - mu_l)
    d = sum_l c_l s_l                    of a linear one-class SVM
    F(d) = 1/2 Phi((d - m_1) / sd) + 1/2 Phi((d - m_2) / sd)
    w = sigmoid(2 zeta min(F, 1 - F) - 2)

mu and the precision P are those of the texts fitted on, m_1 is the mean of d over these, m_2 and sd are of texts of the
request that were held back. The weight is largest halfway between m_1 and m_2, and small on both sides.

A mean over few tokens lies further from others than one over many, so that fitted on prefixes of all lengths a gate
would open for any long text. A request has a gate for each range of numbers of tokens, each twice as long as the one
before.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gate:
    """All in float64: means (L, H), precisions (L, H, H), units (L, N, H), coefficients (L,), spread (3,).

    units: hidden states of length 1 of what was fitted on, by which a text that was asked to go can be found again.
    spread: m_1, m_2 and sd. sharpness (2,): gamma, zeta.
    """

    means: Tensor
    precisions: Tensor
    units: Tensor
    coefficients: Tensor
    spread: Tensor
    sharpness: Tensor

    def nearest(self, features: Tensor) -> Tensor:
        """(P, L) largest cosine of features (L, P, H) to a stored one."""
        return (unit(features) @ self.units.mT).amax(-1).T

    def layer_scores(self, features: Tensor) -> Tensor:
        """(P, L) s_l of features (L, P, H)."""
        away = features - self.means[:, None]
        distance = torch.einsum("lph,lhk,lpk->pl", away, self.precisions, away)
        return -self.sharpness[0] * self.nearest(features) - distance / 2

    def weight(self, features: Tensor) -> Tensor:
        """(P,) w in [sigmoid(-2), sigmoid(zeta - 2)] of features (L, P, H) in float64."""
        return self.weight_at(self.layer_scores(features) @ self.coefficients)

    def weight_at(self, d: Tensor) -> Tensor:
        """The weight of values d."""
        first, second, deviation = self.spread
        below = (normal((d - first) / deviation) + normal((d - second) / deviation)) / 2
        above = (normal((first - d) / deviation) + normal((second - d) / deviation)) / 2
        return torch.sigmoid(2 * self.sharpness[1] * torch.minimum(below, above) - 2)

    def to(self, device: torch.device) -> Gate:
        return Gate(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


@dataclass(frozen=True)
class Stages:
    """The gates of a request, by the number of tokens that were read: `begins` (S,), ascending, the first is 0."""

    begins: Tensor
    gates: list[Gate]

    def weight(self, features: Tensor, read: Tensor) -> Tensor:
        """(P,) weights of features (L, P, H), means over `read` (P,) tokens."""
        found = features.new_empty(features.shape[1])
        place = torch.bucketize(read.to(self.begins.device), self.begins, right=True) - 1
        for number, gate in enumerate(self.gates):
            own = place == number
            found[own] = gate.weight(features[:, own])
        return found

    def nearest(self, features: Tensor) -> Tensor:
        """(P, L) largest cosine of features (L, P, H) to any that is stored."""
        return torch.stack([gate.nearest(features) for gate in self.gates]).amax(0)

    def to(self, device: torch.device) -> Stages:
        return Stages(self.begins.to(device), [gate.to(device) for gate in self.gates])

    @property
    def tensors(self) -> dict[str, Tensor]:
        """By name, as they are stored."""
        own = {f"{n}.{name}": t for n, gate in enumerate(self.gates) for name, t in vars(gate).items()}
        return {"begins": self.begins} | own

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> Stages:
        """The reverse of `tensors`."""
        gates = [
            Gate(**{field.name: tensors[f"{n}.{field.name}"] for field in fields(Gate)})
            for n in range(len(tensors["begins"]))
        ]
        return cls(tensors["begins"], gates)


def fit(features: Tensor, held: Tensor, gamma: float, nu: float, zeta: float) -> Gate:
    """The gate of a request.

    Args:
        features: (L, N, H) of what it is fitted on; held: (L, M, H) of what was held back; float64, on the host.
        gamma: weight of the cosine. nu: share of the fitted texts that the SVM may leave outside. zeta: sharpness.
    """
    from sklearn.svm import OneClassSVM

    means = features.mean(1)
    away = features - means[:, None]
    precisions = torch.linalg.pinv(away.mT @ away / features.shape[1], hermitian=True)
    count = len(features)
    gate = Gate(
        means, precisions, unit(features), torch.ones(count, dtype=torch.float64),
        torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), torch.tensor([gamma, zeta], dtype=torch.float64),
    )  # fmt: skip
    scores, others = gate.layer_scores(features), gate.layer_scores(held)
    svm = OneClassSVM(kernel="linear", nu=nu).fit(scores.numpy())
    coefficients = torch.from_numpy(svm.coef_[0].copy())
    d, of_held = scores @ coefficients, others @ coefficients
    deviation = of_held.std(correction=0).clamp(min=torch.finfo(torch.float64).tiny)
    spread = torch.stack([d.mean(), of_held.mean(), deviation])
    return Gate(means, precisions, gate.units, coefficients, spread, gate.sharpness)


def contrastive_entropy(changed: Tensor, plain: Tensor) -> Tensor:
    """How undecided each text is which of all texts it is: sum over layers of the mean entropy over texts.

        H(softmax_j(z_i^changed . z_j^plain)),  H(p) = -sum_j p_j log(p_j + 1e-5)

    Least where each text is told from the others, whichever it is taken for, and L log N where all are equal.

    Args:
        changed, plain: (L, N, H) of the same texts: of what is trained, read with some tokens changed, and of the
            model as it is, which reads them as they are.
    Returns:
        A scalar in [0, L log N] up to the 1e-5, in nats, as published.
    """
    likeness = (changed @ plain.mT).softmax(-1)
    return -(likeness * (likeness + 1e-5).log()).sum(-1).mean(-1).sum()


def text_means(hidden: tuple[Tensor, ...], mask: Tensor | None) -> Tensor:
    """(L, B, H) mean hidden state of the tokens of each text, in float64."""
    whole = torch.stack(hidden).double()
    kept = torch.ones(whole.shape[1:3], device=whole.device) if mask is None else mask
    weight = kept.to(whole.dtype)[..., None]
    return (whole * weight).sum(2) / weight.sum(1)


def unit(features: Tensor) -> Tensor:
    return features / features.norm(dim=-1, keepdim=True)


def normal(values: Tensor) -> Tensor:
    """Phi, the cumulative distribution of the standard normal."""
    return torch.special.ndtr(values)
