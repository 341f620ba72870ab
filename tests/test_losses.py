"""Losses against sums written out and the model's own loss."""

import math
from dataclasses import replace

import pytest
import tiny
import torch
import transformers

from lethe import losses
from lethe.data.rows import Labelled, Rows, Tagged, joined


def test_nll_of_text_is_the_models_own_loss():
    model, rows = tiny.language_model(), tiny.rows(1, longest=9)
    own = model(input_ids=rows.input_ids, labels=rows.input_ids).loss
    torch.testing.assert_close(losses.example_loss(model, rows)[0], own)


def test_of_many_logits_nothing_of_their_size_is_kept_and_no_bit_changes(monkeypatch):
    """Row by row; what is kept for the gradient are the logits themselves, once, and numbers per token."""
    text, kept = tiny.rows(4), []
    for limit in (10**9, 0):
        monkeypatch.setattr("lethe.data.rows.MANY", limit)
        logits = torch.randn(
            *text.input_ids.shape, 500, generator=torch.Generator().manual_seed(0), requires_grad=True
        )
        sizes: dict[int, int] = {}

        def keep(tensor, sizes=sizes):
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            values = text.token_nll(logits)
        sizes.pop(logits.untyped_storage().data_ptr(), None)
        values.sum().backward()
        kept.append((values.detach(), logits.grad, sum(sizes.values()) / logits.nbytes))
    assert torch.equal(kept[0][0], kept[1][0]) and torch.equal(kept[0][1], kept[1][1])
    assert kept[0][2] > 0.5 and kept[1][2] < 0.01


@pytest.mark.parametrize("trained", [1, 2**23], ids=["a position at a time", "at once"])
def test_logits_of_scored_positions_alone_give_losses_and_gradients_of_all(monkeypatch, trained):
    """Beside prompts and pads; and no others are made."""
    monkeypatch.setattr("lethe.models.head.TRAINED", trained)
    rows = tiny.rows(4, longest=9)
    rows = replace(rows, starts=torch.tensor([1, 2, 1, 2]).minimum(rows.lengths - 1))
    plain, model, made = tiny.language_model(), tiny.language_model(), []
    model.get_output_embeddings().register_forward_hook(lambda _, given, __: made.append(given[0].shape[-2]))
    losses.token_nll(model, rows).square().sum().backward()
    if trained > 1:
        assert sum(made) == rows.scored.sum() < rows.input_ids.numel()
    logits = plain(input_ids=rows.input_ids).logits
    rows.token_nll(logits).square().sum().backward()
    torch.testing.assert_close(losses.token_nll(model, rows), rows.token_nll(logits))
    for found, expected in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-4)


def test_rows_without_anything_to_score_have_no_surprise():
    rows = Rows(torch.ones(2, 4, dtype=torch.long), torch.ones(2, dtype=torch.long))
    assert torch.equal(losses.token_nll(tiny.language_model(), rows), torch.zeros(2, 3))


def test_nll_of_labels_is_the_models_own_loss():
    model, rows = tiny.classifier(), tiny.rows(6, labelled=True)
    own = model(input_ids=rows.input_ids, attention_mask=rows.mask.long(), labels=rows.labels).loss
    torch.testing.assert_close(losses.example_loss(model, rows).mean(), own)


def test_nll_of_tags_is_the_mean_over_the_models_own_losses_of_each_text():
    model, rows = tiny.tagger(), tiny.tagged_rows(6)
    for row, found in enumerate(losses.example_loss(model, rows)):
        one = rows[[row]]
        own = model(input_ids=one.input_ids, labels=one.labels).loss  # torch's mean over the tagged tokens
        torch.testing.assert_close(found, own)


def test_divergences_of_tags_against_loops():
    before, after, rows = tiny.tagger(0), tiny.tagger(1), tiny.tagged_rows(4)
    p, q = (losses.forward(model, rows).log_softmax(-1) for model in (before, after))
    for row, (kl, soft) in enumerate(zip(losses.kl(p, q, rows), losses.soft_nll(p, q, rows), strict=True)):
        places = [t for t in range(rows.labels.shape[1]) if rows.labels[row, t] >= 0]
        each = [[(p[row, t].exp() * x[row, t]).sum().item() for t in places] for x in (p, q)]
        entropy, cross = (-sum(values) / len(places) for values in each)
        assert kl.item() == pytest.approx(cross - entropy, abs=1e-5)
        assert soft.item() == pytest.approx(cross, abs=1e-5)


