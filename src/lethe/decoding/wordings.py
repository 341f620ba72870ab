"""Several answers to one prompt, which is read once: its keys and values are kept for all of them."""

from __future__ import annotations

import numpy as np
import torch

from lethe.decoding.decoding import checked, evaluating, teacher_forced
from lethe.decoding.head import passes, predictions
from lethe.decoding.key_values import KeyValues, keeps_keys_and_values
from lethe.models.head import asks_for_its_body


def answer_logprob(model, input_ids, lengths, starts, batch_size: int) -> np.ndarray:
    """(N, T-1) float32 log-probability in nats of the tokens of answers, column j of token j + 1; 0 elsewhere.

    On a CPU prompts that several texts share are read once; on a GPU, or by a model that keeps other states than keys
    and values, texts are read one by one in batches.

    Args:
        model: causal language model; its state is left as it is.
        input_ids: (N, T) int, padded on the right with anything.
        lengths, starts: (N,) int, tokens of each text, and of its prompt, at least 1.
        batch_size: texts in one pass.
    """
    ids, lengths = checked(input_ids, lengths)
    starts = np.asarray(starts)
    if torch.device(model.device).type != "cpu" or not keeps_keys_and_values(model):
        found = teacher_forced(model, ids, lengths, batch_size=batch_size, logprob=True)
        assert found.logprob is not None
        values = found.logprob
    else:
        values = np.zeros((len(ids), ids.shape[1] - 1), np.float32)
        with evaluating(model):
            for group in same_prompts(ids, starts):
                for begin in range(0, len(group), batch_size):
                    rows = group[begin : begin + batch_size]
                    read(model, ids[rows], lengths[rows], int(starts[rows[0]]), values, rows)
    column = np.arange(1, ids.shape[1])
    return np.where((column >= starts[:, None]) & (column < lengths[:, None]), values, np.float32(0))


def same_prompts(ids: np.ndarray, starts: np.ndarray) -> list[np.ndarray]:
    """Rows whose prompts are equal."""
    groups: dict[bytes, list[int]] = {}
    for row, start in enumerate(starts):
        groups.setdefault(ids[row, :start].tobytes(), []).append(row)
    return [np.array(rows) for rows in groups.values()]


def read(
    model, ids: np.ndarray, lengths: np.ndarray, start: int, values: np.ndarray, rows: np.ndarray
) -> None:
    """Write the log-probabilities of answers to one prompt into their rows of `values`."""
    width, first = int(lengths.max()), start - 1  # the last token of the prompt predicts the answer's first
    tokens, cache = torch.from_numpy(ids[:, :width]), KeyValues(model, len(ids), width)
    cache.stand(0)
    if first:
        body = model.base_model if asks_for_its_body(model) else model
        body(input_ids=tokens[:1, :first], **cache.given)
        cache.move(np.zeros(len(ids) - 1, int), np.arange(1, len(ids)))
        cache.stand(first)
    answers, sizes = tokens[:, first:], (lengths - first).tolist()
    _, in_parts = passes(model, len(ids), width - first)
    for row, begin, logits in predictions(model, answers, sizes, cache, in_parts):
        following = answers[row, begin + 1 : begin + 1 + len(logits), None]
        found = logits.float().log_softmax(-1).gather(1, following)[:, 0]
        values[rows[row], first + begin : first + begin + len(found)] = found.numpy()
