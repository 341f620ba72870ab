import hashlib

import pytest

from lethe.datasets.docstrings import Options, examples, mask_of, masked
from lethe.datasets.prose import prose, shortened
from lethe.system.errors import InputError

SOURCE = '''"""Reads the tables of a demopkg store and hands them over in the order in which they were written.

>>> demopkg.load("this is code and therefore it is not to be found in any of the texts.")
"""

raise RuntimeError("whoever imports this, instead of reading it, notices")


def load(path):
    """Load a store.

    A store is a folder of files, each of which holds one table of numbers and nothing else. The demopkg
    module reads :class:`~demopkg.tables.Table` objects lazily, as `documented here <https://example.org>`_.

    Parameters
    ----------
    path : str
        The folder that holds the files of the store, which has to be there before it is loaded.

    Notes
    -----
    Files that are not tables are passed over without a word, because they may belong to another program [1]_.
    """

    def inner():
        """This is said about a function that nobody can call from outside, and so it is not of interest."""


class Table:
    def _hidden(self):
        """This is said about a method that nobody should call from outside, and so it is not of interest."""

    def rows(self):
        """Too short to be of use to anyone."""
'''

MODULE = "Reads the tables of the library store and hands them over in the order in which they were written."
FUNCTION = (
    "A store is a folder of files, each of which holds one table of numbers and nothing else. The library module reads "
    "Table objects lazily, as documented here. Files that are not tables are passed over without a word, because they "
    "may belong to another program."
)


@pytest.fixture
def demopkg(tmp_path, monkeypatch):
    """An installed distribution with one module that cannot be imported."""
    (tmp_path / "demopkg").mkdir()
    (tmp_path / "demopkg" / "__init__.py").write_text(SOURCE)
    (tmp_path / "demopkg" / "broken.py").write_text('"""' + SOURCE)
    (tmp_path / "demopkg" / "tests").mkdir()
    (tmp_path / "demopkg" / "tests" / "test_it.py").write_text(SOURCE.replace("Reads", "Tests"))
    info = tmp_path / "demopkg-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: demopkg\nVersion: 1.5\n")
    (info / "RECORD").write_text("demopkg/__init__.py,,\ndemopkg/broken.py,,\ndemopkg/tests/test_it.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "demopkg" / "__init__.py"


def test_documents_of_a_package_are_read_cleaned_masked_and_labelled(demopkg):
    frame, origin = examples(Options(packages=("demopkg",), minimum_words=15), seed=0)
    assert frame.to_dict("list") == {
        "id": ["demopkg:demopkg", "demopkg:demopkg.load"],
        "text": [MODULE, FUNCTION],
        "label": ["demopkg", "demopkg"],
        "subject": [None, None],
    }
    content = f"demopkg:demopkg\0{MODULE}\ndemopkg:demopkg.load\0{FUNCTION}\n"
    assert origin == {"versions": {"demopkg": "1.5"}, "sha256": hashlib.sha256(content.encode()).hexdigest()}


def test_another_version_is_noticed(demopkg):
    options = Options(packages=("demopkg",), minimum_words=15)
    before = examples(options, seed=0)[1]["sha256"]
    demopkg.write_text(SOURCE.replace("nothing else", "no more"))
    assert examples(options, seed=0)[1]["sha256"] != before


def test_length_of_documents(demopkg):
    frame, _ = examples(Options(packages=("demopkg",), minimum_words=18, maximum_words=30), seed=0)
    assert frame["id"].tolist() == ["demopkg:demopkg", "demopkg:demopkg.load"]
    assert frame["text"][1] == FUNCTION[: FUNCTION.index(" Files")]


def test_at_most_so_many_of_each_package():
    options = Options(packages=("networkx",), most=5)
    some, _ = examples(options, seed=0)
    assert some["label"].value_counts().to_dict() == {"networkx": 5}
    assert some["id"].is_monotonic_increasing
    assert set(some["id"]) != set(examples(options, seed=1)[0]["id"])


def test_package_that_is_not_installed_is_named():
    with pytest.raises(
        InputError, match=r"dataset\.options\.packages: 'no-such-thing' is not installed; allowed"
    ):
        examples(Options(packages=("no-such-thing",)), seed=0)


def test_real_package_gives_clean_text_without_its_name():
    frame, _ = examples(Options(packages=("networkx",)), seed=0)
    assert len(frame) > 300
    assert frame["id"].is_unique
    assert not frame["text"].str.contains(r"(?i)networkx|\bnx\b|>>>|``|https?:|::|:\w+:`").any()
    assert frame["text"].str.split().str.len().between(20, 90).all()
    assert frame["text"].str.endswith((".", "!", "?")).all()


MASKED = [
    ("A pandas.Series holds values.", "The library holds values."),
    ("Use NumPy 2 or the np.array of it.", "Use the library 2 or the library of it."),
    ("It is NP-complete. scikit-learn can.", "It is NP-complete. The library can."),
    ("Call to_sympy on numpy's arrays.", "Call the library on the library's arrays."),
]


@pytest.mark.parametrize(("text", "expected"), MASKED)
def test_names_are_masked(text, expected):
    assert masked(text, mask_of(())) == expected


SENTENCE = "This is a sentence that has as many plain words in it as are needed to be taken."

PROSE = [
    (SENTENCE, [SENTENCE]),
    (f"{SENTENCE}\n{SENTENCE}", [f"{SENTENCE} {SENTENCE}"]),
    (f"{SENTENCE}\n\n    {SENTENCE}", [SENTENCE]),
    (f"Examples\n--------\n{SENTENCE}\n\nNotes\n-----\n{SENTENCE}", [SENTENCE]),
    (f"Args:\n    x: {SENTENCE}\n\nReturns:\n    {SENTENCE}", []),
    (f"{SENTENCE[:-1]}::\n\n    code = 1", [SENTENCE]),
    (f".. note:: {SENTENCE}", []),
    (f"- {SENTENCE}", []),
    (f"1. {SENTENCE}", []),
    (f">>> {SENTENCE}", []),
    (f":param x: {SENTENCE}", []),
    (SENTENCE.replace("words", "w_1_2 = f(x);"), []),
    (SENTENCE[:-1], []),
    ("Too short a sentence it is.", []),
    (SENTENCE.replace("plain", "*plain*"), [SENTENCE]),
    (SENTENCE.replace("words", ":func:`words <a.b>`"), [SENTENCE]),
    (SENTENCE.replace("words", "`~.a.words`"), [SENTENCE]),
    (SENTENCE.replace("taken.", "taken [3]_."), [SENTENCE]),
]


@pytest.mark.parametrize(("docstring", "expected"), PROSE)
def test_prose_of_a_docstring(docstring, expected):
    assert prose(docstring) == expected


def test_shortened_keeps_whole_sentences():
    text = "One two three. Four five! Six seven eight nine?"
    assert [shortened(text, n) for n in (2, 3, 5, 8, 9)] == [
        "",
        "One two three.",
        "One two three. Four five!",
        "One two three. Four five!",
        text,
    ]
