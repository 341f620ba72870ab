"""O3: requests one after the other, what each keeps of the others, and what its gates give away."""

import json

import encoder_folder
import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from safetensors.torch import load_file
from test_unlearn import CFG, study

from lethe import models
from lethe.data.parquet import read_table
from lethe.forget import forget
from lethe.metrics import gate as gate_metric
from lethe.models.encoders import TextReader, text_encoder
from lethe.models.gated import Gated
from lethe.objectives.o3 import Hyper, fitted_gate
from lethe.params.forget import Forget
from lethe.params.measure import Measure
from lethe.params.plug_ins import check_hyper
from lethe.params.training import Method
from lethe.report.remarks import gates
from lethe.score import kinds_of, score
from lethe.system.errors import InputError
from lethe.training.job import Job
from lethe.unlearn import unlearn

HYPER = {"rank": 2, "least": 2, "most": 64}


class Requests:
    """Two requests of a study, of four of its texts each."""

    def __init__(self, folder, task: str):
        self.folder, self.task = folder, task
        (folder / "study").mkdir()
        study(folder / "study", task)
        sets = pd.read_parquet(folder / "study/sets.parquet")
        pairs = pd.read_parquet(folder / "study/pairs.parquet")
        for name, first in (("a", 0), ("b", 4)):
            (folder / name).mkdir()
            chosen = [f"t{first + place}" for place in range(4)]
            own = sets.assign(set=sets["set"].mask(sets["set"] != "validation", "retain"))
            own.loc[own["id"].isin(chosen), "set"] = "forget"
            own.to_parquet(folder / name / "sets.parquet")
            other = {f"t{place}": f"t{(place + 4) % 9}" for place in range(9)}
            names = dict(zip(["t0", "t1", "t2", "t3"], chosen, strict=True))
            pairs.assign(id=pairs["id"].map(names), analogue=pairs["id"].map(names).map(other)).to_parquet(
                folder / name / "pairs.parquet"
            )

    def run(self, to: str, request: str, start="study/original", training=None, **hyper):
        method = {"objective": "o3", "hyper": HYPER | hyper}
        method["training"] = {"epochs": 2, "learning_rate": 1e-2, "batch": {"forget": 2}} | (training or {})
        cfg = {"task": self.task, "model": CFG[self.task], "method": method}
        job = Job(cfg, 1, "o3", self.folder / to, self.folder / f"checkpoints-{to}/state.safetensors", None)
        unlearn(job, self.folder / "study", self.folder / request, self.folder / start)
        return job.out / "model"


@pytest.fixture(scope="module", params=["generation", "classification"])
def requests(request, tmp_path_factory):
    return Requests(tmp_path_factory.mktemp("o3"), request.param)


@pytest.fixture(scope="module")
def both(requests):
    first = requests.run("first", "a")
    return first, requests.run("second", "b", "first/model")


def tensors(folder, name="adapters") -> dict[str, torch.Tensor]:
    return load_file(folder / f"{name}.safetensors")


def test_a_request_leaves_the_model_and_earlier_adapters_and_gates_as_they_are(requests, both):
    first, second = both
    original = requests.folder / "study/original/model.safetensors"
    assert all((f / "base/model.safetensors").read_bytes() == original.read_bytes() for f in both)
    for name in ("adapters", "gates"):
        before, after = tensors(first, name), tensors(second, name)
        assert set(before) < set(after)
        assert all(torch.equal(value, after[key]) for key, value in before.items())
    ups = [value for key, value in tensors(second).items() if ".up." in key]
    assert all(bool((up != 0).any()) for up in ups)


def test_requests_in_another_order_are_the_same_adapters_and_gates(requests):
    """Without a penalty, which alone knows of the others."""
    requests.run("ab-1", "a", orthogonal=0.0)
    one = requests.run("ab-2", "b", "ab-1/model", orthogonal=0.0)
    requests.run("ba-1", "b", orthogonal=0.0)
    other = requests.run("ba-2", "a", "ba-1/model", orthogonal=0.0)
    turned = {"0": "1", "1": "0"}
    for name in ("adapters", "gates"):
        found, back = tensors(one, name), tensors(other, name)
        assert all(torch.equal(value, back[turned[key[0]] + key[1:]]) for key, value in found.items())


def test_the_penalty_keeps_a_request_away_from_the_one_before(requests, both):
    def overlap(folder) -> float:
        found = tensors(folder)
        names = [key[2:] for key in found if key.startswith("0.up.")]
        return sum(float((found[f"0.{name}"].T @ found[f"1.{name}"]).square().sum()) for name in names)

    free = requests.run("free", "b", "first/model", orthogonal=0.0)
    kept = requests.run("kept", "b", "first/model", orthogonal=1e4)
    assert overlap(kept) < 0.5 * overlap(free)
    trace = pd.read_csv(requests.folder / "kept/trace.csv")
    assert {"orthogonal", "wrong"} <= set(trace) and trace["orthogonal"].iloc[0] == 0  # B begins at 0


