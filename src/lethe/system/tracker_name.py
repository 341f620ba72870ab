"""Where a run is shown while it trains, beside DVCLive: LETHE_TRACKER in the environment.

It is a setting of the machine, as is the folder of a cache, and no parameter: another choice makes no job again.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

from lethe.system.errors import InputError

VARIABLE = "LETHE_TRACKER"
NAMES = ("tensorboard", "mlflow")  # and packages


def chosen() -> str | None:
    """The tracker that the environment names.

    Raises:
        InputError: there is none of that name, or its package is not installed.
    """
    name = os.environ.get(VARIABLE, "")
    if not name:
        return None
    if name not in NAMES:
        raise InputError(f"{VARIABLE}: {name} is no tracker; allowed are {', '.join(NAMES)}, or nothing")
    if find_spec(name) is None:
        raise InputError(
            f"{VARIABLE}: {name} is not installed; `pip install {name}`, or leave {VARIABLE} empty"
        )
    return name
