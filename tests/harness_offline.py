"""The evaluation harness without network and without the thousands of its task files, which take seconds to index."""

from __future__ import annotations

import sys
from pathlib import Path


def go_offline(monkeypatch, cache: Path, *families: str) -> None:
    """Of the harness's own tasks those of some folders alone are there; data sets are cached in `cache`."""
    from lm_eval import evaluator
    from lm_eval.tasks._index import TaskIndex

    files = TaskIndex._iter_yaml_files
    own = Path(sys.modules["lm_eval.tasks"].__file__).parent

    def few(root):
        roots = [own / family for family in families] if root == own else [root]
        return [file for each in roots for file in files(each)]

    monkeypatch.setattr(TaskIndex, "_iter_yaml_files", few)
    monkeypatch.setattr(evaluator, "add_env_info", lambda results: None)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
