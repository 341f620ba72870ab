"""Random labels: wrong, uniform, kept; and the loss by hand."""

from dataclasses import replace

import tiny
import torch
from recorded_run import objective_of
from torch.nn.functional import pad

from lethe.objectives import random_label
from lethe.objectives.random_label import other_labels

MANY = tiny.rows(600, labelled=True)


def test_labels_are_wrong_and_uniform_over_the_other_classes():
    drawn = other_labels(MANY, tiny.CLASSES, seed=1)
    assert not (drawn == MANY.labels).any()
    for true in range(tiny.CLASSES):
        counts = torch.bincount(drawn[MANY.labels == true], minlength=tiny.CLASSES)
        assert counts.sum() == 200
        assert all(70 <= counts[c] <= 130 for c in range(tiny.CLASSES) if c != true)  # 100 ± 4 sd


def test_an_example_keeps_its_label_in_every_batch_and_another_seed_draws_others():
    drawn = other_labels(MANY, 5, seed=1)
    some = torch.tensor([7, 3, 500])
    assert torch.equal(other_labels(MANY[some], 5, seed=1), drawn[some])
    wide = replace(MANY, input_ids=pad(MANY.input_ids, (0, 3), value=4))
    assert torch.equal(other_labels(wide, 5, seed=1), drawn)
    differ = (other_labels(MANY, 5, seed=2) != drawn).float().mean()
    assert 0.65 < differ < 0.85  # 3/4 of draws from four classes


def test_with_two_classes_the_label_is_flipped():
    rows = replace(MANY, labels=MANY.labels % 2)
    assert torch.equal(other_labels(rows, 2, seed=3), 1 - rows.labels)


def test_terms_are_log_probabilities_of_the_drawn_and_the_true_labels():
    model, forget, retain = tiny.classifier(), tiny.rows(5, True, 1), tiny.rows(4, True, 2)
    hyper = random_label.Hyper(retain=2.0)
    frozen = objective_of(random_label, model, "classification", hyper, seed=7).frozen
    terms = random_label.loss(hyper, model, frozen, {"forget": forget, "retain": retain})
    probabilities = [
        model(input_ids=rows.input_ids, attention_mask=rows.mask.long()).logits.softmax(1)
        for rows in (forget, retain)
    ]
    wrong = other_labels(forget, tiny.CLASSES, 7)
    torch.testing.assert_close(terms["forget"], -probabilities[0][range(5), wrong].log())
    torch.testing.assert_close(terms["retain"], -2 * probabilities[1][range(4), retain.labels].log())


def test_every_tag_becomes_another_one_and_words_without_a_tag_stay_so():
    rows = tiny.tagged_rows(200)
    drawn = other_labels(rows, tiny.CLASSES, seed=1)
    given = rows.labels >= 0
    assert not (drawn == rows.labels)[given].any() and (drawn[given] < tiny.CLASSES).all()
    assert torch.equal(drawn >= 0, given)
    some = torch.tensor([7, 3])
    assert torch.equal(
        other_labels(rows[some], tiny.CLASSES, seed=1), drawn[some][:, : rows[some].labels.shape[1]]
    )
