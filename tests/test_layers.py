"""Which way imports point, read from the syntax trees."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "lethe"
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"torch", "transformers", "datasets", "accelerate", "tokenizers"}
LIGHT_FOLDERS = ("metrics", "common", "report")  # they start in well under a second


def imports(file: Path, top_level: bool = False) -> set[str]:
    """Names of modules that a file imports; with top_level only those outside functions."""
    tree = ast.parse(file.read_text())
    nodes = tree.body if top_level else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_nothing_imports_the_command_line(file):
    assert not {m for m in imports(file) if m.startswith("lethe.__main__")}


@pytest.mark.parametrize("file", [f for f in FILES if f.parent.name in LIGHT_FOLDERS], ids=lambda f: f.stem)
def test_metrics_and_report_need_no_torch(file):
    assert not {m for m in imports(file) if m.split(".")[0] in HEAVY}


@pytest.mark.parametrize("file", sorted((PACKAGE / "objectives").glob("[!_]*.py")), ids=lambda f: f.stem)
def test_objectives_rest_on_losses_and_models_alone(file):
    of_package = {m for m in imports(file) if m.startswith("lethe.")}
    leaves = ("losses", "objectives", "params.fields", "system.errors", "system.streams", "models")
    allowed = {f"lethe.{leaf}" for leaf in leaves}
    of_package -= {"lethe.params", "lethe.system"}
    assert not {m for m in of_package if not any(m == a or m.startswith(f"{a}.") for a in allowed)}


@pytest.mark.parametrize(
    "name", ["losses", "training/engine", "training/batches", "training/checkpoints", "decoding/decoding"]
)
def test_the_core_knows_no_objective_and_no_metric_of_the_report(name):
    assert not {
        m for m in imports(PACKAGE / f"{name}.py") if m.startswith(("lethe.objectives", "lethe.report"))
    }


@pytest.mark.parametrize("arguments", [["--help"], ["check"]])
def test_the_command_line_starts_without_heavy_imports(arguments):
    code = (
        "import sys; from lethe.__main__ import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        f"assert not {HEAVY | {'pandas', 'sklearn'}} & set(sys.modules), set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parents[1], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-500:]
