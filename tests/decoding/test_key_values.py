import pytest
import torch

from lethe.decoding.key_values import Layer

ROWS, HEADS, WIDTH, SIZE, WINDOW = 4, 2, 13, 3, 5


def filled_layer() -> Layer:
    torch.manual_seed(0)
    layer = Layer(ROWS, WIDTH)
    layer.update(torch.randn(ROWS, HEADS, WIDTH, SIZE), torch.randn(ROWS, HEADS, WIDTH, SIZE))
    return layer


@pytest.mark.parametrize("position", [1, 4, 5, 6, 9, 10, 11])
def test_a_narrow_layer_keeps_the_last_positions_in_any_order(position):
    source, narrow, chosen = filled_layer(), Layer(3, WINDOW), torch.tensor([2, 0])
    narrow.filled = position
    narrow.admit(source, chosen, 1)
    narrow.first = 1
    for now in range(position, WIDTH):
        new = source.keys[chosen, :, now : now + 1], source.values[chosen, :, now : now + 1]
        for found, whole in zip(narrow.update(*new), (source.keys, source.values), strict=True):
            kept = range(max(0, now + 1 - WINDOW), now + 1)
            assert found.shape[2] == len(kept)
            for p in kept:
                assert torch.equal(found[:, :, p % WINDOW], whole[chosen, :, p]), (now, p)


def test_a_pass_over_more_tokens_than_fit_is_refused():
    keys = torch.zeros(ROWS, HEADS, WINDOW + 1, SIZE)
    with pytest.raises(RuntimeError, match="must match"):
        Layer(ROWS, WINDOW).update(keys, keys)
