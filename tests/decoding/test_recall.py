import causal_models
import numpy as np
import pytest
import sacrebleu
import torch
import transformers

from lethe.decoding.continuations import greedy_continuations
from lethe.decoding.recall import continuations, forgotten, token_bleu, until_end, word_bleu
from lethe.decoding.similarity import bert_score, bleu

LENGTHS = [20, 13, 17, 20]


@pytest.fixture(scope="module")
def memorised():
    tokens = causal_models.texts(4)
    model = causal_models.trained("gpt_neo", "half", tokens, seed=1)
    for row, length in zip(tokens, LENGTHS, strict=True):
        row[length:] = -100
    return model, tokens


def generated(model, prompt, total: int, eos=None, beams: int = 1) -> list[int]:
    tokens = torch.tensor([prompt])
    out = model.generate(
        tokens, attention_mask=torch.ones_like(tokens), max_length=total, do_sample=False, num_beams=beams,
        eos_token_id=eos, pad_token_id=0,
    )  # fmt: skip
    return out[0, len(prompt) :].tolist()


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize(("prefix", "length"), [(0.5, None), (5, 6), (12, 50)])
def test_continuations_are_those_of_generate_one_by_one(memorised, prefix, length, beams):
    model, tokens = memorised
    ours, true = continuations(model, tokens, LENGTHS, prefix=prefix, generated=length, beams=beams)
    for row, full in enumerate(LENGTHS):
        prompt = int(full * prefix) if prefix == 0.5 else prefix
        total = full if length is None else min(full, prompt + length)
        text = tokens[row].tolist()
        assert ours[row].tolist() == generated(model, text[:prompt], total, beams=beams)
        assert true[row].tolist() == text[prompt:total]


def test_a_continuation_ends_with_the_text(memorised):
    model, tokens = memorised
    prompts = np.array([4, 4, 4, 4])
    unended = greedy_continuations(model, tokens, prompts, LENGTHS)
    eos = [int(unended[0][5]), int(tokens[1, 6])]
    ended = greedy_continuations(model, tokens, prompts, LENGTHS, eos=eos, decode_batch_tokens=40)
    for row, full in enumerate(LENGTHS):
        assert ended[row].tolist() == generated(model, tokens[row, :4].tolist(), full, eos)
    assert len(ended[0]) <= 6 < len(unended[0])
    assert until_end(np.array([3, 1, 0, 0]), np.array([0])).tolist() == [3, 1, 0]


def test_forgotten_by_the_first_rule_that_says_so(memorised):
    model, tokens = memorised
    asked = []

    def known(values):
        def compare(ours, true):
            asked.append([t.tolist() for t in true])
            return np.array([values[t.tolist()[0]] for t in true])

        return compare

    firsts = [int(tokens[row, 6]) for row in range(4)]
    assert len(set(firsts)) == 4
    first, second = (dict(zip(firsts, v, strict=True)) for v in ((0.1, 0.5, 0.9, 0.2), (0.0, 0.3, 0.4, 0.0)))
    similarity, gone = forgotten(
        model, tokens, [(known(first), 0.2), (known(second), 0.3)], LENGTHS, prefix=6
    )
    assert similarity.tolist() == [0.1, 0.5, 0.9, 0.2]
    assert gone.tolist() == [True, True, False, True]  # at most the threshold, by either
    assert [len(texts) for texts in asked] == [4, 2]


def test_a_memorised_text_resembles_itself_and_a_random_model_does_not():
    tokens = causal_models.texts(4)
    rules = [(token_bleu, 0.5)]
    similarity, gone = forgotten(causal_models.trained("llama", "memorised", tokens), tokens, rules)
    assert similarity.dtype == np.float64
    assert similarity.max() == 1
    assert not gone.all()
    similarity, gone = forgotten(causal_models.untrained("llama"), tokens, rules)
    assert similarity.max() < 0.3
    assert gone.all()


def test_bad_prefixes_are_named(memorised):
    model, tokens = memorised
    for settings, message in (
        ({"prefix": 13}, "prefix 13: row 1 has 13 tokens"),
        ({"prefix": 0}, "prefix 0"),
        ({"prefix": 1.0}, "share between 0 and 1"),
        ({"beams": 0}, "at least 1"),
        ({"generated": 0}, "at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            continuations(model, tokens, LENGTHS, **settings)
    with pytest.raises(ValueError, match="no rule"):
        forgotten(model, tokens, [], LENGTHS)


@pytest.mark.parametrize("smooth", [True, False])
def test_bleu_equals_sacrebleu(smooth):
    random = np.random.default_rng(0)
    method = {"smooth_method": "add-k", "smooth_value": 1} if smooth else {"smooth_method": "none"}
    positive = 0
    for _ in range(200):
        candidate, reference = (random.integers(0, 3, random.integers(4, 15)).tolist() for _ in range(2))
        texts = " ".join(map(str, candidate)), [" ".join(map(str, reference))]
        expected = (
            sacrebleu.sentence_bleu(*texts, tokenize="none", use_effective_order=False, **method).score / 100
        )
        assert bleu(candidate, reference, smooth) == pytest.approx(expected, abs=1e-9)
        positive += 0 < expected < 1
    assert positive > 50


def test_bleu_by_hand():
    assert bleu("abcdef", "abcdef", smooth=False) == pytest.approx(1)
    assert bleu("ab", "ab") == pytest.approx(1)
    assert bleu("abcx", "abcd", smooth=False) == 0  # no common 4-gram
    # 3 of 4 letters, (2+1)/(3+1), (1+1)/(2+1), (0+1)/(1+1): the fourth root of 3/4 * 3/4 * 2/3 * 1/2
    assert bleu("abcx", "abcd") == pytest.approx((3 / 4 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert bleu("abcd", "abcdabcd", smooth=False) == pytest.approx(np.exp(-1))  # half as long
    assert bleu("", "abc") == 0
    assert bleu("xyz", "abc") == 0
    with pytest.raises(ValueError, match="empty"):
        bleu("abc", "")


class Words:
    """A tokenizer of made-up words; token 0 is special."""

    def batch_decode(self, rows, skip_special_tokens):
        return [" ".join(f"w{i}" for i in row if i or not skip_special_tokens) for row in rows]


def test_word_bleu_is_unsmoothed_over_words_without_special_tokens():
    ours = [np.array([1, 2, 3, 4, 0]), np.array([1, 2, 3, 9])]
    true = [np.array([1, 2, 3, 4]), np.array([1, 2, 3, 4])]
    assert word_bleu(Words())(ours, true).tolist() == pytest.approx([1, 0])


def test_bert_score_by_its_definition():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdef"]
    tokenizer = transformers.BertTokenizerFast(vocab={word: i for i, word in enumerate(words)})
    assert tokenizer.vocab_size == len(words)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        initializer_range=0.5,
    )  # fmt: skip
    encoder = transformers.BertModel(config).eval()
    ours, true = ["a b c", "d e", "f a b c", "a"], ["a b d e", "d e", "c", ""]
    found = bert_score(ours, true, encoder, tokenizer, batch_size=3)
    for value, *pair in zip(found[:3], ours, true, strict=False):
        with torch.no_grad():
            x, y = (encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state[0] for text in pair)
        cosine = torch.nn.functional.cosine_similarity(x[:, None], y[None], dim=-1)
        precision, recall = cosine.max(1).values[1:-1].mean(), cosine.max(0).values[1:-1].mean()
        assert value == pytest.approx(float(2 * precision * recall / (precision + recall)), abs=1e-5)
    assert found[1] == pytest.approx(1, abs=1e-5)
    assert found[0] < 0.99
    assert found[3] == 0
