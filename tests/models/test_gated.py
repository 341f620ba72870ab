"""Gates and adapters: closed forms, published values, exact decoding, and folders."""

import json
import math
from pathlib import Path

import causal_models
import numpy as np
import pytest
import slow_extraction
import tiny
import torch
from test_unlearn import study

from lethe import losses, models
from lethe.decoding.extraction import extraction
from lethe.decoding.sampling import sampled_continuations
from lethe.models.composed import cache_windows
from lethe.models.gated import Gated, fresh_adapter, key, text_means
from lethe.models.gates import Gate, fit
from lethe.objectives.o3 import Hyper, fitted_gate, parallel

GOLDEN = Path(__file__).parents[3] / "shared/golden/systems/o3.json"


@pytest.fixture(scope="module")
def golden() -> dict:
    if not GOLDEN.exists():
        pytest.skip("golden values are kept outside of the repository")
    return json.loads(GOLDEN.read_text())


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def learnt(base, seed: int, size=0.3):
    """An adapter that does something."""
    adapter = fresh_adapter(base, 2, 4.0, seed)
    with torch.no_grad():
        for place, up in enumerate(adapter.up.values()):
            up.normal_(0, size, generator=torch.Generator().manual_seed(100 * seed + place))
    return adapter


def gated(base, rows, count=2, among="each") -> Gated:
    gates = [fitted_gate(Hyper(), base, rows(6, seed), seed) for seed in range(count)]
    return Gated(base, [learnt(base, seed) for seed in range(count)], gates, among).eval()


