"""Types of parameters, with their ranges: of all sections, of `Hyper` of objectives, of `Options` of data sets.

Upper bounds are far beyond what makes sense, and below what no machine can hold: a slip of the keyboard is found
before any job starts. This module and those dataclasses import neither torch nor pandas, so that a whole params.yaml is
checked in milliseconds.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Positive = Annotated[float, Field(gt=0, le=1e9)]
NonNegative = Annotated[float, Field(ge=0, le=1e9)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Size = Annotated[int, Field(ge=0, le=10**9)]
Percent = Annotated[int, Field(ge=1, le=100)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
LearningRate = Annotated[float, Field(gt=0, le=100)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]  # examples in a batch
Order = Annotated[int, Field(ge=1, le=10_000)]  # of n-grams, in tokens or words
Tokens = Annotated[int, Field(ge=2, le=2**20)]  # of one text
