"""Methods that learn another answer: spliced by hand, at the frozen model, and what files and columns must hold."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from recorded_run import RecordedRun
from test_weighted_ascent import TWO, probabilities

from lethe import losses
from lethe.data.encoding import padded_rows
from lethe.data.rows import Rows
from lethe.objectives import alt_po, dpo, idk, idk_dpo
from lethe.objectives._refusals import OWN, refusals
from lethe.system.errors import InputError
from lethe.training.batches import TrainingRows
from lethe.training.rows import Examples, with_endings

FORGET = padded_rows([[1, 2, 3, 4], [5, 6, 7]], pad=0)
ENDINGS = [[[8, 0], [9, 9, 9, 0]], [[10, 0]]]


def batch() -> dict:
    forget = tiny.rows(3, seed=1)
    alternative = forget.input_ids[:, :2]
    rows = padded_rows([[*row, 7, 8, 9] for row in alternative.tolist()], pad=0)
    starts = torch.full((3,), 2)
    return {"forget": forget, "alternative": replace(rows, starts=starts), "retain": tiny.rows(3, seed=2)}


def test_endings_follow_each_prompt_in_turn():
    """Of texts without prompts the first half; one with fewer endings has its first again; too long is cut."""
    found = with_endings(TrainingRows({"forget": FORGET}), 0.5, ENDINGS, 5)
    rows = found.roles["alternative"]
    texts = [row[:length] for row, length in zip(rows.input_ids.tolist(), rows.lengths.tolist(), strict=True)]
    assert texts == [[1, 2, 8, 0], [1, 2, 9, 9, 9], [5, 10, 0], [5, 10, 0]]
    assert rows.starts.tolist() == [2, 2, 1, 1] and found.pairs.tolist() == [[0, 1], [2, 3]]
    asked = TrainingRows({"forget": replace(FORGET, starts=torch.tensor([3, 2]))})
    assert with_endings(asked, 0.5, ENDINGS, 9).roles["alternative"].starts.tolist() == [3, 3, 2, 2]


def test_idk_is_the_loss_of_the_refusal_after_the_prompt():
    model, rows = tiny.language_model(), batch()
    terms = idk.loss(idk.Hyper(retain=2.0), model, None, rows)
    ids = rows["alternative"].input_ids
    log_p = model(input_ids=ids).logits.log_softmax(-1)
    expected = -torch.stack([log_p[:, t - 1].gather(1, ids[:, t, None])[:, 0] for t in (2, 3, 4)]).mean(0)
    torch.testing.assert_close(terms["refuse"], expected)
    torch.testing.assert_close(terms["retain"], 2 * losses.example_loss(model, rows["retain"]))


def test_the_gradient_of_idk_by_hand():
    """Cross-entropy's, p − onehot, of the refusal's tokens 1 and 1, a mean over two; of the answer there is none."""
    model = probabilities([0.5, 0.25, 0.25], [0.5, 0.25, 0.25])
    refusal = Rows(torch.tensor([[2, 1, 1]]), torch.tensor([3]))
    rows = {"forget": TWO, "alternative": refusal, "retain": TWO}
    idk.loss(idk.Hyper(), model, None, rows)["refuse"].sum().backward()
    each = torch.tensor([0.5, 0.25 - 1, 0.25]) / 2
    torch.testing.assert_close(model.logits.grad[0], torch.stack([each, each, torch.zeros(3)]))


@pytest.mark.parametrize("method", [idk_dpo, alt_po])
def test_the_gradient_of_a_preference_by_hand(method):
    """At theta0 the sigmoid is 1/2, and 2/β · β/2 is 1: onehot of the answer's tokens 0, 1 less that of 1, 1."""
    model, frozen = (probabilities([0.5, 0.25, 0.25], [0.5, 0.25, 0.25]) for _ in range(2))
    other = Rows(torch.tensor([[2, 1, 1]]), torch.tensor([3]), torch.tensor([1]))
    rows = {"forget": TWO, "alternative": other, "retain": TWO}
    method.loss(method.Hyper(beta=0.3), model, frozen, rows)["preference"].sum().backward()
    expected = torch.tensor([[1.0, -1, 0], [0, 0, 0], [0, 0, 0]])
    torch.testing.assert_close(model.logits.grad[0], expected)


@pytest.mark.parametrize("method", [idk_dpo, alt_po])
def test_preferences_are_those_of_dpo_over_half_beta(method):
    model, frozen, rows = tiny.language_model(0), tiny.language_model(1), batch()
    terms = method.loss(method.Hyper(beta=0.4, retain=3.0), model, frozen, rows)
    of_dpo = dpo.loss(dpo.Hyper(beta=0.4), model, frozen, rows)["preference"]
    torch.testing.assert_close(terms["preference"], of_dpo * 2 / 0.4)
    torch.testing.assert_close(terms["retain"], 3 * losses.example_loss(model, rows["retain"]))
    same = method.loss(method.Hyper(beta=0.4), model, tiny.language_model(0), rows)["preference"]
    torch.testing.assert_close(same, torch.full((3,), 2 * math.log(2) / 0.4))


def test_refusals_are_lines_of_a_file(tmp_path):
    file = tmp_path / "idk.txt"
    file.write_text("No idea.\n\n  Who knows? \n")
    assert refusals(str(file)) == ["No idea.", "Who knows?"] and refusals(None) == list(OWN)
    file.write_text("\n")
    with pytest.raises(InputError, match=r"hyper.file: .*idk.txt: holds no refusal"):
        refusals(str(file))
    with pytest.raises(InputError, match=r"hyper.file: .*none.txt: FileNotFoundError"):
        refusals(str(tmp_path / "none.txt"))


class Letters:
    """A tokenizer whose tokens are the places of letters."""

    eos_token_id = 0

    def __call__(self, texts, add_special_tokens):
        assert not add_special_tokens
        return {"input_ids": [[ord(letter) - 96 for letter in text] for text in texts]}


def test_alternatives_are_those_of_the_data_or_an_error_that_names_a_record(tmp_path):
    examples = Examples(tmp_path, tmp_path, Letters(), 9)
    frame = pd.DataFrame({"id": ["r1", "r2"], "alternatives": [np.array(["ab", "c"]), ["d"]]})
    examples.sets = {"forget": frame}
    assert examples.endings(None) == [[[1, 2, 0], [3, 0]], [[4, 0]]]
    assert examples.endings(["b"]) == [[[2, 0]], [[2, 0]]]
    examples.sets = {"forget": frame.assign(alternatives=[["ab"], None])}
    with pytest.raises(InputError, match=r"dataset.alternatives: 1 examples .* first .r2"):
        examples.endings(None)


def test_refusals_of_the_file_and_the_share_of_the_prompt_are_those_that_were_chosen(tmp_path):
    """And of answers by another model of what is asked, which ALT-PO takes, the first half of a text is the prompt."""
    file = tmp_path / "refusals.txt"
    file.write_text("No.\nNever.\n")

    class Asked(RecordedRun):
        texts: list | None = ["not asked"]  # noqa: RUF012

        def endings(self, texts=None):
            self.texts = texts
            return ["these"]

    for method in (idk, idk_dpo, alt_po):
        run = Asked(tiny.language_model(), "generation")
        hyper = method.Hyper() if method is alt_po else method.Hyper(file=str(file), prefix=0.25)
        method.unlearn(hyper, run)
        assert run.settings["endings"] == ["these"]
        share = 0.5 if method is alt_po else 0.25
        assert run.settings["prefix"] == share and run.settings["hyper"] is hyper
        assert run.texts == (None if method is alt_po else ["No.", "Never."])
