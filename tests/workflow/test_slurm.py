"""The Slurm profile, as it is shipped, on a real Slurm: faults of jobs, nodes, the controller and the main process.

Not part of the plain test run: `pytest -m slurm -n 3` (every test process starts a cluster of its own; minutes).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hub_folder import chat_model
from repository import HERE, Repo, jobs, make
from slurm_cluster import Cluster, until, why_not
from test_whole import contents, differing
from tofu_study import needs_tofu, study

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(why_not() is not None, reason=f"no Slurm here: {why_not()}"),
]
RUN = ("snakemake", "--profile", "profiles/slurm")
OPTIONS = ("--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10")
ICU, NPO = "records/icu/seed0", "records/npo/seed1"
TARGETS = ("--", *(f"results/unlearn/{run}/model.sha256" for run in (ICU, NPO)))
SECONDS = 1200.0  # within which every run ends, however busy the machine is


@pytest.fixture(scope="module")
def cluster():
    root = Path(tempfile.mkdtemp(prefix="lethe-slurm-"))
    root.chmod(0o755)  # munge wants its socket to be reachable
    cluster = Cluster(root)
    try:
        cluster.start()
        (cluster.commands / "lethe").symlink_to(HERE / "slurm_lethe.py")
        yield cluster
    except (TimeoutError, subprocess.CalledProcessError) as error:
        error.add_note(cluster.logs())
        raise
    finally:
        cluster.down()
        shutil.rmtree(root, ignore_errors=True)


class SlurmRepo(Repo):
    """A repository whose jobs go to the cluster."""

    def __init__(self, path: Path, cluster: Cluster):
        super().__init__(path, cluster.commands)
        self.cluster = cluster
        self.started: list[subprocess.Popen] = []
        for name in ("hold", "memory"):
            (path / name).mkdir()

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(**self.cluster.environment, **more)

    def start(self, *command: str, **environment: str) -> subprocess.Popen:
        """Output goes to a file, because a process that is killed leaves jobs behind that would hold a pipe open."""
        with open(self.path / "output", "a") as output:
            process = subprocess.Popen(
                command, cwd=self.path, env=self.environment(**environment), text=True, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def end(self) -> None:
        """End what a test that failed has left."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for job in self.cluster.jobs(self.path, "PD,R,CG"):
            self.cluster.ask("scancel", job["id"])

    def output(self) -> str:
        return (self.path / "output").read_text()

    def hold(self, run: str, number: int = 1) -> Path:
        """Let a start of the unlearning of a run wait until the file is removed."""
        file = self.path / "hold" / f"{name(run)}.{number}"
        file.touch()
        return file

    def journal(self) -> list[list[str]]:
        """Start or end, name of the job, Slurm's id and the GPU, line by line."""
        file = self.path / "journal"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def count(self, word: str, run: str) -> int:
        return [line[:2] for line in self.journal()].count([word, name(run)])

    def await_start(self, held: str, other: str) -> None:
        """Wait until a job that is held has started, and the job of the other run is over."""
        until(lambda: self.count("start", held), f"start of {held}", SECONDS)
        until(lambda: self.job(other)["state"] == "COMPLETED", f"end of {other}", SECONDS)

    def jobs_of(self, run: str) -> list[dict[str, str]]:
        """What Slurm knows of the jobs in which the unlearning of a run was started, in the order of their ids."""
        ids = {number for word, job, number, _ in self.journal() if [word, job] == ["start", name(run)]}
        return [job for job in self.cluster.jobs(self.path) if job["id"] in ids]

    def job(self, run: str) -> dict[str, str]:
        """The last of them."""
        jobs = self.jobs_of(run)
        return jobs[-1] if jobs else {"state": "PENDING", "id": "", "node": ""}

    def await_end(self, process: subprocess.Popen) -> None:
        process.wait(SECONDS)
        assert process.returncode == 0, self.output()

    def check(self, made: Repo, starts: dict[str, int]) -> None:
        """So many starts of the unlearning of the runs, and nothing out of date but the report, which shows costs."""
        assert Counter(job for word, job, *_ in self.journal() if word == "start") == {
            name(run): count for run, count in starts.items()
        }
        assert {gpu for *_, gpu in self.journal()} <= {"0", "1"}
        assert jobs(self("snakemake")) == {"report": 1}
        assert self.results() == made.results()
        assert self.plans_nothing()
        assert self.is_clean()


def name(run: str) -> str:
    """Name of the unlearning of a run in the journal: its output with dots for slashes."""
    return f"results/unlearn/{run}".replace("/", ".")


@pytest.fixture
def repo(made, cluster, tmp_path) -> Iterator[SlurmRepo]:
    """Results in which two models are missing."""
    repo = SlurmRepo(made.copy(tmp_path / "here").path, cluster)
    for run in (ICU, NPO):
        shutil.rmtree(repo.path / "results/unlearn" / run)
    yield repo
    repo.end()


def here_and_there(cluster, folder, params: dict):
    """A repository with the real commands, and its copy on the cluster."""
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (folder / "commands").mkdir()
    (folder / "commands/srun").symlink_to(cluster.commands / "srun")
    local = make(folder / "local", folder / "commands", folder / "params.yaml")
    local.commit("sources")
    copy = local.copy(folder / "slurm")
    repo = SlurmRepo(copy.path, cluster)
    repo.commands = copy.commands
    return local, repo


