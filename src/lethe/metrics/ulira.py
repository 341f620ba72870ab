"""U-LiRA: LiRA whose shadow models were themselves unlearned, by the method that is attacked.

Hayes et al., "Inexact Unlearning Needs More Careful Evaluations to Avoid a False Sense of Privacy" (2024,
arXiv:2403.01218). Its question: under models of this method, is what is said of a text likelier where the method let it
forget the text, or where the model never saw it? What a method leaves in what it forgets is thus learnt per text.
"""

from __future__ import annotations

import numpy as np

from lethe.metrics.common.aggregates import masked_elsewhere
from lethe.metrics.common.attacks import membership
from lethe.metrics.lira import lira_online, target_confidence

NEEDS = ("ulira_confidence",)


def values(scores, settings):
    """A column per attacking method; masked where a text is not audited."""
    known, columns = scores["ulira_known"], {}
    target, member = target_confidence(scores)[known], scores["ulira_member"][known]
    for place, method in enumerate(scores["ulira_methods"]):
        found = lira_online(target, scores["ulira_confidence"][known, place], member, shared_spread=True)
        columns[f"ulira_{method}"] = masked_elsewhere(known, found)
    return columns


def aggregate(scores, values, settings, seed):
    """The attack on forget against the test texts that were audited; above even odds it says "member"."""
    result: dict[str, float] = {}
    for name, column in values.items():
        judged = scores | {"matched": ~np.ma.getmaskarray(column)}
        result |= membership(name, column.filled(np.nan), judged, settings, threshold=0.0)
    return result
