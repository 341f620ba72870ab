"""What ICU and its variants make of the analogues: they are learnt, and predicted as by the frozen model."""

from __future__ import annotations

from torch import Tensor

from lethe import losses


def about_analogues(hyper, model, original, analogue) -> dict[str, Tensor]:
    """The terms `learn` and `kl`, (B,) each, with their weights in `hyper`; of weight 0 no divergence is computed.

    Args:
        original: as of `run.original_hidden()`.
    """
    if not hyper.kl:
        return {"learn": hyper.learn * losses.nll(losses.forward(model, analogue), analogue)}
    learn, kl = original.nll_and_kl(model, analogue)
    return {"learn": hyper.learn * learn, "kl": hyper.kl * kl}
