"""Types of parameters, with their ranges, for the dataclasses `Hyper` of objectives and `Options` of data sets.

This module and those dataclasses import neither torch nor pandas, so that a whole params.yaml is checked in
milliseconds before any job starts.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[int, Field(ge=0)]
Percent = Annotated[int, Field(ge=1, le=100)]
