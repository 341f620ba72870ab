"""The result table between two markers."""

import os

import pytest

from lethe.__main__ import main
from lethe.report.readme import insert
from lethe.system.errors import InputError

BEFORE = b"# Title\r\n\n<!-- results -->\nold\n\n| x |\n<!-- /results -->\ntail without newline \xc3\xa9"


def test_only_what_is_between_the_markers_changes(tmp_path):
    path = tmp_path / "README.md"
    path.write_bytes(BEFORE)
    path.chmod(0o644)
    insert(path, "| new ± |\n")
    expected = "# Title\r\n\n<!-- results -->\n| new ± |\n<!-- /results -->\ntail without newline é"
    assert path.read_bytes() == expected.encode()
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["README.md"]


def test_the_same_table_does_not_touch_the_file(tmp_path):
    path = tmp_path / "README.md"
    path.write_bytes(BEFORE)
    insert(path, "table")
    os.utime(path, (1, 1))
    insert(path, "table\n")
    assert path.stat().st_mtime == 1


@pytest.mark.parametrize(
    "content",
    [
        b"no marker",
        BEFORE.replace(b"<!-- /results -->", b""),
        BEFORE + BEFORE,
        b"<!-- /results --><!-- results -->",
    ],
)
def test_a_file_without_a_place_for_the_table_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "README.md"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"README.md: <!-- results --> and, after it, <!-- /results -->"):
        insert(path, "table")
    assert path.read_bytes() == content


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        insert(tmp_path / "README.md", "table")


def test_the_command_takes_the_table_of_a_report(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_bytes(BEFORE)
    assert main(["readme"]) == 2
    assert capsys.readouterr().err.endswith("results/report/summary.md: no such file; `snakemake` makes it\n")
    (tmp_path / "other.md").write_text("| 1 |\n")
    assert main(["readme", "README.md", "--summary", "other.md"]) == 0
    assert b"<!-- results -->\n| 1 |\n<!-- /results -->" in (tmp_path / "README.md").read_bytes()