def test_the_real_lethe_makes_the_same_bits_as_locally(cluster, tmp_path):
    """Through every rule but the report, with one method of one study."""
    target = "results/measure/topics/deepcut/seed0/metrics.json"
    params = yaml.safe_load((HERE / "params_tiny.yaml").read_text())
    del params["studies"]["records"]
    local, repo = here_and_there(cluster, tmp_path, params)
    run = repo.start(*RUN, *OPTIONS, target)
    local(f"snakemake {target}")
    repo.await_end(run)
    assert {job["state"] for job in cluster.jobs(repo.path)} == {"COMPLETED"}
    for folder in ("data/prepared", "data/forget", "results"):
        assert differing(contents(local.path / folder), contents(repo.path / folder)) <= {"cost.json"}
    assert "Nothing to be done" in repo(f"snakemake -n {target}")


@needs_tofu
def test_tofu_and_a_chat_model_come_to_the_same_report_as_by_dvc(cluster, tmp_path):
    """All rules of a study in which nothing is trained but the method."""
    chat_model(tmp_path / "chat")
    local, repo = here_and_there(cluster, tmp_path, study(str(tmp_path / "chat")))
    assert "train" not in jobs(repo("snakemake -n"))
    run = repo.start(*RUN, *OPTIONS)
    local("dvc repro")
    repo.await_end(run)
    assert {job["state"] for job in cluster.jobs(repo.path)} == {"COMPLETED"}
    assert differing(contents(local.path / "results"), contents(repo.path / "results")) <= {"cost.json"}
    summary = (repo.path / "results/report/summary.md").read_text()
    assert "gradient_difference" in summary and "real authors" in summary
    assert repo.plans_nothing() and local.plans_nothing() and local.is_clean()


def test_a_job_gets_more_time_and_more_memory(repo, made):
    """One job exceeds its time limit, another its memory; both pass at the second attempt, with twice as much."""
    repo.hold(NPO)
    repo.hold(ICU)
    (repo.path / "memory" / name(ICU)).write_text("1000")
    run = repo.start(*RUN, *OPTIONS, "--set-resources", "unlearn_examples:mem_mb=900*attempt", *TARGETS)
    until(lambda: repo.count("start", NPO), "start of the job", SECONDS)
    late = repo.job(NPO)
    # Slurm's shortest limit, given when the job is at work: from the beginning, a busy machine might not come so far.
    repo.cluster.ask("scontrol", "update", f"jobid={late['id']}", "timelimit=1")
    repo.await_end(run)
    repo.check(made, {ICU: 2, NPO: 2})
    first, second = repo.jobs_of(NPO)
    assert (late["limit"], first["state"]) == ("1:00:00", "TIMEOUT")
    assert (second["limit"], second["state"]) == ("2:00:00", "COMPLETED")
    first, second = repo.jobs_of(ICU)
    assert first["memory"] == "900M"
    assert first["state"] in ("FAILED", "OUT_OF_MEMORY")
    assert (second["memory"], second["state"]) == ("1800M", "COMPLETED")


def test_a_cancelled_job_is_sent_again(repo, made):
    repo.hold(ICU)
    run = repo.start(*RUN, *OPTIONS, *TARGETS)
    repo.await_start(ICU, NPO)
    repo.cluster.ask("scancel", repo.job(ICU)["id"])
    repo.await_end(run)
    repo.check(made, {ICU: 2, NPO: 1})


def test_a_node_dies(repo, made):
    """Slurm starts its job again on another node."""
    repo.hold(ICU)
    run = repo.start(*RUN, *OPTIONS, *TARGETS)
    repo.await_start(ICU, NPO)
    node = repo.job(ICU)["node"]
    repo.cluster.crash(node)
    repo.await_end(run)
    repo.cluster.start_node(node)
    repo.check(made, {ICU: 2, NPO: 1})


def test_a_node_seems_lost(repo, made):
    """Its job runs on beside its second copy, and is killed when all is done: nothing of the results goes with it."""
    held = repo.hold(ICU)
    run = repo.start(*RUN, *OPTIONS, *TARGETS)
    repo.await_start(ICU, NPO)
    node = repo.job(ICU)["node"]
    repo.cluster.process(node).kill()
    repo.await_end(run)
    assert held.exists() and repo.count("start", ICU) == 2 and repo.count("end", ICU) == 1
    old = list(repo.cluster.steps(node))
    repo.cluster.start_node(node)
    until(lambda: not any(process.is_running() for process in old), "the old copy is gone")
    repo.check(made, {ICU: 2, NPO: 1})


def test_the_controller_is_restarted(repo, made):
    held = repo.hold(ICU)
    run = repo.start(*RUN, *OPTIONS, *TARGETS)
    repo.await_start(ICU, NPO)
    repo.cluster.stop("slurmctld")
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(15)
    repo.cluster.start_controller()
    held.unlink()
    repo.await_end(run)
    repo.check(made, {ICU: 1, NPO: 1})


@pytest.mark.parametrize("cancel", [False, True], ids=["wait", "cancel"])
def test_the_main_process_is_killed(repo, made, cancel):
    """With a job at work: the next run refuses, and resume.py waits for the job or cancels it, then goes on."""
    held = repo.hold(ICU)
    killed = repo.start(*RUN, *OPTIONS, *TARGETS)
    repo.await_start(ICU, NPO)
    killed.kill()
    killed.wait()
    refused = repo.start(*RUN, *OPTIONS, *TARGETS)
    assert refused.wait(SECONDS) != 0
    assert "`python workflow/resume.py` waits for them" in repo.output()
    assert "Traceback" not in repo.output()
    resumed = repo.start(
        sys.executable, "workflow/resume.py", *(["--cancel"] if cancel else []), *OPTIONS, *TARGETS
    )
    until(lambda: ("cancelling 1" if cancel else "waiting for 1") in repo.output(), "the job is found")
    if not cancel:
        held.unlink()
    repo.await_end(resumed)
    repo.check(made, {ICU: 2 if cancel else 1, NPO: 1})
