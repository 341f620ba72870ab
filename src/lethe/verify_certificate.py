"""`lethe verify CERTIFICATE`: is everything as a certificate says? Digests and numbers are computed anew.

Numbers are computed from the scores that are certified, and then from the models: each is scored again. On the machine
that made them scores come out the same to the bit; elsewhere last digits differ, and numbers may by a little.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lethe.deletion.certificate import Certificate, read
from lethe.deletion.certifying import keyed_digest, measured, model_of, score_files
from lethe.deletion.checking import differences, here, other_numbers, purged
from lethe.deletion.page import page
from lethe.deletion.request_file import read_request
from lethe.deletion.signature import checks
from lethe.params.addresses import folder_of
from lethe.params.file import Params, load_params, request_name
from lethe.params.study import Study
from lethe.request import KEY, PARAMS
from lethe.system import gpus

ANEW = 1e-3  # how far numbers of a model that is scored again may lie from certified ones, if asked for nothing else


@dataclass(frozen=True)
class Check:
    """What `lethe verify` was asked to do.

    certificate: its file. signers: allowed signers of its signature; None: any. request: file of the request; None: its
    digest is not computed. trust_scores: models are not scored again. tolerance: of numbers of a model that is.
    """

    certificate: Path
    signers: Path | None = None
    request: Path | None = None
    trust_scores: bool = False
    tolerance: float = ANEW


def verify_certificate(asked: Check) -> int:
    """Print what is not as a certificate says, then yes or no; 0 for yes, 1 for no.

    Raises:
        InputError: it is no certificate, or a file that is needed cannot be read.
    """
    file = asked.certificate
    certificate = read(file)
    params = load_params(PARAMS) if Path(PARAMS).exists() else None
    found = differences(file, params)
    if asked.request is not None and not KEY.exists():
        found.append(f"{KEY}: is not here; the digest of a request needs it")
    elif asked.request is not None:
        mark = keyed_digest(KEY.read_bytes(), read_request(asked.request).content)
        found += [] if mark == certificate.asked.digest else [f"{asked.request}: is not the request"]
    for fine, what in checks(file, asked.signers):
        if fine:
            print(f"signature: {what}")
        else:
            found.append(what)
    if asked.trust_scores:
        print("scores: taken as they are, by their digests; no model was scored again")
    elif not found and params is not None:
        found += scored_again(certificate, params, asked.tolerance)
    for line in found:
        print(line)
    for name in purged(file):
        print(f"purged: {name}")
    from lethe.training.run_record import code_digest  # which imports torch

    if certificate.code.digest != code_digest():
        print(f"code: made by another state of the package, commit {certificate.code.commit}")
    elif is_other_page(file.with_suffix(".html"), certificate):
        found.append(f"{file.with_suffix('.html')}: is not the page of this certificate")
        print(found[-1])
    print(f"{file}: {'no' if found else 'yes'}, {len(found)} things differ")
    return int(bool(found))


def is_other_page(file: Path, certificate: Certificate) -> bool:
    return file.exists() and file.read_bytes() != page(certificate).encode()


def scored_again(certificate: Certificate, params: Params, tolerance: float) -> Iterator[str]:
    """Score the models anew; a line for each number that is another then. What cannot be scored is said."""
    step = request_name(certificate.study, certificate.version)
    of = params.studies[step]
    data = [Path(folder_of(stage, step, seed=of.seeds[0])) for stage in ("prepare", "forget")]
    if missing := [path for path in data if not path.exists()]:
        print(f"scores: taken as they are, by their digests: {missing[0]} is not here")
        return
    kept = score_files(step, of)
    models = {run: certified(certificate, model_of(params, step, run)) for run in kept}
    able = [run for run in kept if here(models[run])]
    for run in kept.keys() - able:
        print(f"scores of {run}: taken as they are, by their digest: {models[run]} is not here")
    Path(".snakemake").mkdir(exist_ok=True)  # where `lethe purge` looks, if this is killed
    with tempfile.TemporaryDirectory(prefix="scores-", dir=".snakemake") as folder:
        files = kept | {run: Path(folder, run, "scores.npz") for run in able}
        prepared, forget = data
        compute_as_the_workflow()
        for run in able:
            score_anew(of, run, prepared, forget, models[run], files[run])
        other = [run for run in able if not are_equal(kept[run], files[run])]
        if not other:
            print(f"scored again: {', '.join(able)}: the same to the bit")
            return
        what = "not the same to the bit, as on another machine; numbers may differ by"
        print(f"scored again: {', '.join(other)}: {what} {tolerance:g}")
        yield from other_numbers(certificate.numbers, measured(step, of, files), tolerance)


def certified(certificate: Certificate, model: str) -> str:
    """The name by which a certificate has a model: of one on the Hub at the commit, wherever its branch is by now."""
    source, at_commit = model.partition("@")[0], (certificate.before.path, *certificate.files)
    return next((name for name in at_commit if name.partition("@")[0] == source and "@" in name), model)


def compute_as_the_workflow() -> None:
    """By one thread, on a GPU where there is one."""
    os.environ["OMP_NUM_THREADS"] = "1"
    gpus.claim(1)
    import torch

    torch.set_num_threads(1)


def score_anew(of: Study, run: str, prepared: Path, forget: Path, model: str, out: Path) -> None:
    from lethe.score import score

    cfg = {"task": of.task, **of.model_dump(mode="json", include={"model", "score"})}
    if given := of.given(run):
        cfg["given"] = given.model_dump(mode="json")
    score(cfg, prepared, forget, model, out)


def are_equal(a: Path, b: Path) -> bool:
    """Do two files hold the same arrays, to the bit?"""
    with np.load(a, allow_pickle=False) as one, np.load(b, allow_pickle=False) as other:
        return one.files == other.files and all(same_bits(one[name], other[name]) for name in one.files)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
