"""Tables that an earlier step wrote."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lethe.system.errors import InputError
from lethe.system.quoting import reason


def read_table(path: Path) -> pd.DataFrame:
    """A Parquet file.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}); make it again") from None
