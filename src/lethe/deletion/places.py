"""Where the texts of a request still lie: in a working folder, DVC's cache and stores, the history of git.

Files are found by what they hold, not by their names: n-grams of the texts, record ids beside values per example, or
weights. Of weights nobody can read what they know; which texts they were trained on, the forget sets tell.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd

from lethe.deletion.searching import LARGEST, Decode, Wanted, ids_in, is_weights, texts_in
from lethe.params.addresses import ROOTS
from lethe.system import files
from lethe.system.records import COMPOSED, read_record

Kind = Literal["text", "values", "weights"]
Found = tuple[Kind, str]  # what is held, and how much of it
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".gguf")  # endings of weights in other formats
AREAS = {  # beginning of a path -> what lies there, and whether lethe made it
    "data/prepared": ("prepared table", True),
    "data/forget": ("forget set or pairs", True),
    "data/raw": ("source, yours: take the record out of it", False),
    "data/requests": ("request, yours: keep it as long as you must", False),
    "results/train": ("model", True),
    "results/unlearn": ("model", True),
    "results/score": ("scores", True),
    "results/measure": ("metrics", True),
    "results": ("result", True),
    "checkpoints": ("interrupted training", True),
    "tuning": ("trial of lethe tune", True),
    "logs": ("log", True),
    "dvclive": ("live plots", True),
    "benchmarks/jobs": ("benchmark", True),
    ".snakemake": ("state and orphans of Snakemake", True),
    ".dvc/cache": ("version in DVC's cache", True),
    ".dvc/tmp": ("experiment of DVC", True),
}
PARTS = {  # files of a composed model that are made of texts, and how
    "gates.safetensors": "that are features of the texts, by which a gate knows them",
    "detector.safetensors": "by which a detector knows the texts",
    "adapters.safetensors": "of adapters, each of which was trained on the texts of a request",
}
TOLD_BY = ("config.json", "composed.json")  # of which each folder of a model has one
OF_SHARDS = ("mean", "vote")  # rules of composed models whose members never saw what was deleted
WINDOW = re.compile(r"/\d+$")
BATCH = 100  # objects of git that are read at once
SKIPPED = {".git", ".venv", ".conda", "site"}


@dataclass(frozen=True)
class Place:
    """One place.

    path: a file, or an object of git. ours: lethe made it and `--yes` deletes it. kept: it made it and keeps it.
    in_use: it is a part of the model in use, which would be none without it.
    """

    path: str
    kind: Kind
    what: str
    ours: bool
    kept: bool = False
    in_use: bool = False


@dataclass(frozen=True)
class Search:
    """What is looked for.

    Attributes:
        wanted: what the texts are known by; None where no text is known any more.
        ids: record ids.
        clean: SHA-256 of files of weights that never saw the texts, or were made to forget them.
        kept: SHA-256 of files that are kept, though they hold values of the records: by them the certificate is
            verified.
    """

    wanted: Wanted | None
    ids: frozenset[str]
    clean: frozenset[str]
    kept: frozenset[str] = frozenset()
    decodes: Sequence[Decode] = field(default=())

    def of(self, content: bytes) -> Found | None:
        """What the bytes of a file hold; None if nothing that is looked for."""
        if is_weights(content[:16]):
            return self.weights(hashlib.sha256(content).hexdigest())
        if self.wanted and (count := self.wanted.found_in(texts_in(content, self.decodes))):
            return "text", f"{count} of {len(self.wanted.grams)} n-grams"
        if count := len(records(ids_in(content), self.ids)):
            return "values", f"of {count} of {len(self.ids)} records, by id"
        return None

    def in_file(self, file: Path) -> Found | None:
        """The same of a file, of any size if it holds weights."""
        with open(file, "rb") as handle:
            head = handle.read(16)
        if is_weights(head) or file.suffix in PICKLED:
            made = PARTS.get(file.name)
            return ("weights", made) if made else self.weights(files.digest(file))
        if file.stat().st_size > LARGEST:
            return "text", f"not searched: more than {LARGEST >> 20} MiB"
        return self.of(file.read_bytes())

    def weights(self, digest: str) -> Found | None:
        known = digest in self.clean
        return None if known else ("weights", "that were trained on it, or of which nothing says on what")


def records(names: Iterable[str], ids: frozenset[str]) -> set[str]:
    """The records that names are of: their ids, or those of their windows, ID/0, ID/1, …"""
    return {found for name in names for found in (name, WINDOW.sub("", name)) if found in ids}


def places(search: Search, in_use: str) -> Iterator[Place]:
    """All places in the working folder, in its stores on this machine, and in its git.

    Args:
        in_use: folder of the newest version of the model, of which nothing is deleted.
    """
    for top in sorted(Path().iterdir()):
        if top.name not in SKIPPED:
            for place in in_folder(top, search, area):
                of_it = Path(place.path).is_relative_to(in_use)
                yield replace(place, ours=False, in_use=True) if of_it else place
    for name, url in stores():
        if os.path.isdir(url):
            what = f"in the store {name}: `dvc gc --workspace --cloud` clears what no state needs"
            yield from in_folder(Path(url), search, as_theirs(what))
    yield from in_git(search)


def in_folder(top: Path, search: Search, about: Callable[[Path], tuple[str, bool]]) -> Iterator[Place]:
    below = [top] if top.is_file() else (Path(at, name) for at, _, names in os.walk(top) for name in names)
    for file in sorted(below):
        if not file.is_file() or (found := search.in_file(file)) is None:
            continue
        kind, how = found
        what, ours = about(file)
        kept = kind == "values" and files.digest(file) in search.kept
        what = f"{what}, kept: the certificate is verified by it" if kept else what
        # a word in the vocabulary of a tokenizer may be there by chance, and a model is of no use without it
        unsure = how.startswith("not searched") or (kind == "text" and model_of_file(file) is not None)
        yield Place(file.as_posix(), kind, f"{what}: {how}", ours and not kept and not unsure, kept)


def as_theirs(what: str) -> Callable[[Path], tuple[str, bool]]:
    return lambda _: (what, False)


def area(file: Path) -> tuple[str, bool]:
    """What lies at a path, and whether lethe made it."""
    name = file.as_posix()
    for beginning, about in AREAS.items():
        if name == beginning or name.startswith(f"{beginning}/"):
            return about
    return "not made by lethe", False


def stores() -> Iterator[tuple[str, str]]:
    """Name and address of each store of DVC, and of a cache elsewhere; a local one as an absolute path."""
    for file in (Path(".dvc/config"), Path(".dvc/config.local")):
        config = configparser.ConfigParser(interpolation=None)
        config.read(file, encoding="utf-8")
        for section in config.sections():
            name = section.strip("'").removeprefix("remote ").strip('"')
            url = config[section].get("dir" if name == "cache" else "url")
            if url is not None:
                yield name, url if "://" in url else str((file.parent / url).resolve())


def in_git(search: Search) -> Iterator[Place]:
    """Objects of git, of any commit, branch, stash or experiment of DVC."""
    for name, content in git_blobs():
        if (found := search.of(content)) is not None:
            paths = (
                git("log", "--all", f"--find-object={name}", "--format=", "--name-only").decode().split("\n")
            )
            where = next(filter(None, paths), "what no branch holds")
            what = f"history of {where}, in each clone: {found[1]}; `git filter-repo` rewrites it"
            yield Place(f"git {name[:12]}", found[0], what, False)


def git_blobs() -> Iterator[tuple[str, bytes]]:
    """Name and content of all files of all states that git holds."""
    listed = git("cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname) %(objectsize)")
    rows = (line.split() for line in listed.decode().splitlines())
    names = [name for kind, name, size in rows if kind == "blob" and int(size) <= LARGEST]
    for start in range(0, len(names), BATCH):
        some = names[start : start + BATCH]
        answer = git("cat-file", "--batch", content="\n".join(some).encode())
        for name in some:
            head, _, answer = answer.partition(b"\n")  # NAME blob SIZE
            size = int(head.split()[2])
            yield name, answer[:size]
            answer = answer[size + 1 :]


def git(*command: str, content: bytes = b"") -> bytes:
    """What a git command says of the repository of this folder; nothing where there is none."""
    try:
        done = subprocess.run(["git", *command], input=content, capture_output=True, check=False)
    except FileNotFoundError:
        return b""
    return done.stdout if done.returncode == 0 else b""


# ---------------------------------------------------------------- weights


def clean_weights(ids: frozenset[str]) -> Iterator[str]:
    """SHA-256 of the weights of all models here of which the forget sets say that none of the records is in them.

    A retrained model is clean if it was trained on none of them, a method's if it was made to forget them all and its
    weights are not those of a model that was not, as a composed one's are. Shards are what exact training makes: one
    that a clean model has, too, never saw the records, whatever the shards beside it did.
    """
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for stage in ("train", "unlearn"):
        for model in sorted(Path(ROOTS[stage]).glob("*/*/seed*/model")):
            study, run, seed = model.parts[-4:-1]
            clean = is_clean(ids, study, run, seed)
            if not clean and rule_of(model) in OF_SHARDS:
                continue
            found[clean and rule_of(model) in (None, *OF_SHARDS)] |= {
                files.digest(file) for file in model.rglob("*.safetensors")
            }
    yield from sorted(found[True] - found[False])


def rule_of(model: Path) -> str | None:
    """How a model is composed, of shards or of the one that had to forget and more; None: it is not."""
    file = model / "composed.json"
    return read_record(file, COMPOSED)["rule"] if file.exists() else None


def model_of_file(file: Path) -> Path | None:
    """Folder of the model that a file is part of, also of a member of a composed one."""
    return next(
        (f for f in file.parents if f.name == "model" and any((f / name).exists() for name in TOLD_BY)), None
    )


def is_clean(ids: frozenset[str], study: str, run: str, seed: str) -> bool:
    file = Path(ROOTS["forget"], study, seed, "sets.parquet")
    if run == "base":
        return True  # of general text, which is none of the records
    if not file.exists():
        return False
    sets = pd.read_parquet(file).set_index("id")["set"]
    asked = {found for name, found in sets.items() if records([str(name)], ids)}
    return not asked & ({"retain", "forget", "forgotten"} if run == "original" else {"retain"})


def decoders() -> list[Decode]:
    """Of the tokenizers of the models here, each once."""
    from tokenizers import Tokenizer

    files: dict[bytes, Path] = {}
    for file in sorted(Path("results").glob("*/*/*/seed*/model/tokenizer.json")):
        files.setdefault(hashlib.sha256(file.read_bytes()).digest(), file)
    return [
        partial(Tokenizer.from_file(str(file)).decode, skip_special_tokens=True) for file in files.values()
    ]
