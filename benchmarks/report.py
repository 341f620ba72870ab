"""The page of the report with 25 methods, 5 seeds and 3 studies: its size, how long it takes to write and to open.

    python benchmarks/report.py [--methods 25] [--seeds 5] [--studies 3]

Results are made up (`tests/synthetic.py`): one method is scored, measured and compared, the others are copies. The page
is opened in a headless Chromium several times; shown is the fastest, as the machine does other things, too.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import CHROMIUM, Browser
from synthetic import parameters, write_results

from lethe.report.report import report

OPENINGS = 5


def results(root: Path, methods: int, seeds: int, studies: int) -> dict:
    """Files of all studies under a folder; returns their parameters."""
    params = parameters(seeds=range(seeds))
    study = params["studies"].pop("records")
    study["methods"] = {"npo": {}}
    params["studies"] = {"records": study}
    write_results(root, params)
    names = [f"npo-{number}" for number in range(2, methods + 1)]
    study["methods"] |= {name: {"objective": "npo"} for name in names}
    for stage in ("unlearn", "score", "measure"):
        for name in names:
            shutil.copytree(root / f"results/{stage}/records/npo", root / f"results/{stage}/records/{name}")
    file = root / "results/compare/records/comparison.json"
    compared = json.loads(file.read_text())
    for key in ("runs", "verdicts", "strongest", "losses"):
        compared[key] |= {name: compared[key]["npo"] for name in names if "npo" in compared[key]}
    compared["attack"]["roc"] |= dict.fromkeys(names, compared["attack"]["roc"]["npo"])
    if "better" in compared:
        compared["better"] |= dict.fromkeys(names, compared["better"]["npo"])
    file.write_text(json.dumps(compared))
    for number in range(2, studies + 1):
        params["studies"][f"records-{number}"] = copy.deepcopy(study)
        for folder in (*(root / "results").iterdir(), *(root / "data").iterdir()):
            shutil.copytree(folder / "records", folder / f"records-{number}")
    return params


def opened(page: Path, profile: Path) -> tuple[float, float]:
    """Seconds until the page has loaded, and from a jump to a figure until it is drawn; the fastest of several."""
    loaded, drawn = [], []
    with Browser(profile) as browser:
        for _ in range(OPENINGS):
            browser.open(page)
            loaded.append(
                browser.run("performance.timing.loadEventEnd - performance.timing.navigationStart") / 1000
            )
            start = time.monotonic()
            browser.run("document.querySelector('.plot').scrollIntoView()")
            browser.until("document.querySelector('.plot svg') !== null")
            drawn.append(time.monotonic() - start)
        assert browser.said == []
    return min(loaded), min(drawn)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    for name, count in (("methods", 25), ("seeds", 5), ("studies", 3)):
        arguments.add_argument(f"--{name}", type=int, default=count)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        params = results(root, given.methods, given.seeds, given.studies)
        start = time.process_time()
        report(params, root / "out", root)
        print(f"written in {time.process_time() - start:.1f} s of processor time")
        page = root / "out/report.html"
        print(f"{page.stat().st_size / 1e6:.2f} MB")
        if CHROMIUM:
            loaded, drawn = opened(page, root / "profile")
            print(f"loaded in {loaded:.2f} s, a figure drawn {drawn:.2f} s after a jump to it")


if __name__ == "__main__":
    main()
