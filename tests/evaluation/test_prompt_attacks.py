"""Few-shot and prefilled prompts, token by token."""

import pandas as pd
import pytest
import torch

from lethe.data.encoding import Encoded, padded_rows
from lethe.data.rows import Rows
from lethe.evaluation.variants import begun
from lethe.perturbations import few_shot, prefill
from lethe.system.errors import InputError


def frame(*questions: str) -> pd.DataFrame:
    prompts = [[{"role": "system", "content": "s"}, {"role": "user", "content": q}] for q in questions]
    return pd.DataFrame({"id": list(questions), "prompt": prompts, "text": [q.upper() for q in questions]})


def test_examples_come_before_every_question_and_are_not_scored():
    sets = {
        "forget": frame("a", "b"),
        "retain": frame("c", "d", "e"),
        "general": frame("f").assign(prompt=None),
    }
    options = few_shot.Options(level=2, form="{prompt}={answer};")
    found = few_shot.perturb_model(options, None, sets, None)
    (left,) = found["retain"]["id"]
    before = "".join(f"{q}={q.upper()};" for q in "cde" if q != left)
    assert [turns[-1]["content"] for turns in found["forget"]["prompt"]] == [before + "a", before + "b"]
    assert found["forget"]["prompt"][0][0]["content"] == "s" and found["general"]["prompt"][0] is None
    assert sets["forget"]["prompt"][0][-1]["content"] == "a"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"level": 3}, "levels: 3; allowed are 1 to 2"),
        ({"level": 1, "on": "holdout"}, "on: holdout: holds no prompts"),
    ],
)
def test_examples_that_are_not_there_are_an_error(options, words):
    with pytest.raises(InputError, match=words):
        few_shot.perturb_model(few_shot.Options(**options), None, {"retain": frame("c", "d", "e")}, None)


def encoded(starts) -> Encoded:
    rows = padded_rows([[1, 2, 3, 4], [5, 6, 7]], pad=0)
    return Encoded(frame("a", "b")["id"].to_numpy(str), Rows(rows.input_ids, rows.lengths, starts=starts))


def test_an_answer_begins_with_what_is_not_scored():
    rows = begun(encoded(torch.tensor([2, 1])), [8, 9], None).rows
    assert rows.input_ids.tolist() == [[1, 2, 8, 9, 3, 4], [5, 8, 9, 6, 7, 0]]
    assert rows.starts.tolist() == [4, 3] and rows.lengths.tolist() == [6, 5]
    cut = begun(encoded(torch.tensor([2, 1])), [8, 9], 5).rows
    assert cut.input_ids.tolist() == [[2, 8, 9, 3, 4], [5, 8, 9, 6, 7]] and cut.starts.tolist() == [3, 3]
    with pytest.raises(InputError, match="longer than the context"):
        begun(encoded(torch.tensor([2, 1])), [8, 9], 4)
    with pytest.raises(InputError, match="texts without prompts"):
        begun(encoded(None), [8, 9], None)


def test_beginnings_are_numbered():
    assert prefill.beginning(prefill.Options(level=2, beginnings=("a", "b"))) == "b"
    with pytest.raises(InputError, match="levels: 3; allowed are 1 to 2"):
        prefill.beginning(prefill.Options(level=3, beginnings=("a", "b")))
