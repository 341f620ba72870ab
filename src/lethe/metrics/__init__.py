"""Metrics: one file each, arrays in, one value per example first, aggregate last.

A file of this folder is a metric and is found by its name (names that start with `_` are not). It holds

    NEEDS = ("logits", "labels")                 # arrays without which it has nothing to say; None if it needs more
                                                 # than the scores of one model: then it holds functions only

    def NAME(array, ...) -> array                 # well-named public pure functions, tested by hand-worked cases

    def of_texts(texts) -> {array: (N,) float}
        # optional: what `values` needs of completions of texts, computed while they are at hand, since scores.npz does
        # not keep them; NaN where there is nothing to say. `texts` holds suffix, completion, tries and prompt, as
        # `lethe.score.completed` gives them. The arrays become part of `scores`.

    def of_answers(said, true) -> {array: (N,) float}
        # optional: the same of answers in words, as `lethe.evaluation.answers.answers` gives them

    def values(scores, settings) -> {column: (N,) array}
        # one value per example, written to metrics.parquet; {} when an optional array is not there

    def aggregate(scores, values, settings, seed) -> {name: number}
        # numbers of the whole run, written to metrics.json; `values` is what this file's own `values` returned

`scores` is the content of scores.npz as a dict of arrays (see `lethe.measure.load`), `settings` is
`lethe.params.measure.Measure`, `seed` feeds the named random streams of the bootstrap. A file imports numpy,
scipy and scikit-learn, and from the package `lethe.metrics.common` and other metrics; never torch.

Names of aggregates: `{column}_{set}` is a mean over the examples of a set, e.g. `memorization_accuracy_forget`;
`{score}_auc`, `{score}_tpr_at_fpr_0.01`, … belong to the membership attack that thresholds the score
(`lethe.metrics.common.attacks.membership`). A value that is not defined is absent or an error, never NaN.
"""
