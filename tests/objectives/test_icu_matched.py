"""The losses that forget tokens are brought to, against NumPy's quantiles, and the gradient by hand."""

import numpy as np
import tiny
import torch
from tiny import Bigrams

from lethe.data.rows import Rows
from lethe.objectives import icu, icu_matched
from lethe.objectives.icu_matched import Frozen, Hyper, loss, matched, words
from lethe.training.frozen import FrozenHidden


def test_a_token_is_brought_to_the_quantile_of_its_rank_in_the_other_text():
    """Hazen's quantile at (rank - 1/2) / T, of texts with more, fewer and as many tokens."""
    generator = torch.Generator().manual_seed(0)
    own, others = torch.rand(4, 7, generator=generator), torch.rand(4, 9, generator=generator) * 5
    scored = torch.arange(7) < torch.tensor([7, 3, 1, 5])[:, None]
    others_scored = torch.arange(9) < torch.tensor([9, 9, 4, 1])[:, None]
    found = matched(own, scored, others, others_scored)
    for row in range(4):
        mine, theirs = own[row][scored[row]].numpy(), others[row][others_scored[row]].numpy()
        ranks = np.argsort(np.argsort(mine))
        expected = np.quantile(theirs, (ranks + 0.5) / len(mine), method="hazen")
        np.testing.assert_allclose(found[row][scored[row]], expected, rtol=1e-5)


def test_texts_of_as_many_tokens_get_the_other_ones_losses_in_their_own_order():
    own, others = torch.tensor([[0.3, 0.1, 9.0]]), torch.tensor([[2.0, 7.0, 1.0]])
    every = torch.ones(1, 3, dtype=torch.bool)
    assert matched(own, every, others, every).tolist() == [[2.0, 1.0, 7.0]]


def test_words_are_counted_once_and_neither_prompts_nor_pads():
    rows = Rows(torch.tensor([[0, 1, 1, 3, 2], [2, 1, 2, 0, 0]]), torch.tensor([4, 3]), torch.tensor([1, 2]))
    half = 0.5**0.5
    torch.testing.assert_close(words(rows, 4), torch.tensor([[0, half, 0, half], [0, 0, 1.0, 0]]))


def test_a_likely_token_is_raised_and_an_unlikely_one_brought_back():
    """Text 0 1 2 of losses l = (0.036, 2.24); the unseen text that shares most words has log 3 twice."""
    table = torch.tensor([[0.0, 4.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0], [9.0, 9.0, 9.0]])
    model = Bigrams(table)
    row = Rows(torch.tensor([[0, 1, 2]]), torch.tensor([3]))
    unseen = Rows(torch.tensor([[3, 3, 3], [2, 1, 0], [3, 3, 1]]), torch.tensor([3, 2, 3]))
    frozen = Frozen(None, unseen, words(unseen, 4))
    found = loss(Hyper(forget=2.0, kl=0), model, frozen, {"forget": row, "analogue": row})
    found["forget"].sum().backward()
    sure, unlikely, goal = table[0].softmax(0), table[1].softmax(0), float(np.log(3))
    gaps = [-float(sure[1].log()) - goal, -float(unlikely[2].log()) - goal]
    assert gaps[0] < 0 < gaps[1]
    by_hand = torch.zeros(4, 3)
    by_hand[0] = 2.0 / 2 * gaps[0] * (sure - torch.tensor([0.0, 1.0, 0.0]))
    by_hand[1] = 2.0 / 2 * gaps[1] * (unlikely - torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(model.table.grad, by_hand, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["forget"], torch.tensor([2.0 * (gaps[0] ** 2 + gaps[1] ** 2) / 2 / 2]))


def test_unseen_texts_are_the_validation_set():
    class Run:
        def original_hidden(self):
            return "hidden"

        def rows(self, name):
            begin = {"validation": 0, "forget": 20}[name]
            return Rows(torch.arange(begin, begin + 12).reshape(6, 2), torch.full((6,), 2))

        def minimise(self, loss, hyper, *, frozen, pairs):
            return frozen, pairs

    frozen, pairs = icu_matched.unlearn(Hyper(pairs="random"), Run())
    assert frozen.original == "hidden" and len(frozen.unseen) == 6 and pairs == "random"
    assert frozen.words.shape == (6, 32)


def test_what_is_learnt_and_kept_of_the_analogues_is_that_of_icu():
    batch = {"forget": tiny.rows(3, seed=1), "analogue": tiny.rows(3, seed=2)}
    model = tiny.language_model()
    frozen = Frozen(
        FrozenHidden(tiny.language_model(1)), batch["forget"], words(batch["forget"], tiny.VOCABULARY)
    )
    terms = loss(Hyper(learn=3.0, kl=5.0), model, frozen, batch)
    expected = icu.loss(icu.Hyper(learn=3.0, kl=5.0), model, frozen.original, batch)
    for name in ("learn", "kl"):
        torch.testing.assert_close(terms[name], expected[name])
