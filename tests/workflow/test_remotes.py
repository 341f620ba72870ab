"""Push and pull: a folder and an S3-compatible server."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def bucket(monkeypatch):
    """Address of a server on this machine that speaks S3, with an empty bucket `store`."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        create(f"{address}/store")
        yield address
    finally:
        server.terminate()
        server.wait()


def create(url: str) -> None:
    """Make a bucket as soon as the server answers."""
    for _ in range(100):
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT")).close()
            return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(url)


@pytest.mark.slow
def test_s3(here, bucket, tmp_path):
    here("dvc remote add -q -d -f store s3://store/lethe")
    here(f"dvc remote modify -q store endpointurl {bucket}")
    here("dvc push -q")
    here.commit("remote")
    clone = here.clone(tmp_path / "clone")
    assert clone.results() == here.results()
    assert clone.plans_nothing()
    assert clone.is_clean()


def test_only_the_report_is_pulled(made, tmp_path):
    """Without models: the report is there and `snakemake report` has nothing to do."""
    clone = made.clone(tmp_path / "clone", pull=False)
    clone("dvc pull -q report")
    assert (clone.path / "results/report/report.html").exists()
    assert "Nothing to be done" in clone("snakemake -n report")
    assert not (clone.path / "results/train").exists()
