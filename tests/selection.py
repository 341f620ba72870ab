"""Cases of a table, of which `make test` runs some and `make test-slow` the others."""

from __future__ import annotations

from collections.abc import Container, Mapping

import pytest


def table(cases: Mapping[str, object], quick: Container[str]) -> list:
    """Parameters of a test by their ids, a tuple of several each; those whose id is not in `quick` are slow."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            id=name,
            marks=() if name in quick else pytest.mark.slow,
        )
        for name, case in cases.items()
    ]


def named(*names: str) -> dict[str, str]:
    """Cases that are their own ids."""
    return {name: name for name in names}
