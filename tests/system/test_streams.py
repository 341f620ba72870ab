"""Random streams: equal on every machine, one per name."""

import hashlib

import numpy as np

from lethe.system.streams import stream, stream_seed


def test_the_seed_of_a_stream_is_the_start_of_a_sha256():
    digest = hashlib.sha256(b"(3, 'order', '7')").digest()
    assert stream_seed(3, "order", 7) == int.from_bytes(digest[:8], "big") // 2


def test_draws_of_numpys_generator_of_that_seed():
    expected = np.random.default_rng(stream_seed(3, "forget")).integers(0, 100, 5)
    assert stream(3, "forget").integers(0, 100, 5).tolist() == expected.tolist()


def test_every_name_and_seed_has_a_stream_of_its_own():
    seeds = [
        stream_seed(s, *n) for s in range(3) for n in ([], ["a"], ["b"], ["a", 0], ["a", 1], ["a0"], [0, "a"])
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_numbers_of_numpy_and_python_name_the_same_stream():
    assert stream_seed(np.int64(3), "a", np.int64(1)) == stream_seed(3, "a", 1) == stream_seed(3, "a", "1")
