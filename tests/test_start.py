"""The command line starts at once. Which way imports point is in the contracts of pyproject.toml: `lint-imports`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "transformers", "datasets", "accelerate", "tokenizers", "pandas", "sklearn"}


@pytest.mark.parametrize("arguments", [["--help"], ["check"]])
def test_the_command_line_starts_without_heavy_imports(arguments):
    code = (
        "import sys; from lethe.__main__ import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        f"assert not {HEAVY} & set(sys.modules), set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
