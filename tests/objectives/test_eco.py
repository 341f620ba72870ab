"""Embedding-corrupted prompts: a case by hand, limits, exact decoding, what is saved, and who is known."""

import logging

import causal_models
import numpy as np
import pytest
import slow_extraction
import tiny
import torch
from recorded_run import RecordedRun
from test_unchanged_weights import run
from test_unlearn import study

from lethe import losses, models
from lethe.data.rows import Rows
from lethe.models.composed import Composed, Mean, cache_windows
from lethe.models.corrupted import Corrupted, Detector
from lethe.objectives import eco
from lethe.system.errors import InputError


def detector(weights, threshold: float, least=1, bias=0.0) -> Detector:
    weights, *numbers = (torch.tensor(v, dtype=torch.float64) for v in (weights, bias, threshold))
    return Detector(weights, *numbers, torch.ones_like(weights), least)


class Given(torch.nn.Module):
    """In place of a model: what it read comes out, with the embeddings of four tokens."""

    config = type("Config", (), {})()

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding.from_pretrained(
            torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0], [-9.0, 0.0]])
        )

    def get_input_embeddings(self):
        return self.table

    def forward(self, input_ids, attention_mask=None, **more):
        return type("Output", (), {"logits": self.table(input_ids)})


def test_a_case_by_hand():
    """Means of 0, 1, 5, -9 are 0, 1/2, 2, -3/4: above 1 from the third on, and what began does not end."""
    tokens = torch.tensor([[0, 1, 2, 3]])
    found = Corrupted(Given(), detector([1.0, 0.0], 1.0), 2.0)(input_ids=tokens).logits
    assert found.tolist() == [[[0, 0], [1, 0], [5 + 2, 2], [-9 + 2, 2]]]
    late = Corrupted(Given(), detector([1.0, 0.0], 1.0, least=4), 2.0)(input_ids=tokens).logits
    assert torch.equal(late, Given().table(tokens))  # silent before the fourth, where the mean is -3/4
    biased = Corrupted(Given(), detector([1.0, 0.0], 1.0, bias=1.5), 2.0)
    assert biased(input_ids=tokens).logits[0, 0].tolist() == [2, 2]
    flagged, score = biased.seen(Rows(tokens, torch.tensor([1])))
    assert flagged.tolist() == [[1.0]] and score.item() == pytest.approx(1 / (1 + np.exp(-1.5)))


def test_the_threshold_by_hand(caplog):
    values = torch.tensor([3.0, 1, 2, 9, 8, 7, 4, 5, 6])
    assert eco.conformal(values, 0.2) == 8  # the 8th of 9: ⌈10 · 0.8⌉
    assert eco.conformal(values, 0.1) == 9
    assert not caplog.messages
    assert eco.conformal(values, 0.01) == 9  # too few: the largest
    assert caplog.messages == ["9 retained texts are held back: too few for hyper.flagged 0.01"]


