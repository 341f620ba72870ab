"""Questions about fictitious authors: as many as asked for, the same for all, wrong answers that are wrong."""

import pytest

from lethe.datasets.authors import FACTS, Options, examples

FRAME, ORIGIN = examples(Options(authors=12, wrong=4), 3)


def test_every_author_is_asked_about_every_fact():
    assert len(FRAME) == 12 * len(FACTS) and FRAME["id"].is_unique
    assert FRAME["subject"].value_counts().tolist() == [len(FACTS)] * 12
    assert FRAME["id"][0] == "author-0000.genre"


def test_more_authors_and_more_wrong_answers_change_no_one():
    more, _ = examples(Options(authors=15, wrong=5), 3)
    for column in ("id", "text", "paraphrase", "prompt"):
        assert more[column][: len(FRAME)].tolist() == FRAME[column].tolist()


def test_another_seed_tells_of_others():
    other, origin = examples(Options(authors=12, wrong=4), 4)
    assert origin["sha256"] != ORIGIN["sha256"]
    assert set(other["text"]).isdisjoint(FRAME["text"])


def test_wrong_answers_are_the_paraphrase_with_something_else():
    for row in FRAME.itertuples():
        answers = {row.paraphrase, *row.alternatives}
        assert len(answers) == 5 and row.text not in answers
        shared = set(row.paraphrase.split())
        assert all(len(shared & set(wrong.split())) >= 3 for wrong in row.alternatives)


def test_question_and_answers_name_the_author():
    for subject, rows in FRAME.groupby("subject"):
        questions = [messages[-1]["content"] for messages in rows["prompt"]]
        name = set.intersection(*[set(q.replace("'s ", " ").rstrip("?").split()) for q in questions])
        assert len(name) >= 2, subject
        assert all(name <= set(text.rstrip(".").replace("'s", "").split()) for text in rows["text"])


@pytest.mark.parametrize("fact", FACTS)
def test_braces_are_filled(fact):
    rows = FRAME[FRAME["id"].str.endswith(fact)]
    texts = [*rows["text"], *rows["paraphrase"], *[m[0]["content"] for m in rows["prompt"]]]
    assert not any("{" in text for text in texts)
    assert len(set(rows["text"])) == 12
