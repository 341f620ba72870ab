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


def test_clusters_are_linked_through_a_text_between():
    a, b, c = "a b c d e f", "c d e f g h", "e f g h i j"  # shared words 4 of 8, 4 of 8, 2 of 10
    assert clusters([a, c, b], 1, 0.5).tolist() == [0, 0, 0]
    assert clusters([a, c], 1, 0.5).tolist() == [0, 1]


def test_numbers_follow_the_first_member():
    assert clusters(["b b", "a a", "b b", "c c", "a a"], 2, 1.0).tolist() == [0, 1, 0, 2, 1]
    assert clusters([], 5, 0.5).tolist() == []
