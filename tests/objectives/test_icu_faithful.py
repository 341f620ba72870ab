"""The authors' loop of ICU, transcribed slowly from its definition, against ours: flags, losses and weights."""

import math
from dataclasses import replace

import numpy as np
import pytest
import sacrebleu
import tiny
import torch
from recorded_run import RecordedRun, recorded

from lethe.data.encoding import Encoded
from lethe.data.rows import Rows
from lethe.models.fused import fuse
from lethe.objectives import icu_faithful
from lethe.objectives.icu_faithful import Hyper
from lethe.params.training import Stop, Training
from lethe.training.batches import Batches, TrainingRows, epoch_order
from lethe.training.engine import Engine
from lethe.training.epoch_check import EpochCheck

PAIRS, LENGTH, BATCH, RATE, SEED = 10, 16, 4, 3e-3, 3
HYPER = Hyper(window=12)
RECIPE = Training(
    epochs=4, learning_rate=RATE, optimizer="adam", beta2=0.98, batch={"forget": BATCH, "analogue": BATCH}
)


class Words:
    """A tokenizer that writes token 5 as the word w5."""

    def batch_decode(self, rows, skip_special_tokens):
        return [" ".join(f"w{token}" for token in row) for row in rows]


def texts(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, tiny.VOCABULARY, (count, LENGTH), generator=generator)


UNLEARN, LEARN = texts(PAIRS, 1), texts(PAIRS, 2)


def original():
    """A model that knows the texts to be forgotten, the first ones best: its pairs rest one after another."""
    model = tiny.language_model(1)
    fuse(model)  # as the engine does: other roundings would part the two runs within steps
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    weights, windows = torch.linspace(2, 0.2, PAIRS), UNLEARN[:, -HYPER.window :]
    for _ in range(75):
        optimiser.zero_grad()
        logits = model(windows).logits[:, :-1].transpose(1, 2)
        each = torch.nn.functional.cross_entropy(logits, windows[:, 1:], reduction="none").mean(1)
        (weights * each).mean().backward()
        optimiser.step()
    return model


class Published:
    """The loop as METHODS describe it, one pair, one token and one weight at a time where that is possible."""

    def __init__(self, model, frozen):
        self.model, self.frozen = model, frozen
        self.moments = {name: [0.0, 0.0] for name, _ in model.named_parameters()}
        self.updates = 0
        self.flags: list[int] = []
        self.losses: list[list[float]] = []
        self.flags_of_epochs: list[list[int]] = []

    def run(self, epochs: int) -> None:
        self.check()
        for epoch in range(epochs):
            order = epoch_order(SEED, epoch, np.ones(PAIRS, bool)).tolist()  # what both are fed
            for begin in range(0, PAIRS, BATCH):
                chosen = [i for i in order[begin : begin + BATCH] if self.flags[i]]
                if chosen:
                    self.step(chosen)
            self.check()

    def check(self) -> None:
        """A pair is active while a beam search of 2 from the middle of the window gives a word 4-gram again."""
        self.flags = []
        half = HYPER.window // 2
        for text in UNLEARN:
            prompt, true = text[-2 * half : -half], text[-half:]
            out = self.model.generate(
                prompt[None], max_new_tokens=half, num_beams=2, do_sample=False, pad_token_id=0,
                attention_mask=torch.ones_like(prompt)[None],
            )[0, half:].tolist()  # fmt: skip
            out = out[: out.index(0) + 1] if 0 in out else out
            ours, reference = (" ".join(f"w{t}" for t in tokens) for tokens in (out, true.tolist()))
            bleu = sacrebleu.sentence_bleu(
                ours, [reference], tokenize="none", smooth_method="none", use_effective_order=False
            )
            self.flags.append(int(not bleu.score / 100 < 0.01))
        self.flags_of_epochs.append(self.flags)

    def step(self, chosen: list[int]) -> None:
        unlearn_loss = self.model(UNLEARN[chosen], labels=UNLEARN[chosen]).loss
        outputs = self.model(LEARN[chosen], labels=LEARN[chosen])
        q = outputs.logits.softmax(-1)
        total, count = torch.tensor(0.0), 0
        for row, i in enumerate(chosen):
            with torch.no_grad():
                p = self.frozen(LEARN[i][None]).logits[0].softmax(-1)
            for position in range(LENGTH):
                total = total - (p[position] * (q[row, position] + 1e-12).log()).sum()
                count += 1
        terms = [-1.0 * unlearn_loss, 0.5 * outputs.loss, 1.0 * total / count]
        self.losses.append([term.item() for term in terms])
        gradients = torch.autograd.grad(sum(terms), list(self.model.parameters()))
        self.adam(gradients)

    def adam(self, gradients) -> None:
        self.updates += 1
        with torch.no_grad():
            for (name, weight), slope in zip(self.model.named_parameters(), gradients, strict=True):
                first, second = self.moments[name]
                first, second = 0.9 * first + 0.1 * slope, 0.98 * second + 0.02 * slope**2
                self.moments[name] = [first, second]
                mean = first / (1 - 0.9**self.updates)
                spread = (second / (1 - 0.98**self.updates)).sqrt()
                weight -= RATE * mean / (spread + 1e-8)


