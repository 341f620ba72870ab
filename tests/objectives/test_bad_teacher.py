"""The incompetent teacher: what it shares with the original, and the divergences from both."""

import tiny
import torch
from torch.distributions import Categorical, kl_divergence

from lethe import losses
from lethe.objectives import bad_teacher
from lethe.objectives.bad_teacher import Hyper, teachers

BATCH = {"forget": tiny.rows(5, True, 1), "retain": tiny.rows(4, True, 2)}


def test_the_incompetent_teacher_is_the_original_under_another_head():
    original = tiny.classifier()
    before = original.classifier.weight.clone()
    good, bad = teachers(original, seed=1)
    assert good is original and bad.base_model is original.base_model
    assert torch.equal(original.classifier.weight, before)
    assert not torch.equal(bad.classifier.weight, before)
    assert torch.equal(teachers(original, seed=1).incompetent.classifier.weight, bad.classifier.weight)
    assert not torch.equal(teachers(original, seed=2).incompetent.classifier.weight, bad.classifier.weight)


def test_terms_are_the_divergences_from_both_teachers():
    student, both = tiny.classifier(1), teachers(tiny.classifier(0), seed=1)
    terms = bad_teacher.loss(Hyper(retain=3.0), student, both, BATCH)
    for role, teacher, weight in (("forget", both.incompetent, 1), ("retain", both.competent, 3)):
        before, after = (Categorical(logits=losses.forward(m, BATCH[role])) for m in (teacher, student))
        torch.testing.assert_close(terms[role], weight * kl_divergence(before, after), rtol=1e-4, atol=1e-6)


def test_a_student_equal_to_a_teacher_does_not_differ_from_it():
    original = tiny.classifier()
    both = teachers(original, seed=1)
    torch.testing.assert_close(bad_teacher.loss(Hyper(), original, both, BATCH)["retain"], torch.zeros(4))
    unlearned = bad_teacher.loss(Hyper(), both.incompetent, both, BATCH)
    torch.testing.assert_close(unlearned["forget"], torch.zeros(5))
    assert (unlearned["retain"] > 1e-4).all()