def test_layer_scores_are_the_published_ones(golden):
    case = golden["scores"]
    features = torch.tensor(case["fit"], dtype=torch.float64).mean(2)
    others = torch.tensor(case["other"], dtype=torch.float64).mean(2)
    gate = fit(features, others, 1000, 0.1, 10.0)
    for name, given in (("fit", features), ("other", others)):
        expected = torch.tensor(case[f"{name}_scores"], dtype=torch.float64)
        torch.testing.assert_close(gate.layer_scores(given), expected, rtol=1e-5, atol=2e-3)
    torch.testing.assert_close(
        gate.means[1].float(), torch.tensor(case["mean_layer_1"]), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(
        gate.precisions[1].float(), torch.tensor(case["precision_layer_1"]), rtol=1e-3, atol=1e-3
    )


def test_values_of_the_svm_are_the_published_ones(golden):
    case, found = golden["scores"], golden["ocsvm_nu_0.1_score_samples"]
    for name in ("fit", "other"):
        scores = np.array(case[f"{name}_scores"])[:, 1:]
        np.testing.assert_allclose(scores @ np.array(found["coef"][0]), found[name], rtol=1e-6)
    features, others = (torch.tensor(case[n], dtype=torch.float64).mean(2)[1:] for n in ("fit", "other"))
    gate = fit(features, others, 1000, 0.1, 10.0)
    d = (gate.layer_scores(features) @ gate.coefficients).numpy()
    np.testing.assert_allclose(d, found["fit"], rtol=1e-4)


def some_gate(spread, zeta=10.0) -> Gate:
    nothing = torch.zeros(1, 1, dtype=torch.float64)
    sharpness = torch.tensor([1.0, zeta], dtype=torch.float64)
    return Gate(
        nothing,
        nothing[None],
        nothing[None],
        nothing[0],
        torch.tensor(spread, dtype=torch.float64),
        sharpness,
    )


def test_weights_are_the_published_ones(golden):
    case = golden["weights"]
    gate = some_gate([*case["means"], case["std"]])
    found = gate.weight_at(torch.tensor(case["x"], dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), case["weight_of_training_script"], atol=1e-12)


def test_a_weight_is_largest_at_the_centre_and_even():
    gate = some_gate([1.0, 3.0, 0.5])
    away = torch.linspace(0, 40, 30, dtype=torch.float64)
    above, below = gate.weight_at(2 + away), gate.weight_at(2 - away)
    torch.testing.assert_close(above, below, rtol=1e-9, atol=1e-12)
    assert float(above[0]) == pytest.approx(1 / (1 + math.exp(-8)))
    assert float(above[-1]) == pytest.approx(1 / (1 + math.exp(2))) and (above.diff() <= 0).all()


def test_scores_of_fitted_texts():
    """The cosine part is -gamma, and the mean of the distances the rank, by the trace."""
    features = random(3, 7, 4)
    gate = fit(features, random(3, 5, 4, seed=1), 50.0, 0.1, 10.0)
    torch.testing.assert_close(gate.nearest(features), torch.ones(7, 3, dtype=torch.float64))
    distances = -(gate.layer_scores(features) + 50.0)
    torch.testing.assert_close(distances.mean(0), torch.full((3,), 4 / 2, dtype=torch.float64))
    few = fit(features[:, :3], features[:, 3:], 50.0, 0.1, 10.0)  # fewer texts than dimensions: rank 2
    torch.testing.assert_close(
        -(few.layer_scores(features[:, :3]) + 50.0).mean(0), torch.full((3,), 2 / 2, dtype=torch.float64)
    )


def test_penalties_are_the_published_ones(golden):
    """Of the side of the inputs, which the published code has."""
    case = golden["orthogonality"]
    base = torch.nn.Linear(5, 3)
    adapters = []
    for matrix in [*case["earlier"], case["current"]]:
        adapter = learnt(tiny.language_model(), 0)
        adapter.down = torch.nn.ParameterDict({"layer": torch.nn.Parameter(torch.tensor(matrix))})
        adapter.up = torch.nn.ParameterDict({"layer": torch.nn.Parameter(base.weight.new_zeros(3, 2))})
        adapters.append(adapter)
    *earlier, current = adapters
    assert float(parallel(current, earlier, "input").detach()) == pytest.approx(case["penalty"], rel=1e-6)
    last = float(parallel(current, earlier[-1:], "input").detach())
    assert last == pytest.approx(case["penalty_last_only"], rel=1e-6)
    own = float(
        parallel(current, [current], "input").detach()
    )  # where an adapter goes on from the one before
    assert own >= float((current.down["layer"] ** 2).sum().detach()) ** 2 / 2
    assert float(parallel(current, earlier, "output").detach()) == 0  # a fresh adapter


def test_without_a_penalty_what_adapters_add_does_not_overlap():
    base = tiny.language_model()
    one, two = learnt(base, 1), learnt(base, 2)
    with torch.no_grad():
        for name in one.up:
            basis = torch.linalg.qr(one.up[name])[0]
            two.up[name] -= basis @ (basis.T @ two.up[name])
    assert float(parallel(two, [one], "output").detach()) < 1e-10
    x = torch.randn(5, tiny.HIDDEN)
    name = next(name for name in one.up if one.down[name].shape[1] == tiny.HIDDEN)
    parts = [adapter.added(name, x) for adapter in (one, two)]
    expected = sum(part.square().sum(1) for part in parts)
    torch.testing.assert_close(sum(parts).square().sum(1), expected, rtol=1e-4, atol=1e-5)
    turn = torch.linalg.qr(torch.randn(2, 2))[0]
    before = parallel(learnt(base, 3), [one], "output").detach()
    with torch.no_grad():
        for up in one.up.values():
            up.copy_(up @ turn)
    torch.testing.assert_close(
        parallel(learnt(base, 3), [one], "output").detach(), before, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("task", ["generation", "classification"])
def test_weight_zero_is_the_base_to_the_bit_and_one_is_the_merged_adapter(task):
    base, rows = tiny.model_and_rows(task)
    texts = rows(4)
    model = Gated(base, [learnt(base, 1)], [])
    with torch.no_grad():
        plain = losses.forward(base, texts)
        with model.adapted([0.0]):
            assert torch.equal(losses.forward(base, texts), plain)
        with model.adapted([torch.zeros(4, 1)]):
            assert torch.equal(losses.forward(base, texts), plain)
        adapter, merged = model.adapters[0], tiny.model_and_rows(task)[0]
        alone = losses.forward(model, texts)
        for name, layer in merged.named_modules():
            if key(name) in adapter.up:
                layer.weight += adapter.scale * adapter.up[key(name)] @ adapter.down[key(name)]
        torch.testing.assert_close(alone, losses.forward(merged, texts), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(alone, plain)
        assert torch.equal(losses.forward(base, texts), plain)  # no hook is left


@pytest.fixture(scope="module", params=["each", "last"])
def generator(request):
    base = causal_models.untrained("gpt_neo", 1)
    texts = causal_models.texts(12, seed=3)
    rows = lambda count, seed: losses.Rows(texts[6 * seed : 6 * seed + count], torch.full((count,), 20))  # noqa: E731
    return gated(base, rows, among=request.param)


def test_what_is_decoded_is_that_of_passes_without_a_cache(generator):
    texts, lengths = causal_models.texts(2)[:, :12], np.array([12, 9])
    found = extraction(generator, texts, n=(2,), lengths=lengths)
    for row, length in enumerate(lengths):
        likelihood, accuracy, margin = slow_extraction.extraction(
            generator, texts[row, :length].tolist(), (2,)
        )
        assert found.memorization_accuracy[row] == pytest.approx(accuracy)
        assert found.extraction_likelihood[2][row] == pytest.approx(likelihood[2])
        assert found.margin[row] == pytest.approx(margin, abs=1e-4)
    draws = np.random.default_rng(0).random((2, 2, 12))
    tries = sampled_continuations(generator, texts, np.full(2, 4), draws, lengths)
    again = sampled_continuations(generator, texts, np.full(2, 4), draws, lengths, decode_batch_tokens=60)
    assert np.array_equal(tries, again)
    assert cache_windows(generator) == [None, 5, None, 5, None]


def test_no_token_knows_what_comes_after_it(generator):
    texts = causal_models.texts(3)
    with torch.no_grad():
        whole = generator(input_ids=texts).logits
        for length in (1, 7, 19):
            part = generator(input_ids=texts[:, :length]).logits
            torch.testing.assert_close(part, whole[:, :length], rtol=1e-4, atol=1e-5)


def test_a_weight_is_that_of_the_mean_of_what_was_read(generator):
    texts, length = causal_models.texts(2), 11
    with torch.no_grad():
        hidden = generator.base(input_ids=texts, output_hidden_states=True).hidden_states[1:]
        found = generator.weights(hidden, None)
        means = text_means(tuple(h[:, :length] for h in hidden), None)
    each = torch.stack([gate.weight(means) for gate in generator.gates], -1)
    if generator.among == "last":
        each = torch.stack([torch.zeros(2, dtype=each.dtype), each.amax(-1)], -1)
    torch.testing.assert_close(found[:, length - 1].double(), each, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("task", ["generation", "classification"])
def test_a_saved_model_answers_as_before(task, tmp_path):
    study(tmp_path, task)
    base, tokenizer = models.load(tmp_path / "original", task)
    model = gated(base, tiny.model_and_rows(task)[1])
    models.save(model, tokenizer, tmp_path / "model")
    found, _ = models.load(tmp_path / "model", task)
    rows = tiny.model_and_rows(task)[1](5, 9)
    with torch.no_grad():
        assert torch.equal(losses.forward(found, rows), losses.forward(model, rows))
        assert not torch.allclose(losses.forward(model, rows), losses.forward(base, rows))
        assert torch.equal(found.seen(rows)[1], model.seen(rows)[1])
    for file in (tmp_path / "model/base").iterdir():
        assert file.read_bytes() == (tmp_path / "original" / file.name).read_bytes()
    names = {file.name for file in (tmp_path / "model").rglob("*") if file.is_file()}
    assert not any(name.endswith((".bin", ".pkl", ".pt", ".joblib")) for name in names)


def test_padding_changes_no_weight_of_a_classifier():
    base, rows = tiny.model_and_rows("classification")
    model, texts = gated(base, rows), rows(3, 4)
    wide = torch.nn.functional.pad(texts.input_ids, (0, 4), value=7)
    mask = torch.nn.functional.pad(texts.mask, (0, 4))
    with torch.no_grad():
        one = model(input_ids=texts.input_ids, attention_mask=texts.mask.long()).logits
        other = model(input_ids=wide, attention_mask=mask.long()).logits
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
