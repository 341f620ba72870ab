"""Write docs/methods.md, the table of all methods, from the files of src/lethe/objectives.

What a method is, its formula and its source come from its docstring, what it reads from its terms and from what it
asks of a run, and what a step costs from a step of the contract tests: nothing is said here a second time.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import torch
from transformers import PreTrainedModel

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import tiny
from recorded_run import RecordedRun, recorded
from test_objectives import setting, terms_of

from lethe.system import plugins
from lethe.training.objective import Objective

ROOT = Path(__file__).parents[1]
READS = {
    "retain": "retained examples",
    "analogue": "an analogue of each forget example",
    "alternative": "an analogue of each forget example",
}
KEEPS = {None: "–", "model": "original, every step", "hidden": "original, once per text"}
FORWARD, BOTH = 1, 3  # what a pass costs: forwards alone; forwards and backwards, which is twice as much
INTRODUCTION = """# Methods

Written by `python docs/methods.py` from the files of `src/lethe/objectives`; a test says when it is out of date. In the
formulas f is an example to forget, r one that is kept, a an analogue of f, m the beginning of f continued in another
way; theta0 is the model that must forget, ell the mean negative log-likelihood of a text's tokens or tags or the
cross-entropy of its label, S the summed log-probability of a text.

The cost of a step is in steps of fine-tuning on a batch of the same size: 1 for every role that is passed through the
model that trains, 1/3 for every pass without a gradient. It was counted, with the default settings. `sisa` takes steps
of training in place of steps of unlearning: how many depends on which shards and slices the forget set lies in.

"""
HEAD = [
    "method",
    "tasks",
    "loss",
    "reads, beside the forget set",
    "reference model",
    "cost of a step",
    "source",
]


def table() -> str:
    rows = [HEAD, ["---"] * len(HEAD), *map(row, plugins.names_in("objectives"))]
    return INTRODUCTION + "".join("| " + " | ".join(cells) + " |\n" for cells in rows)


def row(name: str) -> list[str]:
    method = plugins.imported("objectives", name)
    link = f"[`{name}`](../src/lethe/objectives/{name}.py)"
    roles = getattr(method, "TERMS", {}).values()
    run = run_of(name, method)
    other = {"alternative": "other answers"} if "endings" in run.settings else {}
    reads = dict.fromkeys((READS | other)[role] for role in roles if role in READS)
    kept = KEEPS[run.kept if run.settings else None]
    return [
        link, ", ".join(plugins.tasks_of("objectives", name)), formula(method.__doc__ or ""), ", ".join(reads) or "–",
        kept, " or ".join(costs(name, method, run)), source(method.__doc__ or ""),
    ]  # fmt: skip


def run_of(name: str, method: ModuleType) -> RecordedRun:
    """What the method asks of a run; of one that only trains models on the way, nothing."""
    task = plugins.tasks_of("objectives", name)[0]
    run = RecordedRun(tiny.model_and_rows(task)[0], task)
    return recorded(method, run.model, task) if getattr(method, "RECIPE", None) is None else run


def formula(text: str) -> str:
    """The indented lines of a docstring."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    if not lines:
        raise ValueError(f"no indented formula in the docstring that begins {text.splitlines()[0]!r}")
    return "<br>".join(as_code(re.sub(" {2,}", "  ", line)) for line in lines)


def as_code(text: str) -> str:
    """Code in a cell of a table."""
    return "`" + text.replace("`", "").replace("|", r"\|") + "`"


def source(text: str) -> str:
    found = re.search(r"arXiv:(\d+\.\d+)", text)
    return f"[{found[1]}](https://arxiv.org/abs/{found[1]})" if found else "–"


def costs(name: str, method: ModuleType, run: RecordedRun) -> list[str]:
    """Cost of a step, one number for each kind of step that the method has."""
    if not run.settings:
        return ["1" if hasattr(method, "RECIPE") else "0"]  # a step of training, or none
    _, objective, model, batch = setting(name, plugins.tasks_of("objectives", name)[0])
    kinds = [batch]
    if roles_of := run.settings.get("roles"):
        kinds = [{role: batch[role] for role in roles_of(epoch)} for epoch in range(2)]
    found = dict.fromkeys(f"{cost(objective, model, kind):.2g}" for kind in kinds)
    return list(found)


def cost(objective: Objective, model, batch) -> float:
    """Passes of a step, the second on its batch, in steps of fine-tuning on as many rows as a role has."""
    terms_of(objective, model, batch)  # what is kept of a text is computed when it is first seen
    spent = []

    def count(module, arguments, output):
        passes = "forward" not in vars(module)  # else it answers what a pass before has found: `logits_of`
        if isinstance(module, PreTrainedModel) and module.base_model is module and passes:
            spent.append(len(output[0]) * (BOTH if torch.is_grad_enabled() else FORWARD))

    hook = torch.nn.modules.module.register_module_forward_hook(count)
    terms_of(objective, model, batch)
    hook.remove()
    return sum(spent) / BOTH / max(map(len, batch.values()))


if __name__ == "__main__":
    (ROOT / "docs/methods.md").write_text(table())
