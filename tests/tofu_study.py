"""A study of the real TOFU files, which lie beside the repository, by a tiny chat model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

TOFU = Path(__file__).parents[2] / "shared" / "data" / "tofu"
needs_tofu = pytest.mark.skipif(not TOFU.is_dir(), reason="no TOFU files beside the repository")
STEPS = {"epochs": 1, "learning_rate": 1e-3, "batch": {"forget": 20, "retain": 20}}


def study(original: str, /, **more: Any) -> dict[str, Any]:
    """Content of a parameter file: forget01, 200 rows of retain99, two probes, a given model and one method."""
    dataset = {
        "source": str(TOFU),
        "prompt": "question",
        "text": "answer",
        "splits": {"forget": "forget01", "retain": {"config": "retain99", "limit": 200}},
        "probes": {"real_authors": "real_authors_perturbed", "world_facts": "world_facts_perturbed"},
    }
    tofu = {
        "task": "generation",
        "seeds": [0],
        "dataset": dataset,
        "model": {"max_length": 96},
        "forget": {"strategy": "given"},
        "references": {"original": original},
        "unlearn": STEPS,
        "score": {"n": [3], "extract": [], "tries": 0, "most": 20},
        "measure": {"bootstrap": 100},
        "methods": {"gradient_difference": None},
    }
    return {"studies": {"tofu": tofu | more}}
