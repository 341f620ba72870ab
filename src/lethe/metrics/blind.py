"""The blind attack: members told from non-members by their words alone, without any model.

Das, Zhang and Tramèr, "Blind Baselines Beat Membership Inference Attacks" (2024, arXiv:2406.16201). If it works,
the two sets differ in their text, and the AUC of every other attack says that, too, and not only what was learnt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lethe.metrics.common.attacks import judged_others, membership
from lethe.system.streams import stream

NEEDS = None  # no metric of a model: `measure_texts` and `judge` run it on texts
FOLDS = 5
WORDS = r"\w+|[^\w\s]"  # no text that is not blank is without one


def blind_score(texts: Sequence[str], member: np.ndarray, group: np.ndarray, seed: int) -> np.ndarray:
    """Log-odds of being a non-member by the words of a text: a logistic regression on TF-IDF, cross-fitted.

    Each text is judged by a model of the other folds, which hold no text of its group and weigh members and
    non-members the same. Where these are drawn alike the AUC is 0.5 but for chance.

    Args:
        texts: N texts, none blank.
        member: (N,) bool.
        group: (N,) int or str; texts of one group, such as those about one person, stay in one fold.
        seed: of the stream that deals the folds.
    Returns:
        (N,) float64; lower = more likely a member.
    Raises:
        ValueError: the groups cannot be dealt, see `folds`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    dealt = folds(member, group, seed)
    if not dealt:
        raise ValueError("too few groups of members or of non-members: nothing can be learnt from others")
    rows, score = np.array(texts, dtype=object), np.empty(len(member))
    for fit, judged in dealt:
        words = TfidfVectorizer(sublinear_tf=True, token_pattern=WORDS).fit(rows[fit])
        model = LogisticRegression(class_weight="balanced", max_iter=10_000, tol=1e-8)
        model.fit(words.transform(rows[fit]), ~member[fit])
        score[judged] = model.decision_function(words.transform(rows[judged]))
    return score


def folds(member: np.ndarray, group: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows that are learnt from and rows that are judged, of each fold.

    None at all where members or non-members are a single group, or where groups that hold both leave a fold only one
    of them to learn from.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = fewest_groups(member, group)
    if fewest < 2:
        return []
    dealt = int(stream(seed, "blind").integers(2**31))
    cut = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=dealt)
    found = list(cut.split(member, member, group))
    return found if all(0 < member[fit].sum() < len(fit) for fit, _ in found) else []


def fewest_groups(member: np.ndarray, group: np.ndarray) -> int:
    """Number of groups of members or of non-members, whichever are fewer."""
    return min(len(np.unique(group[member])), len(np.unique(group[~member])))


def blind(
    texts: Sequence[str], group: np.ndarray, scores: dict[str, np.ndarray], settings, seed: int
) -> tuple[np.ndarray, dict[str, float]]:
    """The control of a study: can forget be told from test without a model?

    Args:
        texts, group: of N examples, as in `blind_score`.
        scores: `sets` (N,) and, where the others of all attacks are matched, `matched` (N,).
        settings: `lethe.params.measure.Measure`.
        seed: of the folds.
    Returns:
        (N,) score, masked outside the examples that are judged; `blind_auc` with its interval, the true positive
        rates of every attack, and `blind_leak`: 1 if the interval lies above 0.5, so that the sets differ, else 0;
        below it, an attack on texts it has not learnt from finds nothing. As the folds share texts the interval is too
        narrow: of 160 pairs of sets that were drawn alike 12 leaked, where 4 should.
        All masked, and no number, where nothing could be learnt from others: the forget set is a single group, such as
        one person who is to be forgotten, or its few groups are those of test, too (`folds`).
    """
    judged = (scores["sets"] == "forget") | judged_others(scores)
    sets = scores["sets"][judged]
    column = np.ma.masked_all(len(judged))
    if not folds(sets == "forget", group[judged], seed):
        return column, {}
    chosen = [text for text, use in zip(texts, judged, strict=True) if use]
    score = blind_score(chosen, sets == "forget", group[judged], seed)
    found = membership("blind", score, {"sets": sets}, settings)
    found["blind_leak"] = float(found["blind_auc_low"] > 0.5)
    column[judged] = score
    return column, found
