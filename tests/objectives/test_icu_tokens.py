"""Which tokens rest, worked by hand, and that only the others have a gradient."""

import tiny
import torch
from tiny import Bigrams

from lethe.data.rows import Rows
from lethe.objectives import icu, icu_tokens
from lethe.objectives.icu_tokens import Frozen, Hyper, awake, loss
from lethe.training.frozen import FrozenHidden

UNSEEN = torch.tensor([0.1, 1.0, 2.0, 3.0])


def test_a_token_rests_once_it_is_as_unlikely_as_unseen_text_has_one_of_its_rank():
    """Of three tokens the ranks' quantiles are those at 1/6, 1/2 and 5/6 of the four unseen losses: 0.1, 2 and 3."""
    losses = torch.tensor([[0.3, 0.05, 2.5, 0.0], [2.0, 0.1, 3.0, 0.0], [0.2, 2.5, 9.0, 0.0]])
    scored = torch.tensor([[True, True, True, False]] * 3)
    found = awake(losses, scored, UNSEEN)
    assert found.tolist() == [[True, True, True, False], [False] * 4, [False] * 4]
    likelier = torch.tensor([[0.2, 2.5, 0.3, 0.0]])  # 0.2 rests above 0.1; 0.3 is below 2, 2.5 below 3
    assert awake(likelier, scored[:1], UNSEEN).tolist() == [[False, True, True, False]]


def test_padding_and_other_texts_change_nothing():
    losses, scored = torch.rand(4, 6) * 3, torch.ones(4, 6, dtype=torch.bool)
    scored[:, 5] = False
    whole = awake(losses, scored, UNSEEN)
    assert torch.equal(awake(losses[1:2], scored[1:2], UNSEEN), whole[1:2])
    assert torch.equal(awake(losses[:, :5], scored[:, :5], UNSEEN), whole[:, :5])


def test_the_gradient_is_that_of_the_tokens_that_do_not_rest():
    """Text 0 1 2: token 1 is nearly sure after 0, token 2 unlikely after 1. Unseen tokens have losses of log 3."""
    table = torch.tensor([[0.0, 4.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    model = Bigrams(table)
    row = Rows(torch.tensor([[0, 1, 2]]), torch.tensor([3]))
    unseen = Rows(torch.tensor([[2, 0], [2, 1]]), torch.tensor([2, 2]))
    found = loss(Hyper(forget=2.0, kl=0), model, Frozen(None, unseen), {"forget": row, "analogue": row})
    found["forget"].sum().backward()
    sure = table[0].softmax(0)
    by_hand = torch.zeros(3, 3)
    by_hand[0] = -2.0 / 2 * (sure - torch.tensor([0.0, 1.0, 0.0]))  # weight, over two tokens; token 2 rests
    torch.testing.assert_close(model.table.grad, by_hand)
    torch.testing.assert_close(found["forget"], -2.0 * -sure[1].log()[None] / 2)


def test_unseen_texts_are_the_first_of_the_validation_set():
    class Run:
        def original_hidden(self):
            return "hidden"

        def rows(self, name):
            assert name == "validation"
            return Rows(torch.arange(12).reshape(6, 2), torch.full((6,), 2))

        def minimise(self, loss, hyper, *, frozen, pairs):
            return frozen, pairs

    frozen, pairs = icu_tokens.unlearn(Hyper(unseen=4, pairs="random"), Run())
    assert frozen.original == "hidden" and len(frozen.unseen) == 4 and pairs == "random"


def test_what_is_learnt_and_kept_of_the_analogues_is_that_of_icu():
    batch = {"forget": tiny.rows(3, seed=1), "analogue": tiny.rows(3, seed=2)}
    model = tiny.language_model()
    frozen = Frozen(FrozenHidden(tiny.language_model(1)), batch["forget"])
    terms = loss(Hyper(learn=3.0, kl=5.0), model, frozen, batch)
    expected = icu.loss(icu.Hyper(learn=3.0, kl=5.0), model, frozen.original, batch)
    for name in ("learn", "kl"):
        torch.testing.assert_close(terms[name], expected[name])
