"""Products of matrices have the same bits wherever their arrays lie in memory."""

import pytest
import torch

import lethe  # noqa: F401  sets the order of sums before the first product


def moved(matrix: torch.Tensor, by: int) -> torch.Tensor:
    """A copy that begins `by` numbers after an address that is a multiple of 64 bytes."""
    return torch.empty(matrix.numel() + by)[by:].view(matrix.shape).copy_(matrix)


@pytest.mark.parametrize("shape", [(1, 16, 2), (1, 64, 16), (3, 64, 3), (24, 64, 16)], ids=str)
def test_products_do_not_depend_on_addresses(shape):
    n, k, m = shape
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(n, k, generator=generator), torch.randn(m, k, generator=generator)
    alone, batched = left @ right.T, torch.bmm(left[None], right.T[None])
    for by in range(17):
        here, there = moved(left, by), moved(right, 16 - by)
        assert torch.equal(here @ there.T, alone)
        assert torch.equal(torch.bmm(here[None], there.T[None]), batched)
