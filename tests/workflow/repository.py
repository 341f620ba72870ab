"""Repositories in which real git, dvc and snakemake run; only the work inside the jobs is a stand-in."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from command import ask

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PARTS = (
    "README.md",
    "Snakefile",
    "dvc.yaml",
    ".dvcignore",
    ".gitattributes",
    ".gitignore",
    "workflow",
    "src/lethe",
    "data/raw/README.md",
)
STAGES = ("prepare", "forget", "train", "unlearn", "score", "measure", "compare", "report")
RULES = {
    "prepare_data": "prepare",
    "draw_forget_set": "forget",
    "train_base": "train",
    "train_reference": "train",
    "unlearn_examples": "unlearn",
    "score_model": "score",
    "measure_scores": "measure",
    "measure_texts": "measure",
    "compare_runs": "compare",
    "write_report": "report",
}


class Repo:
    """A folder with the workflow, in which commands run as a user runs them."""

    def __init__(self, path: Path, commands: Path):
        self.path, self.commands = path, commands

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "SNAKEMAKE_", "PYTHON"))
        }
        path = os.pathsep.join([str(self.commands), str(Path(sys.executable).parent), os.environ["PATH"]])
        return inherited | {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", **more}

    def start(self, *command: str, **environment: str) -> subprocess.Popen:
        return subprocess.Popen(
            command, cwd=self.path, env=self.environment(**environment), text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def attempt(self, command: str, **environment: str) -> tuple[int, str]:
        """Exit status and output of a command line without quoting."""
        process = self.start(*command.split(), **environment)
        output, _ = process.communicate()
        return process.returncode, output

    def quick(self, command: str) -> tuple[int, str]:
        """The same, seconds sooner, where the process itself does not matter: see command_server.py."""
        name, *arguments = command.split()
        if name in ("snakemake", "dvc", "python"):
            return served([name, *arguments], self.path, self.environment())
        return self.attempt(command)

    def __call__(self, command: str) -> str:
        """Output of a command, which must succeed."""
        status, text = self.quick(command)
        assert status == 0, f"{command}: {text}"
        return text

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.path / file
        text = path.read_text()
        assert text.count(old) >= 1, f"{old} is not in {file}"
        path.write_text(text.replace(old, new, 1))

    def commit(self, message: str = "change") -> None:
        self("git add -A")
        self(f"git commit -q -m {message}")

    def clone(self, path: Path, pull: bool = True) -> Repo:
        """A fresh clone, with the results pulled from the remote."""
        subprocess.run(["git", "clone", "-q", self.path, path], check=True)
        new = Repo(path, self.commands)
        identify(new)
        if pull:
            new("dvc pull -q")
        return new

    def copy(self, path: Path) -> Repo:
        """The same folder elsewhere, times and .snakemake included."""
        subprocess.run(["cp", "-a", self.path, path], check=True)
        return Repo(path, self.commands)

    # ------------------------------------------------------------------ what is so

    def plans_nothing(self) -> bool:
        return "Nothing to be done" in self("snakemake -n")

    def is_clean(self) -> bool:
        return "up to date" in self("dvc status")

    def changed_jobs(self) -> set[str]:
        """Addresses STAGE/STUDY/… of the jobs that Snakemake would run."""
        return planned(self("snakemake -n"))

    def changed_stages(self) -> set[str]:
        """Stages that DVC would run for their own part of the plan, which it makes first."""
        self("dvc repro -q plan")
        changes = json.loads(self("dvc status --json").strip().splitlines()[-1])
        return {stage for stage in changes if f"results/plan/{stage}.json" in json.dumps(changes[stage])}

    def results(self) -> dict[str, str]:
        """Contents of all outputs by path, but what a run costs."""
        files = [f for top in ("data", "results") for f in (self.path / top).rglob("*") if f.is_file()]
        mine = [
            f for f in files if f.name not in (".snakemake_timestamp", ".gitignore", "README.md", "cost.json")
        ]
        names = [str(f.relative_to(self.path)) for f in mine]
        return {
            name: file.read_text()
            for name, file in zip(names, mine, strict=True)
            if not name.startswith(("results/plan", "results/provenance", "data/raw"))
        }

    def truth(self) -> dict[str, str]:
        """Results of the same sources and parameters, made from nothing elsewhere."""
        sources = [f for part in ("src", "params.yaml") for f in sorted(files_in(self.path / part))]
        key = hashlib.sha256(b"".join(f.read_bytes() for f in sources)).hexdigest()[:12]
        path = self.commands.parent / f"truth-{key}"
        with open(f"{path}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                for part in (*PARTS, "params.yaml"):
                    copy(self.path / part, path / part)
                (path / "profiles").symlink_to("workflow/profiles")
                Repo(path, self.commands)("snakemake")
        return Repo(path, self.commands).results()


def files_in(path: Path) -> list[Path]:
    return list(path.rglob("*.py")) if path.is_dir() else [path]


STARTED: list[subprocess.Popen] = []


@cache
def server() -> str:
    """The address of a process that has imported snakemake and dvc, which ends with this one."""
    address = f"{tempfile.mkdtemp(prefix='commands')}/socket"
    command = [sys.executable, HERE / "command_server.py", address]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    STARTED.append(process)
    assert process.stdout and process.stdout.readline() == "ready\n"
    return address


def served(argv: list[str], cwd: Path, env: dict[str, str]) -> tuple[int, str]:
    """Exit status and output of a command in a fork of that process."""
    with tempfile.TemporaryFile("w+") as output:
        more = {"LETHE_COMMANDS": server()}
        status = ask(server(), argv, str(cwd), env | more, output.fileno(), output.fileno())
        output.seek(0)
        return status, output.read()


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    else:
        shutil.copy(source, target)


def identify(repo: Repo) -> None:
    repo("git config user.email someone@example.org")
    repo("git config user.name someone")
    repo("git config gc.auto 0")


def jobs(output: str) -> dict[str, int]:
    """Number of jobs by stage in the output of Snakemake, summed over the stages of `dvc repro`."""
    counts: dict[str, int] = {}
    table = False
    for line in output.splitlines():
        table = (table or line.startswith("Job stats:")) and bool(line.strip())
        words = line.split()
        if table and len(words) == 2 and words[0] in RULES:
            counts[RULES[words[0]]] = counts.get(RULES[words[0]], 0) + int(words[1])
    return counts


def planned(output: str) -> set[str]:
    """Addresses STAGE/STUDY/… of the jobs in the output of a dry run."""
    found, rule = set(), ""
    for line in output.splitlines():
        words = line.split()
        if line.startswith("rule ") and words[1].rstrip(":") in RULES:
            rule = RULES[words[1].rstrip(":")]
            if rule == "report":
                found.add("report")
        elif rule and line.startswith("    wildcards:"):
            values = dict(pair.split("=") for pair in line.split(":", 1)[1].replace(" ", "").split(","))
            found.add("/".join([rule, *(values[k] for k in ("study", "run", "seed") if k in values)]))
    return found


def make(path: Path, commands: Path, params: Path) -> Repo:
    """A repository as after `git clone`, with a remote beside it."""
    for part in PARTS:
        copy(ROOT / part, path / part)
    (path / "profiles").symlink_to("workflow/profiles")
    shutil.copy(params, path / "params.yaml")
    copy(ROOT / ".dvc/config", path / ".dvc/config")
    copy(ROOT / ".dvc/.gitignore", path / ".dvc/.gitignore")
    repo = Repo(path, commands)
    repo("git init -q")
    identify(repo)
    repo(f"dvc remote add -q -d store {path}-store")
    return repo