def test_of_tagged_text_each_tag_has_a_class_and_a_vector():
    tags = torch.tensor([[-100, 4, 0], [-100, 2, -100]])
    rows = Tagged(torch.zeros(2, 3, dtype=torch.long), torch.tensor([3, 2]), labels=tags)
    assert rows.classes.tolist() == [4, 0, 2]
    hidden = torch.arange(6.0).view(2, 3, 1)
    assert losses.pooled(hidden, rows, "cls").squeeze(1).tolist() == [1, 2, 4]
    assert rows[[1]].labels.tolist() == [[-100, 2]]


def test_uniform_logits_have_the_entropy_of_the_vocabulary():
    rows = tiny.rows(3)
    logits = torch.zeros(3, rows.input_ids.shape[1], tiny.VOCABULARY)
    torch.testing.assert_close(losses.nll(logits, rows), torch.full((3,), math.log(tiny.VOCABULARY)))


def test_kl_by_hand():
    frozen, logits = torch.log(torch.tensor([[[0.5, 0.5]] * 2])), torch.log(torch.tensor([[[0.9, 0.1]] * 2]))
    rows = Rows(torch.tensor([[0, 1]]), torch.tensor([2]))
    expected = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert losses.kl(frozen, logits, rows).item() == pytest.approx(expected)


def test_padding_changes_nothing():
    model, rows = tiny.language_model(), tiny.rows(4)
    wide = Rows(torch.nn.functional.pad(rows.input_ids, (0, 7), value=5), rows.lengths)
    for value in (losses.example_loss, losses.sequence_log_probability):
        torch.testing.assert_close(value(model, wide), value(model, rows))


def test_padding_adds_nothing_to_a_divergence():
    before, after, rows = tiny.language_model(0), tiny.language_model(1), tiny.rows(4)
    wide = Rows(torch.nn.functional.pad(rows.input_ids, (0, 7), value=5), rows.lengths)
    for divergence in (losses.kl, losses.soft_nll):
        found = [divergence(*(losses.forward(m, r) for m in (before, after)), r) for r in (rows, wide)]
        torch.testing.assert_close(found[1], found[0])


def test_a_real_end_of_text_is_scored_though_pads_look_like_it():
    model, end = tiny.language_model(), 0  # the end of text is also the padding token
    short, long = torch.tensor([3, 4, end]), torch.tensor([5, 6, 7, 8, 9, end])
    padded = Rows(torch.stack([torch.cat([short, torch.full((3,), end)]), long]), torch.tensor([3, 6]))
    assert padded.scored.sum(1).tolist() == [2, 5]
    own = [model(input_ids=text[None], labels=text[None]).loss for text in (short, long)]
    torch.testing.assert_close(losses.example_loss(model, padded), torch.stack(own))


def test_a_single_token_is_an_error_not_zero():
    rows = Rows(torch.tensor([[3, 0], [3, 4]]), torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="row 0"):
        losses.example_loss(tiny.language_model(), rows)


def test_rows_are_cut_to_their_longest_and_joined_again():
    rows = tiny.rows(5)
    short = rows[torch.argsort(rows.lengths)[:2]]
    assert short.input_ids.shape[1] == int(short.lengths.max()) < rows.input_ids.shape[1]
    both = joined([short, rows])
    assert torch.equal(both.mask.sum(1), torch.cat([short.lengths, rows.lengths]))


def test_mean_pooling_ignores_pads():
    rows = Rows(torch.zeros(1, 3, dtype=torch.long), torch.tensor([2]))
    hidden = torch.tensor([[[1.0], [3.0], [100.0]]])
    assert losses.pooled(hidden, rows, "mean").item() == 2.0
    assert losses.pooled(hidden, rows, "cls").item() == 1.0
    assert losses.pooled(hidden, rows, "last").item() == 3.0


def test_the_embedding_of_a_decoder_is_that_of_the_token_its_head_reads():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=12, pad_token_id=0, num_labels=3
    )
    model = transformers.GPT2ForSequenceClassification(config).eval()
    tokens, lengths = torch.tensor([[5, 6, 7, 8], [5, 9, 0, 0]]), torch.tensor([4, 2])
    rows = Labelled(tokens, lengths, labels=torch.tensor([0, 1]))
    logits, embedding = losses.logits_and_embedding(model, rows)
    torch.testing.assert_close(model.score(embedding), logits)