def engine(path) -> Engine:
    rows = {role: Rows(t, torch.full((PAIRS,), LENGTH)) for role, t in (("f", UNLEARN), ("a", LEARN))}
    material = TrainingRows({"forget": rows["f"], "analogue": rows["a"]}, np.arange(PAIRS)[:, None])
    run = recorded(icu_faithful, original(), "generation", HYPER, SEED)
    fixed, check = run.settings["fixed_batches"], run.settings["check"]
    assert check == icu_faithful.epoch_check(HYPER, run)
    batches = Batches(material, RECIPE, icu_faithful.TERMS, SEED, fixed=fixed)
    objective = run.objective(icu_faithful.TERMS)
    return Engine(original(), objective, batches, "f", path / "state.safetensors")


def test_flags_losses_and_weights_are_those_of_the_published_loop(tmp_path):
    ours = engine(tmp_path)
    refinement = icu_faithful.epoch_check(HYPER, RecordedRun(original(), "generation"))
    published = Published(original(), original())
    published.run(RECIPE.epochs)
    names = np.array([str(i) for i in range(PAIRS)])
    encoded = Encoded(names, ours.batches.rows.roles["forget"])
    sets = dict.fromkeys(("forget", "retain", "validation"), encoded)
    stop = Stop(n=3, start=4, memorization_accuracy=0.0, extraction_likelihood=0.0)
    epoch_check, active = EpochCheck(stop, refinement, sets, Words()), []

    def check(*args):
        found = epoch_check(*args)
        active.append(found.active.astype(int).tolist())
        return found

    trace = ours.run(check).trace
    assert active == published.flags_of_epochs
    counts = [sum(flags) for flags in active]
    assert counts[0] == PAIRS > counts[-1] > 0  # some rest while others go on
    assert len(trace) == len(published.losses)
    found = [[row[name] for name in ("forget", "learn", "kl")] for row in trace]
    np.testing.assert_allclose(found, published.losses, rtol=1e-4, atol=1e-5)
    for (name, a), b in zip(ours.model.named_parameters(), published.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5, msg=name)


def test_batches_keep_their_places_and_empty_ones_are_left_out(tmp_path):
    batches, everyone = engine(tmp_path).batches, np.ones(PAIRS, bool)
    whole = batches.order(2, everyone)
    assert [len(batch) for batch in whole] == [4, 4, 2]
    active = everyone.copy()
    active[[whole[0][1], *whole[1]]] = False
    left = [batch.tolist() for batch in batches.order(2, active)]
    assert left == [[whole[0][k] for k in (0, 2, 3)], whole[2].tolist()]
    assert batches.steps(active, 2) == 2
    repacked = replace(batches, fixed=False)
    assert [len(batch) for batch in repacked.order(2, active)] == [4, 1]


def test_at_the_frozen_model_the_cross_entropy_is_its_entropy():
    model, rows = tiny.language_model(), tiny.rows(3)
    batch = {"forget": rows, "analogue": rows}
    value = icu_faithful.loss(Hyper(kl=2.0), model, model, batch)["kl"]
    for i, length in enumerate(rows.lengths.tolist()):
        logits = model(rows.input_ids[i : i + 1, :length]).logits[0]
        entropy = torch.distributions.Categorical(logits=logits).entropy().mean()
        torch.testing.assert_close(value[i], 2 * entropy)


def test_a_token_that_has_become_impossible_costs_no_more_than_it_is_clipped_to():
    before, after = torch.zeros(1, 3, 2), torch.tensor([[[0.0, -1e9]] * 3])
    value = icu_faithful.cross_entropy(before, after, Rows(torch.zeros(1, 3, dtype=int), torch.tensor([3])))
    assert value.item() == pytest.approx(-math.log(1e-12) / 2, rel=1e-4)


def test_a_uniform_frozen_model_by_hand():
    """A uniform target over V tokens: H = -mean over v of log p(v)."""
    logits = torch.tensor([[[0.0, math.log(2.0)]]])
    value = icu_faithful.cross_entropy(
        torch.zeros(1, 1, 2), logits, Rows(torch.tensor([[1]]), torch.tensor([1]))
    )
    assert value.item() == pytest.approx(-0.5 * (math.log(1 / 3) + math.log(2 / 3)))
