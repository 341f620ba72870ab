"""Parameters of a comparison, which follow from a study and from the settings of the report."""

from __future__ import annotations

from typing import Self

from lethe.params.claims import Claims
from lethe.params.fields import Probability
from lethe.params.measure import Measure
from lethe.params.names import Task
from lethe.params.report import Report
from lethe.params.strict_model import StrictModel
from lethe.params.study import Study


class Compare(StrictModel):
    """Which runs a study has, and how they are compared."""

    task: Task
    """What the model does."""
    seeds: list[int]
    """Those of the study."""
    runs: list[str]
    """Runs that are measured, references first."""
    methods: list[str]
    """Those of them that unlearn."""
    extra_retrains: list[str]
    """Further retrained models of each seed."""
    fixed: bool = False
    """Are the references models that exist, the same in every seed?"""
    variants: list[str]
    """PERTURBATION-LEVEL, of every run but base."""
    probes: list[str] = []
    """Sets that are scored and never trained on."""
    shadow_seeds: list[int]
    """Seeds of the shadow models."""
    measure: Measure
    """Settings of the metrics."""
    claims: Claims
    """What methods are judged by."""
    confidence: Probability
    """Level of the intervals over seeds."""
    returned: Probability
    """Fraction of the original's excess over retrain at which forgetting counts as undone."""

    @classmethod
    def of(cls, study: Study, report: Report) -> Self:
        return cls(
            task=study.task,
            seeds=study.seeds,
            runs=study.runs,
            methods=list(study.methods),
            extra_retrains=study.retrained[1:],
            fixed=study.references is not None,
            variants=list(study.variants),
            probes=list(study.dataset.probes),
            shadow_seeds=study.shadow.seeds if study.shadow else [],
            measure=study.measure,
            claims=study.claims,
            confidence=report.confidence,
            returned=report.returned,
        )

    @property
    def compared(self) -> list[str]:
        """The runs that were trained on this study's texts."""
        return [run for run in self.runs if run != "base"]
