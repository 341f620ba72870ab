"""What every job inherits from the run that starts it."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

from dependencies import SOURCES
from internals import before_every_command

from lethe.system import tracker_name
from lethe.system.errors import InputError
from lethe.system.warm_start import VARIABLE


def set_environment() -> None:
    """What every job inherits. Ends the process with one line if it names a tracker that is not there."""
    try:
        tracker_name.chosen()
    except InputError as error:
        sys.exit(str(error))
    os.environ.pop(VARIABLE, None)  # of a run on another machine, or one that has started this one
    # The code beside this workflow, also in a copy of the repository such as DVC makes for an experiment.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SOURCES), os.environ.get("PYTHONPATH")]))
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)])
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # idle threads leave the core to other jobs
    os.environ["PYTHONUTF8"] = "1"  # texts are UTF-8, whatever a machine's locale says
    # Snakemake sets a job's threads for OpenMP and BLAS, and so for torch; tokenizers look elsewhere.
    before_every_command("export RAYON_NUM_THREADS=$OMP_NUM_THREADS; ")


def offer_warm_start() -> int:
    """Let the jobs of this run fork from a process that the first of them starts.

    Returns:
        The end of a pipe that jobs must inherit: it closes when this process has ended, and that one ends too.
    """
    read, _ = os.pipe()
    folder = tempfile.mkdtemp(prefix="lethe-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[VARIABLE] = f"{read}:{folder}/socket"
    return read


def answer_in_a_thread(number: signal.Signals) -> None:
    """Let a signal's handler run beside the main thread.

    Snakemake's handler of SIGTERM takes a lock that the main thread holds while it deals with jobs that have ended:
    called in the main thread, as Python does, it would wait for itself forever.
    """
    answer = signal.getsignal(number)
    if callable(answer):
        signal.signal(number, lambda *given: threading.Thread(target=answer, args=given).start())
