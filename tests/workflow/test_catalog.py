"""The rules of the Snakemake Workflow Catalog for standardised usage."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from repository import ROOT, planned

BIN = Path(sys.executable).parent


def test_the_files_it_asks_for():
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (ROOT / "workflow/Snakefile").is_file()
    assert list((ROOT / "workflow/rules").glob("*.smk"))
    assert (ROOT / "config/README.md").read_text().startswith("# Configuration")


def test_its_settings_are_those_it_knows():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    assert all(isinstance(value, bool) for value in [usage["report"], *deployment.values()])
    assert deployment["conda"] == (ROOT / "workflow/envs/lethe.yaml").exists()
    assert deployment["apptainer"] == ("container:" in (ROOT / "Snakefile").read_text())


def test_the_snakefile_it_looks_at_is_formatted():
    done = subprocess.run([BIN / "snakefmt", "--check", ROOT / "workflow/Snakefile"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_the_snakefile_it_looks_at_is_the_same_workflow(here):
    """Started by its path, it plans the same jobs, and none where all is made."""
    assert "Nothing to be done" in here("snakemake -n --snakefile workflow/Snakefile")
    (here.path / "results/measure/topics/retrain/seed0/metrics.json").unlink()
    jobs = planned(here("snakemake -n --snakefile workflow/Snakefile"))
    assert jobs == planned(here("snakemake -n"))
    assert "measure/topics/retrain/0" in jobs


def test_deployed_as_a_module_it_plans_the_same_jobs(made, tmp_path):
    """As snakedeploy writes it: a Snakefile, and a configuration that names the parameter file."""
    text = (
        'configfile: "config/config.yaml"\n\nmodule lethe:\n    snakefile:\n        "'
        f'{made.path}/workflow/Snakefile"\n    config:\n        config\n\nuse rule * from lethe as lethe_*\n'
    )
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow/Snakefile").write_text(text)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copy(made.path / "params.yaml", tmp_path / "config/params.yaml")
    deployed = made.__class__(tmp_path, made.commands)
    output = deployed("snakemake -c 2")
    assert "lethe_write_report" in output
    assert (tmp_path / "results/report/report.html").read_bytes() == (
        made.path / "results/report/report.html"
    ).read_bytes()


def test_the_examples_of_its_configuration_are_valid():
    from lethe.params.file import check_params, load_params

    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "config/README.md").read_text(), re.DOTALL)
    assert list(check_params(yaml.safe_load(example), "config/README.md").studies) == ["news"]
    named = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert list(load_params(ROOT / named["params"]).studies) == ["authors"]
