"""Damaged, odd and hostile data files: each is read, or refused in one line that holds nothing of it."""

import datetime
import gzip
import io
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from lethe.data import table_files
from lethe.data.id_files import requested
from lethe.data.texts import load
from lethe.params.data import Source
from lethe.system.errors import InputError

SECRET = "Ann Lee takes 5 mg"
MOST = 2**20  # bytes of a file
ROW = {"id": "r0", "text": SECRET, "label": "a", "subject": "p1"}
LINE = json.dumps(ROW).encode() + b"\n"
CSV = f"id,text,label,subject\nr0,{SECRET},a,p1\n".encode()


def table(metadata=None, count=2, **columns):
    """Bytes of a Parquet file."""
    columns = {"id": [f"r{i}" for i in range(count)], "text": [SECRET] * count} | columns
    made = pa.table(columns)
    buffer = io.BytesIO()
    parquet.write_table(made.replace_schema_metadata(metadata or {}), buffer)
    return buffer.getvalue()


def array(values, **options):
    buffer = io.BytesIO()
    np.save(buffer, values, **options)
    return buffer.getvalue()


def line(**changes):
    return json.dumps(ROW | changes).encode() + b"\n"


PARQUET = table()
FAR = pa.array([2**62, 1], pa.timestamp("us"))
MAPS = pa.array([[("k", SECRET)], []], pa.map_(pa.string(), pa.string()))
READ = {
    "crlf.csv": CSV.replace(b"\n", b"\r\n"),
    "old_mac.csv": CSV.replace(b"\n", b"\r"),
    "mark.csv": b"\xef\xbb\xbf" + CSV,
    "mark.jsonl": b"\xef\xbb\xbf" + LINE,
    "mark.json": b"\xef\xbb\xbf[" + LINE + b"]",
    "mark.jsonl.gz": gzip.compress(b"\xef\xbb\xbf" + LINE),
    "blank_lines.csv": b"\n\n" + CSV + b"\n\n",
    "blank_lines.jsonl": b"\n \n" + LINE + b"\r\n\n",
    "quotes.csv": b'"id","text","label","subject"\r\n"r0","a ""b""\nc, d","a","p1"\r\n',
    "short_row.csv": CSV + b"r1,text and no more,b\n",
    "nul.csv": CSV.replace(b"Ann", b"A\0nn"),
    "members.jsonl.gz": gzip.compress(LINE) + gzip.compress(line(id="r1")),
    "lines.json": LINE + line(id="r1"),
    "under_data.json": b'{"data": [' + LINE + b'], "version": 1}',
    "names_twice.jsonl": b'{"id": "x", "text": "x", ' + LINE[1:],
    "no_final_break.jsonl": LINE.strip(),
    "numbers.jsonl": line(id=2**70, label=0.0, subject=None),
    "not_a_number.jsonl": line(subject=float("nan")),
    "truth.jsonl": line(label=True),
    "CAPITALS.JSONL": LINE,
    "names.jsonl": line(id="\0x\1", subject="x" * 4096),
    "dates.parquet": table(
        label=[datetime.date(2020, 1, 1)] * 2, subject=[None, datetime.datetime(2020, 1, 1)]
    ),
    "dictionary.parquet": table(label=pa.array(["a", "b"]).dictionary_encode(), subject=pa.nulls(2)),
    "empty_lists_beside.parquet": table(label=["a", "b"], subject=["p", ""], more=[[], []]),
    "pandas.parquet": table({b"pandas": b"{broken"}, label=["a", "b"], subject=["p", "q"]),
}
REFUSED = {
    "empty.csv": b"",
    "empty.jsonl": b"",
    "empty.json": b"",
    "empty.parquet": b"",
    "empty.npy": b"",
    "empty.csv.gz": b"",
    "mark_only.csv": b"\xef\xbb\xbf",
    "mark_only.json": b"\xef\xbb\xbf",
    "blank.csv": b"\n \n",
    "header_only.json": b"[]",
    "utf16.csv": CSV.decode().encode("utf-16"),
    "utf16.jsonl": LINE.decode().encode("utf-16"),
    "latin1.csv": CSV + "r1,é,a,p".encode("latin-1"),
    "latin1.jsonl": line() + '{"text": "é"}'.encode("latin-1"),
    "no_header.csv": CSV.split(b"\n", 1)[1],
    "semicolons.csv": CSV.replace(b",", b";"),
    "long_row.csv": CSV + b"r1,a,b,c,d,e\n",
    "long_first_row.csv": CSV.replace(b"p1", b"p1,more"),
    "open_quote.csv": CSV + b'r1,"' + SECRET.encode(),
    "names_twice.csv": CSV.replace(b"label", b"text"),
    "many_columns.csv": b"text," * 50_000 + b"end\n",
    "many_names.csv": b",".join(b"%d" % i for i in range(20_000)),
    "long_name.csv": b"x" * 70_000 + b"\n" + SECRET.encode(),
    "text_in_place.parquet": CSV,
    "text_in_place.npy": CSV,
    "parquet_in_place.csv": PARQUET,
    "cut_off.parquet": PARQUET[:-20],
    "no_end.parquet": PARQUET[: len(PARQUET) // 2],
    "footer.parquet": PARQUET[:-8] + b"\xff\xff\xff\x7fPAR1",
    "flipped.parquet": PARQUET[:40] + b"\xff" * 60 + PARQUET[100:],
    "no_rows.parquet": table(count=0),
    "no_text.parquet": table(text=pa.nulls(2)),
    "bytes.parquet": table(text=[b"a", b"b"]),
    "struct_label.parquet": table(label=[{"a": SECRET}] * 2),
    "map_label.parquet": table(label=MAPS),
    "list_label.parquet": table(label=[[SECRET], []]),
    "struct_id.parquet": table(id=[{"a": SECRET}] * 2),
    "far.parquet": table(label=FAR),
    "float_ids.parquet": table(id=[1e18, 1e18 + 4096]),
    "class_names.parquet": table({b"huggingface": b"{broken"}),
    "expands_categories.parquet": table(count=9000, text=pa.array(["x" * 999] * 9000).dictionary_encode()),
    "expands.parquet": table(count=9000, text=["x" * 999] * 9000),
    "classes.parquet": table(
        {
            b"huggingface": json.dumps(
                {"info": {"features": {"label": {"names": ["a"], "_type": "ClassLabel"}}}}
            ).encode()
        },
        label=[7, 8],
    ),
    "cut_off.csv.gz": gzip.compress(CSV)[:-9],
    "no_gzip.csv.gz": CSV,
    "tail.jsonl.gz": gzip.compress(LINE) + b"tail",
    "twice.csv.gz": gzip.compress(gzip.compress(CSV)),
    "expands.csv.gz": gzip.compress(CSV + b"0" * 20 * MOST),
    "expands.jsonl.gz": gzip.compress(LINE * 20_000),
    "large.csv": CSV + b"r1,a,b,c\n" * 200_000,
    "long_line.jsonl": line(text="x" * 70_000),
    "long_text.json": b"[" + line(text="x" * 70_000) + b"]",
    "long_text.csv": CSV + b"r1," + b"x" * 70_000 + b",a,p\n",
    "cut_off.jsonl": LINE + LINE[:30],
    "cut_off.json": b"[" + LINE,
    "comma.json": b"[" + LINE + b",]",
    "quotes.jsonl": str(ROW).encode(),
    "two_in_a_line.jsonl": LINE.strip() + LINE,
    "lists.jsonl": b'["a", "b"]\n',
    "scalar.json": b"7",
    "text.json": json.dumps(SECRET).encode(),
    "null.json": b"null",
    "data_null.json": b'{"data": null}',
    "keyed.json": json.dumps({SECRET: ROW}).encode(),
    "keyed.jsonl": json.dumps({SECRET: "x"}).encode(),
    "deep.json": b"[" * 200_000,
    "deep.jsonl": b'{"text": ' + b"[" * 40_000,
    "digits.jsonl": b'{"id": ' + b"9" * 5000 + b"}",
    "infinite.jsonl": line(text=float("inf")),
    "number.jsonl": line(text=7),
    "null_text.jsonl": line(text=None),
    "chat.jsonl": line(text=[{"role": "user", "content": SECRET}]),
    "object_id.jsonl": line(id={"a": SECRET}),
    "no_id.jsonl": line(id=None),
    "blank_id.jsonl": line(id="\u200b "),
    "same_ids.jsonl": line(id=SECRET) * 2,
    "half.jsonl": LINE.replace(b"Ann", b"\\ud83d"),
    "half_id.jsonl": LINE.replace(b"r0", b"\\udc00"),
    "nul_id.jsonl": line(id="r0") + line(id="r0\0"),
    "nul_label.jsonl": line(label="a\0"),
    "long_id.jsonl": line(id="x" * 4097),
    "half_subject.jsonl": LINE.replace(b"p1", b"\\ud83d"),
    "no_width.jsonl": line(text="\u200b\u2060\ufeff\ufe0f\u00ad"),
    "blank.jsonl": line(text=" \u3000\x00\n"),
    "filler.jsonl": line(text="\u3164"),
    "python.json": b"__import__('os')",
    "objects.npy": array(np.array([{}, []], dtype=object), allow_pickle=True),
    "floats.npy": array(np.ones((2, 2))),
    "cut_off.npy": array(np.ones((9, 9), dtype=int))[:-9],
    "records.npy": array(np.zeros(2, dtype=[("a", int)])),
    "promises.npy": array(np.ones((1, 1), dtype=int)).replace(b"(1, 1), }     ", b"(1, 9999999), "),
    "header.npy": array(np.ones((1, 1), dtype=int)).replace(b"'shape'", b"[shape]"),
}


@pytest.fixture(autouse=True)
def bounds(monkeypatch):
    """Smaller ones, so that files which exceed them are quickly made."""
    monkeypatch.setattr(table_files, "LONGEST", 2**16)
    monkeypatch.setattr("lethe.data.cells.LONGEST", 2**16)


def read(path):
    if path.suffix == ".npy":
        return load(Source(source=str(path), tokenizer=str(path.parent)), 0)[0]
    labelled = path.name.startswith(("struct_l", "map_l", "list_l", "far", "class")) or "jsonl" in path.name
    subject = "subject" if "jsonl" in path.name.lower() else None
    label = "label" if labelled else None
    return load(Source(source=str(path), id="id", label=label, subject=subject, max_bytes=MOST), 0)[0]


def check_message(error):
    message = str(error)
    assert "\n" not in message and len(message) < 400
    assert not any(part in message for part in ("Ann", "Lee", " mg")), message


@pytest.mark.parametrize("name", READ)
def test_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(READ[name])
    frame = read(path)
    assert len(frame) in (1, 2) and frame["text"].map(len).min() > 0 and frame["id"].is_unique


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(REFUSED[name])
    with pytest.raises(InputError) as error:
        read(path)
    check_message(error.value)


def test_as_a_deletion_request_each_is_read_or_refused(tmp_path):
    for name, content in (READ | REFUSED).items():
        path = tmp_path / name
        path.write_bytes(content)
        try:
            assert requested(path, {"r0", "r1"}) <= {"r0", "r1"}
        except InputError as error:
            check_message(error)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    os.mkfifo(tmp_path / "pipe.npy")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop.json").symlink_to(tmp_path / "loop.json")
    (tmp_path / "broken.json").symlink_to(tmp_path / "none")
    (tmp_path / "null.csv").symlink_to("/dev/null")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(InputError, match=path.name) as error:
            read(path)
        check_message(error.value)


OTHERS = {
    "alternatives": ([["a", "b"], "one", None, [], [" ", None, "c"]], [7, [7], [["a"]], {"a": SECRET}]),
    "paraphrase": (["a", None], [7, ["a"]]),
    "prompt": (["a"], [" ", None, 7, ["a"], "\ud83d"]),
}


@pytest.mark.parametrize("column", OTHERS)
def test_columns_beside_the_answer_are_read_or_refused(tmp_path, column):
    path = tmp_path / "probe.jsonl"
    source = Source(source=str(path), **{"prompt": "prompt", column: column})
    for value in OTHERS[column][0]:
        path.write_bytes(line(**{"prompt": "x", column: value}))
        frame = load(source, 0, "dataset.probes.facts")[0]
        if column == "alternatives":
            each = value if isinstance(value, list) else [value]
            assert frame[column][0] == [text for text in each if text and text.strip()]
    for value in OTHERS[column][1]:
        path.write_bytes(line(**{"prompt": "x", column: value}))
        with pytest.raises(InputError, match=f"^dataset.probes.facts.{column}: row 0 of column") as error:
            load(source, 0, "dataset.probes.facts")
        check_message(error.value)


FOLDERS = {"dataset_infos.json": b"[]", "README.md": b"---\nconfigs: [\xff\n---\n"}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_whose_description_is_damaged_is_refused(tmp_path, name):
    (tmp_path / "train.jsonl").write_bytes(LINE)
    assert len(load(Source(source=str(tmp_path)), 0)[0]) == 1
    (tmp_path / name).write_bytes(FOLDERS[name])
    with pytest.raises(InputError, match="cannot be loaded") as error:
        load(Source(source=str(tmp_path)), 0)
    check_message(error.value)