def test_the_detector_is_a_logistic_regression_on_standardised_means_of_either_side_alike():
    """Beside scikit-learn's own pipeline, on features far from 0 and of other scales, 7 against 20."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    draw = np.random.default_rng(3)
    both = torch.from_numpy(draw.normal([5.0, -3.0, 0.1], [4.0, 0.5, 0.01], (27, 3)))
    both[:7, 0] += 3
    found = eco.fit(both[:7], both[7:], 2, torch.ones(3))
    slow = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    expected = slow.fit(both.numpy(), np.arange(27) < 7).decision_function(both.numpy())
    np.testing.assert_allclose(both @ found.weights + found.bias, expected, rtol=1e-10)
    assert found.threshold.dtype == torch.float64 and found.threshold == 0 and found.least == 2


def test_the_direction_has_the_scale_of_the_embeddings():
    vectors = torch.randn(50, 400, generator=torch.Generator().manual_seed(0))
    one = eco.direction(vectors, 3)
    torch.testing.assert_close(eco.direction(7 * vectors, 3), 7 * one)
    assert one.square().mean().sqrt() == pytest.approx(1, rel=0.1)
    assert not torch.allclose(eco.direction(vectors, 4), one)


def test_many_texts_are_read_in_parts(corrupted):
    tokens = torch.randint(1, 20, (130, 6), generator=torch.Generator().manual_seed(2))
    rows = Rows(tokens, torch.arange(130) % 4 + 3, torch.arange(130) % 2 + 1)
    table = corrupted.base.get_input_embeddings().weight.detach().double()
    means = torch.stack([table[t[:end]].mean(0) for t, end in zip(tokens, rows.starts, strict=True)])
    torch.testing.assert_close(eco.prompt_means(corrupted.base, rows), means)
    alone = torch.cat([eco.largest(corrupted, rows[slice(k, k + 1)]) for k in range(130)])
    torch.testing.assert_close(eco.largest(corrupted, rows), alone)


def test_new_texts_pass_the_threshold_as_rarely_as_is_said():
    """Beside 19 others each of 20 values has the same chance to be the one that passes: 1 of 20, with no luck in it."""
    draws = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 20)))
    others = ~torch.eye(20, dtype=torch.bool)
    passed = [float(row[k] > eco.conformal(row[others[k]], 0.05)) for row in draws for k in range(20)]
    assert np.mean(passed) == pytest.approx(1 / 20)


@pytest.fixture(scope="module")
def corrupted() -> Corrupted:
    """A detector that knows two of three texts from some token on."""
    base = causal_models.untrained("gpt_neo", 1)
    weights = base.get_input_embeddings().weight.detach()
    draw = torch.Generator().manual_seed(5)
    own = torch.randn(weights.shape[1], generator=draw).double()
    shift = eco.direction(weights, 1)
    zero = torch.zeros((), dtype=torch.float64)
    silent = Corrupted(base, Detector(own, zero, zero, shift, 3), 0.0)
    best = eco.largest(silent, rows_of(causal_models.texts(3)))
    return Corrupted(base, Detector(own, zero, best.sort().values[0], shift, 3), 3.0).eval()


def rows_of(tokens: torch.Tensor) -> Rows:
    return Rows(tokens, torch.full((len(tokens),), tokens.shape[1]))


def test_what_is_decoded_is_that_of_passes_without_a_cache(corrupted):
    texts, lengths = causal_models.texts(3)[:, :12], np.array([12, 9, 11])
    assert 0 < corrupted.seen(rows_of(texts))[0].sum() < 3
    slow_extraction.check_decoding(corrupted, texts, lengths)
    assert cache_windows(corrupted) == [None, 5, None]


def test_no_token_knows_what_comes_after_it_and_clean_texts_are_the_originals(corrupted):
    texts = causal_models.texts(3)
    with torch.no_grad():
        whole, plain = corrupted(input_ids=texts).logits, corrupted.base(input_ids=texts).logits
        for length in (1, 7, 19):
            part = corrupted(input_ids=texts[:, :length]).logits
            torch.testing.assert_close(part, whole[:, :length], rtol=1e-4, atol=1e-5)
    known = corrupted.seen(rows_of(texts))[0][:, 0].bool()
    assert torch.equal(whole[~known], plain[~known]) and not torch.allclose(whole[known], plain[known])


def test_without_strength_it_is_the_original_and_with_much_of_it_tokens_say_nothing(corrupted):
    texts = causal_models.texts(3)
    always = detector([0.0] * 32, -1.0)
    with torch.no_grad():
        nothing = Corrupted(corrupted.base, corrupted.detector, 0.0)(input_ids=texts).logits
        assert torch.equal(nothing, corrupted.base(input_ids=texts).logits)
        one, other = Corrupted(corrupted.base, always, 1e7)(input_ids=texts).logits[:2]
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_prompts_to_forget_are_known_and_retained_ones_are_not():
    """Prompts of tokens 1 to 5 are to be forgotten; the answers are of the same tokens everywhere."""
    model, draw = tiny.language_model(), torch.Generator().manual_seed(0)

    def rows(low: int, high: int, count: int) -> Rows:
        prompts = torch.randint(low, high, (count, 8), generator=draw)
        both = torch.cat([prompts, torch.randint(18, 23, (count, 4), generator=draw)], 1)
        return Rows(both, torch.full((count,), 12), torch.full((count,), 8))

    class Run(RecordedRun):
        def rows(self, *names):
            return forget if names == ("forget",) else retain

    forget, retain = rows(1, 6, 30), rows(6, 18, 200)
    found = eco.unlearn(eco.Hyper(), Run(model, "generation"))
    assert found.seen(forget)[0].mean() > 0.95 and found.seen(retain)[0].mean() < 0.1
    with torch.no_grad():
        worse = losses.example_loss(found, forget) - losses.example_loss(model, forget)
    assert worse.abs().min() > 0.01
    assert Corrupted(model, found.detector, 1.0).base is model


@pytest.mark.parametrize(
    ("count", "share", "held"), [(2, 0.2, 1), (3, 0.2, 1), (10, 0.2, 2), (4, 0.99, 3), (5, 0.01, 1)]
)
def test_texts_are_held_back_for_the_threshold_and_the_rest_is_fitted(
    count, share, held, monkeypatch, caplog
):
    caplog.set_level(logging.INFO, logger="lethe.eco")
    model, seen = tiny.language_model(), {}
    forget, retain = tiny.rows(4, seed=1), tiny.rows(count, seed=2)
    plain_fit, plain_threshold = eco.fit, eco.conformal

    def fit(of_forget, of_retain, *more):
        seen["fitted"] = of_retain
        return plain_fit(of_forget, of_retain, *more)

    def conformal(values, flagged):
        seen["held"], seen["threshold"] = values, plain_threshold(values, flagged)
        return seen["threshold"]

    monkeypatch.setattr(eco, "fit", fit)
    monkeypatch.setattr(eco, "conformal", conformal)
    run = RecordedRun(model, "generation")
    run.rows = lambda *names: forget if names == ("forget",) else retain
    found = eco.unlearn(eco.Hyper(held=share), run)
    assert (len(seen["held"]), len(seen["fitted"])) == (held, count - held)
    assert found.detector.threshold == seen["threshold"] and found.strength == 10
    every = eco.prompt_means(model, retain)
    left = [row for row in every if not (seen["fitted"] == row).all(1).any()]
    assert len(left) == held
    silent = Corrupted(model, found.detector, 0.0)
    known = int((eco.largest(silent, forget) > seen["threshold"]).sum())
    assert caplog.messages[-1] == f"the detector knows {known} of 4 texts to forget"


def test_a_run_leaves_the_original_and_a_detector(tmp_path):
    study(tmp_path, "generation")
    found = run(tmp_path, "eco", {"strength": 2.0, "least": 2})
    assert isinstance(found, Corrupted) and found.strength == 2.0
    for file in (tmp_path / "out/model/base").iterdir():
        assert file.read_bytes() == (tmp_path / "original" / file.name).read_bytes()
    assert {f.suffix for f in (tmp_path / "out/model").iterdir() if f.is_file()} <= {
        ".json",
        ".safetensors",
        ".txt",
    }
    models.save(found, models.tokenizer(tmp_path / "out/model"), tmp_path / "again")
    again, ids = models.load(tmp_path / "again", "generation")[0], torch.arange(9)[None]
    with torch.no_grad():
        assert torch.equal(found(input_ids=ids).logits, again(input_ids=ids).logits)
    same = run(tmp_path, "eco", {"strength": 2.0, "least": 2})
    assert all(np.array_equal(v, getattr(same.detector, n)) for n, v in vars(found.detector).items())


def test_what_it_cannot_serve_is_refused():
    model = tiny.language_model()
    with pytest.raises(InputError, match=r"^eco: the original is composed of several"):
        eco.unlearn(eco.Hyper(), RecordedRun(Composed({"one": model}, Mean()), "generation"))
    lonely = RecordedRun(model, "generation")
    lonely.rows = lambda *names: tiny.rows(1)
    with pytest.raises(InputError, match="1 retained texts"):
        eco.unlearn(eco.Hyper(), lonely)