def test_a_detector_is_trained_on_the_request_alone(requests, both):
    """It is kept beside the adapters, and a later request leaves it as it is."""
    first = requests.run("seen-1", "a", entropy=2)
    second = requests.run("seen-2", "b", "seen-1/model", entropy=2)
    trace = pd.read_csv(requests.folder / "seen-1/trace.csv")
    entropy = trace["entropy"].dropna()
    assert len(entropy) == 2 * 2 and (entropy >= -0.01).all() and entropy.max() < 8 * np.log(2)
    before, after = tensors(first), tensors(second)
    own = [key for key in before if key.startswith("detector-0.up.") and "pooler" not in key]
    assert own and all(bool((before[key] != 0).any()) for key in own)
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    plain = tensors(both[0])
    assert all(
        torch.equal(value, before[key]) for key, value in plain.items()
    )  # what is unlearnt is the same
    assert not torch.equal(tensors(first, "gates")["0.0.means"], tensors(both[0], "gates")["0.0.means"])
    model, _ = models.load(second, requests.task)
    assert model.readers == ["0", "1"]


def test_published_choices(requests):
    first = requests.run("c-1", "a", adapters="continued", side="input", fitted="texts")
    second = requests.run("c-2", "b", "c-1/model", adapters="continued", side="input", fitted="texts")
    assert (
        pd.read_csv(requests.folder / "c-2/trace.csv")["orthogonal"].iloc[0] > 0
    )  # parallel to itself at first
    model, _ = models.load(second, requests.task)
    assert isinstance(model, Gated) and model.among == "last" and len(model.gates) == 2
    assert tensors(first).keys() < tensors(second).keys()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> str:
    return encoder_folder.make(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def by_text(requests, encoder):
    """The second request by an encoder, after one that reads the model's states."""
    return requests.run("by-text", "b", "first/model", encoder=encoder, reads=3)


def test_each_request_keeps_its_own_gate_where_one_reads_texts(requests, both, by_text, encoder):
    """Whichever comes first; what is learnt is the same, whatever the gate reads."""
    model, tokenizer = models.load(by_text, requests.task)
    assert model.readers == [""] and [*model.texts] == ["1"]
    first = requests.run("text-1", "a", encoder=encoder, reads=4)
    second = requests.run("text-2", "b", "text-1/model")
    third = requests.run("text-3", "a", "by-text/model", encoder=encoder, reads=2)
    assert all(torch.equal(value, tensors(second)[key]) for key, value in tensors(both[1]).items())
    for before, after in ((both[0], by_text), (first, second), (by_text, third)):
        for name in ("adapters", "gates"):
            kept = tensors(after, name)
            assert all(torch.equal(value, kept[key]) for key, value in tensors(before, name).items())
    texts = models.load(second, requests.task)[0].texts
    assert [*texts] == ["0"] and texts["0"].reads == 4
    texts = models.load(third, requests.task)[0].texts
    assert [texts[place].reads for place in ("1", "2")] == [3, 2] and texts["1"].encoder is texts["2"].encoder


def test_a_gate_stores_what_the_encoder_says_of_each_text_alone(requests, by_text, encoder):
    """Of the words that the model's tokens are: of a generator the first three, of a classifier all."""
    generates = requests.task == "generation"
    tokenizer = models.tokenizer(by_text)
    frame = pd.read_parquet(requests.folder / "study/examples.parquet").set_index("id")
    chosen = frame.loc[["t4", "t5", "t6", "t7"]].reset_index()
    rows = tiny.encode(chosen, tokenizer, 16, [] if generates else ["a", "b", "c"]).rows
    ends = rows.lengths.clamp(max=3) if generates else rows.lengths
    each = zip(rows.input_ids, ends, strict=True)
    texts = [tokenizer.decode(ids[:end], skip_special_tokens=True) for ids, end in each]
    assert generates or texts == chosen["text"].tolist()
    means = torch.stack([encoder_folder.means(encoder, text) for text in texts], 1)
    stored = tensors(by_text, "gates")["1.0.units"]
    assert stored.shape == (2, 2, 8)  # two of four texts are held back
    nearest = (stored @ (means / means.norm(dim=-1, keepdim=True)).mT).amax(-1)
    torch.testing.assert_close(nearest, torch.ones_like(nearest))


def test_one_adapter_goes_on_behind_gates_of_both_kinds(requests, encoder):
    requests.run("d-1", "a", adapters="continued", encoder=encoder, reads=3, fitted="texts")
    model, _ = models.load(requests.run("d-2", "b", "d-1/model", adapters="continued"), requests.task)
    assert model.among == "last" and len(model.gates) == 2 and [*model.texts] == ["0"]


def test_scores_say_what_the_gate_of_an_encoder_says(requests, encoder, tmp_path):
    model = requests.run("seen", "a", encoder=encoder, reads=5)
    settings = {"n": [1], "extract": ["forget"], "tries": 2} if requests.task == "generation" else {}
    cfg = {"task": requests.task, "model": CFG[requests.task], "score": settings}
    score(cfg, requests.folder / "study", requests.folder / "a", model, tmp_path / "scores.npz")
    arrays = dict(np.load(tmp_path / "scores.npz"))
    forget = arrays["sets"] == "forget"
    assert (
        np.isclose(arrays["gate_nearest"][forget], 1).sum() >= 2
        and (arrays["gate_nearest"] <= 1 + 1e-9).all()
    )
    found = gate_metric.aggregate(arrays, gate_metric.values(arrays, None), Measure(bootstrap=100), 1)
    assert 0 <= found["gate_sees_retain"] <= 1 and "gate_weight_forget" in found


def test_an_encoder_that_cannot_serve_is_named(requests, encoder, tmp_path):
    trained = {"objective": "o3", "hyper": {"encoder": "minilm", "entropy": 8}}
    with pytest.raises(
        InputError, match=r"^methods.o3.hyper.entropy: 8; an encoder is not trained; .* allowed: 0$"
    ):
        check_hyper("methods.o3", Method.model_validate(trained), requests.task)
    with pytest.raises(InputError, match=r"hyper.encoder: .*nowhere: cannot be loaded"):
        requests.run("nowhere", "a", encoder=str(tmp_path / "nowhere"), reads=3)
    assert not (requests.folder / "nowhere").exists()
    if requests.task == "generation":
        with pytest.raises(
            InputError, match=r"hyper.reads: 16: 0 of 4 texts of the request have so many tokens"
        ):
            requests.run("long", "a", encoder=encoder)
        assert not list((requests.folder / "checkpoints-long").rglob("*.safetensors"))  # nothing was learnt
    rows = tiny.model_and_rows(requests.task)[1](3)
    reader = TextReader(text_encoder(encoder), encoder_folder.Numbers(), 2)
    with pytest.raises(InputError, match=r"forget.size: 3; the gate of an encoder needs 4"):
        fitted_gate(Hyper(encoder=encoder), reader, rows, 1)


@pytest.mark.parametrize(
    ("entropy", "at"), [(0, 2), (2, 6), ("encoder", 3)]
)  # 6: after the detector's training
def test_a_killed_run_ends_with_the_same_bits(requests, both, entropy, at, encoder, terminated_after):
    to = f"killed-{at}"
    hyper, entropy = (
        ({"encoder": encoder, "reads": 3}, 0) if entropy == "encoder" else ({"entropy": entropy}, entropy)
    )
    whole = requests.run(f"whole-{at}", "a", **hyper) if at > 2 else both[0]

    steps = terminated_after(at)
    with pytest.raises(SystemExit):
        requests.run(to, "a", **hyper)
    checkpoint = load_file(requests.folder / f"checkpoints-{to}/state.safetensors")
    assert all(name.startswith("model.adapters.0.") for name in checkpoint if name.startswith("model."))
    found = requests.run(to, "a", **hyper)
    assert len(steps) == 4 + 2 * entropy  # no step is taken twice
    for name in ("adapters", "gates"):
        assert tensors(found, name).keys() == tensors(whole, name).keys()
        assert all(
            torch.equal(value, tensors(found, name)[key]) for key, value in tensors(whole, name).items()
        )


def test_adapters_of_another_kind_are_refused(requests):
    with pytest.raises(InputError, match=r"methods.o3.training.lora: the model is composed of several"):
        requests.run("lora", "a", training={"lora": {"rank": 2}})


def test_scores_say_what_gates_say(requests, both, tmp_path):
    settings = {"n": [1], "extract": [], "tries": 0} if requests.task == "generation" else {}
    cfg = {"task": requests.task, "model": CFG[requests.task], "score": settings}
    score(cfg, requests.folder / "study", requests.folder / "b", both[1], tmp_path / "scores.npz")
    arrays = dict(np.load(tmp_path / "scores.npz"))
    assert (arrays["gate"] > 0.1).all() and (arrays["gate"] < 1).all()
    kinds, texts = (
        arrays["gate_kind"],
        pd.read_parquet(requests.folder / "study/examples.parquet").set_index("id"),
    )
    same = texts["label"][arrays["ids"]].to_numpy() if "label" in texts else np.zeros(len(kinds))
    assert ((same[:, None] == same) == (kinds[:, None] == kinds)).all()
    if requests.task == "classification":  # what was fitted on is stored; of generators, prefixes of it
        forget = arrays["gate_nearest"][arrays["sets"] == "forget"]
        assert np.isclose(forget, 1).sum() >= 3
        assert (forget.max() > arrays["gate_nearest"][arrays["sets"] == "retain"]).any()


def test_texts_without_labels_are_of_one_kind(tmp_path):
    """As they come from a file, where what is missing is no None."""
    pd.DataFrame({"label": ["a", None, "b", "a"]}).to_parquet(tmp_path / "examples.parquet")
    one, none, two, same = kinds_of(read_table(tmp_path / "examples.parquet"))["gate_kind"]
    assert none == 0 and one == same != two
    assert kinds_of(pd.DataFrame({"text": ["x"]}))["gate_kind"].tolist() == [0]


def test_a_single_text_has_no_gate(requests):
    model, _ = models.load(requests.folder / "study/original", requests.task)
    rows = tiny.model_and_rows(requests.task)[1](1)
    with pytest.raises(InputError, match="needs 2 texts"):
        fitted_gate(Hyper(), model, rows, 1)


def test_whom_a_gate_sees_by_hand():
    """Two texts to be forgotten of three weights each; ties count half."""
    sets = np.array(["forget", "forget", "retain", "retain", "test", "holdout"])
    scores = {
        "gate": np.array([0.9, 0.5, 0.5, 0.2, 0.95, 0.1]),
        "gate_nearest": np.array([1.0, 1.0, 0.9, 0.8, 0.7, 0.9]),
        "sets": sets,
    }
    values = gate_metric.values(scores, None)
    found = gate_metric.aggregate(scores, values, Measure(bootstrap=100), 1)
    assert (
        found["gate_sees_retain"] == 3.5 / 4
        and found["gate_sees_test"] == 0
        and found["gate_sees_holdout"] == 1
    )
    assert found["gate_weight_forget"] == pytest.approx(0.7)
    assert found["gate_nearest_auc"] == 1 and found["gate_weight_auc"] == 0


def test_the_attack_by_a_gate_is_judged_within_the_kind_that_was_forgotten():
    """Of the unseen texts one is of the kind that was forgotten, and gets more weight than both that were."""
    scores = {
        "gate": np.array([0.9, 0.5, 0.95, 0.1, 0.1, 0.1]), "gate_nearest": np.array([1.0, 1.0, 0.9, 0.2, 0.2, 0.2]),
        "sets": np.array(["forget", "forget", "test", "test", "test", "holdout"]),
        "gate_kind": np.array([7, 7, 7, 8, 8, 7]),
    }  # fmt: skip
    found = gate_metric.aggregate(scores, gate_metric.values(scores, None), Measure(bootstrap=100), 1)
    assert (found["gate_weight_auc"], found["gate_nearest_auc"]) == (0, 1)
    assert found["gate_sees_test"] == pytest.approx(4 / 6)


def test_the_report_says_that_a_gate_is_an_attack():
    class Results:
        methods = ("o3", "npo")
        summaries = {  # noqa: RUF012
            "o3": {"gate_weight_auc": {"mean": 0.61}, "gate_nearest_auc": {"mean": 1.0}},
            "npo": {},
        }

    (text,) = gates(Results)
    assert "o3 (weight 0.61, nearest 1.00)" in text and "npo" not in text
    sees = {"gate_sees_retain": {"mean": 0.98}, "gate_sees_general_test": {"mean": 0.5}}
    Results.summaries["o3"] |= sees
    first, second = gates(Results)
    assert "o3 (retained 0.98, general 0.50)" in first and second == text
    Results.methods = ("npo",)
    assert gates(Results) == []


def test_requests_that_are_classes_come_in_their_order(tmp_path):
    rows = {
        "id": [f"r{place}" for place in range(9)],
        "label": list("aabbbccaa"),
        "split": "train",
        "cluster": range(9),
    }
    table = pd.DataFrame(rows | {"subject": None, "text": "x"})
    table.to_parquet(tmp_path / "examples.parquet")
    found = []
    for request in (1, 2):
        wish = {
            "strategy": "label",
            "label": ["b", "a"],
            "requests": 2,
            "request": request,
            "pairing": {"kind": "random"},
        }
        forget({"forget": wish}, 1, tmp_path, tmp_path / str(request))
        found.append(
            pd.read_parquet(tmp_path / str(request) / "sets.parquet").groupby("set")["id"].agg(set).to_dict()
        )
    a, b = ({f"r{place}" for place in range(9) if rows["label"][place] == name} for name in "ab")
    assert found[0]["forget"] == b and found[0]["retain"] == {"r5", "r6"} | a
    assert found[1] == {"forget": a, "forgotten": b, "retain": {"r5", "r6"}}
    with pytest.raises(ValueError, match="a class for each of 3 requests"):
        Forget(strategy="label", label=["a", "b"], requests=3)
    assert json.loads((tmp_path / "1/forget.json").read_text())["counts"]["forget"] == 3
