"""What trains, unlearns, decodes and scores, on a GPU that is none: no tensor of the host may meet one of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parent
FILES = (
    "unlearn",
    "score",
    "tagging",
    "training/epoch_check",
    "training/frozen",
    "models/fused",
    "models/adapters",
)
FILES += ("decoding/recall", "decoding/sampling", "objectives/o3")
NEAR = (  # tests that compute on the host what they compare with, start processes, or end them
    "one_text_at_a_time or by_its_definition or one_example_at_a_time or completions_of_the_beginnings"
    " or two_processes or killed or norms_are_those_of_single_texts"
)


def python(*args: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *args], env=env, cwd=TESTS.parent, capture_output=True, text=True)


def test_runs_and_scores_are_right_on_a_device_of_their_own():
    files = [str((TESTS / name).with_name(f"test_{Path(name).name}.py")) for name in FILES]
    options = ("-q", "-p", "pretended_gpu", "-p", "no:cacheprovider", "-k", f"not ({NEAR})")
    done = python("-m", "pytest", *options, *files)
    assert done.returncode == 0, done.stdout[-5000:]


SCRIPT = """
import pretended_gpu, torch
far = torch.arange(3.).to("pretended").requires_grad_()
(far[torch.tensor([0, 2])] * 2.5).square().sum().backward()
far.data[1:] += far.grad[1:]
print(far.device, far.cpu().tolist(), far.grad.tolist())
for wrong in (
    lambda: far + torch.arange(3),
    lambda: far.masked_fill(torch.arange(3) > 1, 0),
    lambda: far.index_put((torch.arange(2),), torch.ones(2)),
    lambda: torch.randn(3, generator=torch.Generator(), device=far.device),
    lambda: far.detach().numpy(),
):
    try:
        wrong()
    except RuntimeError as error:
        print(error)
"""


def test_the_pretended_gpu_computes_as_the_host_and_refuses_what_a_gpu_refuses():
    done = python("-c", SCRIPT)
    assert done.stdout.splitlines() == [
        "pretended:0 [0.0, 1.0, 27.0] [0.0, 0.0, 25.0]",
        "add: tensors of two devices",
        "masked_fill: tensors of two devices",
        "index_put: tensors of two devices",
        "normal_: a generator of the host",
        ".numpy() is not supported for tensor subclasses.",
    ], done.stderr
