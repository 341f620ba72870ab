import itertools
from unicodedata import normalize

import numpy as np
import pandas as pd
import pytest

from lethe.data.near_duplicates import bands, clusters


def slow_clusters(texts, ngram, similarity):
    """Every pair compared by its tuples of words; clusters grow until nothing changes."""
    sets = []
    for text in texts:
        words = "".join(c if c.isalnum() or c == "_" else " " for c in text.lower()).split()
        sets.append({tuple(words[i : i + ngram]) for i in range(max(1, len(words) - ngram + 1))})
    number = list(range(len(texts)))
    changed = True
    while changed:
        changed = False
        for i, a in enumerate(sets):
            for j, b in enumerate(sets):
                if len(a & b) / len(a | b) >= similarity and number[i] != number[j]:
                    number[i] = number[j] = min(number[i], number[j])
                    changed = True
    return number


def perturbed(seed, originals=12, copies=5):
    draw = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(200)]
    texts = []
    for _ in range(originals):
        base = draw.choice(words, 40)
        for rate in np.linspace(0, 0.3, copies):
            texts.append(" ".join(np.where(draw.random(40) < rate, draw.choice(words, 40), base)))
    return texts


@pytest.mark.parametrize("similarity", [0.2, 0.5, 0.8, 1.0])
def test_clusters_equal_those_of_all_pairs(similarity):
    texts = perturbed(seed=1)
    texts += texts[::7]
    expected = pd.factorize(np.array(slow_clusters(texts, 3, similarity)))[0]
    assert len(texts) > len(set(expected)) > 12 or similarity == 0.2
    assert clusters(texts, 3, similarity).tolist() == expected.tolist()


def test_bands_are_the_longest_that_seldom_miss():
    assert bands(0.5) == (42, 3)  # (1 - 1/8)^42 = 0.004; four rows: (1 - 1/16)^32 = 0.13
    assert bands(1.0) == (2, 64)
    assert bands(0.01) == (128, 1)


def test_case_and_punctuation_do_not_matter_and_order_of_words_does():
    texts = ["One, two; three four!", "one two three four", "four three two one", "other words"]
    assert clusters(texts, 2, 0.9).tolist() == [0, 0, 1, 2]


def emoji(seed, count):
    draw = np.random.default_rng(seed)
    return "".join(chr(code) for code in draw.integers(0x1F600, 0x1F640, count))


def test_texts_without_words_are_compared_by_their_characters():
    texts = [emoji(seed, 12) for seed in range(30)] + ["+ - * / = <", "∀∃∈∑∫≤≥", "!!", "??", "…", "—"]
    assert clusters(texts, 5, 0.5).tolist() == list(range(len(texts)))
    again = [text + "\ufe0f" for text in texts[:5]] + [" ".join(text) for text in texts[5:10]]
    assert clusters(texts + again, 5, 0.5).tolist()[len(texts) :] == list(range(10))
    assert clusters([emoji(0, 12), emoji(0, 14)], 5, 0.5).tolist() == [0, 0]  # 8 of 10 n-grams are shared


def programs():
    for first, second, third in itertools.product("+-*/%", ("<", ">", "=="), ("", "-", "~", "not ")):
        yield f"if x {first} y {second} z: return {third}q"


def test_short_programs_that_differ_in_an_operator_are_different():
    texts = list(programs())
    assert clusters(texts, 5, 0.5).tolist() == list(range(60))
    assert clusters([text.upper() + " " for text in texts] + texts, 5, 0.5).tolist() == [*range(60)] * 2


def test_long_programs_that_differ_in_one_operator_are_near_duplicates():
    lines = [f"x{number} = y{number} {operator} z" for number, operator in enumerate("+-*/%<>&")]
    changed = [lines[0].replace("+", "-"), *lines[1:]]  # one of 16 operators: 12 n-grams, 2 others in either
    assert clusters(["\n".join(lines), "\n".join(changed)], 5, 0.5).tolist() == [0, 0]


def test_punctuation_brackets_and_emoji_of_prose_do_not_matter():
    prose = "the well known shop (in the old town) sells tea & bread for $5 a day, they say"
    other = "The well-known shop in the old town sells tea bread for 5 a day; they say 😀!"
    assert clusters([prose, other], 5, 0.5).tolist() == [0, 0]


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_normal_forms_are_one_text(form):
    texts = ["Café über Straße naïve résumé", "한국어 문장 하나 더 있다", "ﬁve ½ ﬂoors Å ＡＢＣ three"]
    assert clusters([*texts, *(normalize(form, text) for text in texts)], 2, 0.9).tolist() == [0, 1, 2] * 2


def test_what_has_no_width_does_not_matter():
    texts = [
        "one two three four",
        "o\u00adne t\u200bwo thr\u2060ee\ufeff four",
        "one\u00a0two\u3000three four",
    ]
    assert clusters(texts, 2, 1.0).tolist() == [0, 0, 0]


def test_where_no_space_separates_words_a_character_is_one():
    chinese, other = "我昨天在北京的医院看了医生并且拿到了三种药", "今天的天气很好我们一起去公园散步吧"
    assert clusters([chinese, chinese + "谢谢", other], 5, 0.5).tolist() == [0, 0, 1]


def test_clusters_are_linked_through_a_text_between():
    a, b, c = "a b c d e f", "c d e f g h", "e f g h i j"  # shared words 4 of 8, 4 of 8, 2 of 10
    assert clusters([a, c, b], 1, 0.5).tolist() == [0, 0, 0]
    assert clusters([a, c], 1, 0.5).tolist() == [0, 1]


def test_numbers_follow_the_first_member():
    assert clusters(["b b", "a a", "b b", "c c", "a a"], 2, 1.0).tolist() == [0, 1, 0, 2, 1]
    assert clusters([], 5, 0.5).tolist() == []
