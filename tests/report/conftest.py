"""One report of made-up results, which several files look at."""

import pytest
from synthetic import parameters, write_results

from lethe.report.report import report


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    write_results(root, parameters())
    report(parameters(), root / "results/report", root)
    return root
