"""The walk-through of the documentation: its commands, in their order, on a small study of made-up records."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import study
import workflow_in_process
import yaml
from served_study import make_in_process, parameters

from lethe import request as requests
from lethe.__main__ import main
from lethe.deletion.searching import texts_in, wanted_of
from lethe.params.file import load_params
from lethe.request import texts_of

PAGE = (Path(__file__).parents[2] / "docs/howto/deletion-walkthrough.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
EXPECTED = [  # status, what is said
    (0, "subject 2 ("),
    (0, "verdict: holds"),
    (0, "records 1: results/unlearn/records-request-1/npo/seed1/model"),
    (0, "yes, 0 things differ"),
    (0, "yes, 0 things differ"),
    (0, "served already"),
    (1, "nothing was deleted"),
    (0, "what remains:"),
    (0, "purged: data/prepared/records-request-1"),
]


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed")
def test_the_walkthrough(tmp_path, monkeypatch, capsys, caplog):
    """No four words of any text stand one after the other in what is printed, logged, certified or shown."""
    caplog.set_level("INFO")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(requests, "make", make_in_process)
    (block,) = [text for kind, text in BLOCKS if kind == "yaml"]
    content = parameters(tmp_path) | yaml.safe_load(block)
    content["dataset"] = {"source": "records", "options": {"people": 20, "records": 2}, "sizes": study.SIZES}
    content["train"]["pretrain"] = None
    content["train"]["finetune"]["epochs"] = 2
    Path("params.yaml").write_text(yaml.safe_dump({"studies": {"records": content}}))
    workflow_in_process.run_study(load_params("params.yaml"), "records", ["base", "original"], 1)
    table = pd.read_parquet("data/prepared/records/examples.parquet")
    person = table["subject"][table["split"] == "train"].iloc[0]
    (request,) = [text for kind, text in BLOCKS if kind == "csv"]
    Path("data/requests").mkdir()
    Path("data/requests/DSR-2026-17.csv").write_text(request.replace("person-0007", person))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "officer"], check=True)
    Path("signers").write_text(f"officer@example.org {Path('officer.pub').read_text()}")

    texts = texts_of("records", load_params("params.yaml").studies["records"]).table["text"]
    private = wanted_of([*texts], [], 4)
    assert private.n == 4 and private.found_in([f"said: {texts.iloc[0]}"])

    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    assert len(lines) == len(EXPECTED)
    for line, (status, said) in zip(lines, EXPECTED, strict=True):
        program, *arguments = shlex.split(line)
        assert program == "lethe"
        assert main(arguments) == status, line
        output, errors = capsys.readouterr()
        assert said in output, line
        assert not private.found_in([output, errors]), line
    assert "scored" in caplog.text and not private.found_in([caplog.text])
    shown = [file for file in Path("results/requests").rglob("*") if file.is_file()]
    endings = {".json", ".html", ".sig"}
    assert {file.suffix for file in shown} >= endings and len(shown) >= 7
    assert [file for file in shown if private.found_in(texts_in(file.read_bytes()))] == []
