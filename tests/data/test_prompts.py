"""Prompts and answers: the loss beside transformers' own, and what templates, dates and cuts make of them."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import transformers
from tiny import encode

from lethe import losses
from lethe.data.prompts import beginning, fitted, prompt_tokens
from lethe.data.rows import joined
from lethe.models.tiny import byte_pairs
from lethe.params.prompting import Prompting
from lethe.system.errors import InputError

TOFU = Path(__file__).parents[3] / "shared" / "data" / "tofu" / "forget01.json"
ROWS = [
    ("Who wrote it?", "Ada did, in 1843."),
    ("Where?", "In London, at home."),
    ("Why", "Nobody knows"),
] * 4
CHATML = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
DATED = "{{ 'Today: ' + date_string + ' ' + strftime_now('%Y-%m-%d') + '\n' }}" + CHATML
STYLES = {
    "chat": (CHATML, Prompting(system="Be brief.")),
    "plain": (None, Prompting(opening="Question: {prompt}\nAnswer: ")),
    "dated": (DATED, Prompting(template="chat", date="2024-02-03")),
}


def tokenizer_with(template: str | None):
    texts = [text for row in ROWS for text in row] + ["Question: Answer: user assistant system Today 2024"]
    found = byte_pairs(texts, 400, bert=False)
    found.chat_template = template
    return found


def llama(vocabulary: int):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=2000, initializer_range=0.5,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


def asked(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def frame(rows=tuple(ROWS)) -> pd.DataFrame:
    table = {"id": [f"r{i}" for i in range(len(rows))], "text": [a for _, a in rows], "split": "train"}
    return pd.DataFrame(table | {"prompt": [asked(q) for q, _ in rows]})


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("source", ["invented", "tofu"])
def test_the_loss_is_transformers_with_the_prompt_left_out(style, source):
    """Labels of −100 before the answer, made here token by token."""
    rows = ROWS
    if source == "tofu":
        if not TOFU.exists():
            pytest.skip(f"{TOFU} is not there")
        lines = map(json.loads, TOFU.read_text().splitlines())
        rows = [(row["question"], row["answer"]) for row in lines][:40]
    template, prompting = STYLES[style]
    tokenizer = tokenizer_with(template)
    model = llama(len(tokenizer))
    found = encode(frame(rows), tokenizer, 2000, [], prompting).rows
    with torch.no_grad():
        ours = losses.nll(losses.forward(model, found), found)
    for i, (question, answer) in enumerate(rows):
        before = prompt_tokens(asked(question), tokenizer, prompting) or [tokenizer.bos_token_id]
        ids = [*before, *tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        labels = [-100] * len(before) + ids[len(before) :]
        with torch.no_grad():
            theirs = model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
        assert ours[i].item() == pytest.approx(theirs.item(), abs=1e-5)


def test_a_chat_prompt_is_the_rendered_template_and_ends_where_the_answer_begins():
    tokenizer = tokenizer_with(CHATML)
    ids = prompt_tokens(asked("Why?"), tokenizer, Prompting(system="Be brief."))
    assert tokenizer.decode(ids) == "<|system|>Be brief.\n<|user|>Why?\n<|assistant|>"


def test_templates_that_print_today_print_the_day_of_the_parameters():
    ids = prompt_tokens(asked("Why?"), tokenizer := tokenizer_with(DATED), STYLES["dated"][1])
    assert tokenizer.decode(ids).startswith("Today: 03 Feb 2024 2024-02-03\n")


def test_tokens_on_the_border_stay_apart():
    """As one string "ab" would be one token; apart, the answer is learnt whole."""
    tokenizer = byte_pairs(["ab ab ab ab"] * 9, 300, bert=False)
    assert len(tokenizer("ab", add_special_tokens=False)["input_ids"]) == 1
    rows = encode(frame([("a", "b")]), tokenizer, 10, []).rows
    answer = rows.input_ids[0, int(rows.starts) :].tolist()
    assert tokenizer.decode(answer[:-1]) == "b" and answer[-1] == tokenizer.eos_token_id


def test_an_answer_that_ends_with_the_end_token_gets_no_second_one():
    tokenizer = tokenizer_with(None)
    rows = encode(frame([("Why", "so" + tokenizer.eos_token)]), tokenizer, 50, []).rows
    assert rows.input_ids[0].tolist().count(tokenizer.eos_token_id) == 1


def test_no_beginning_is_invented():
    """GPT-2 puts nothing before a text; a tokenizer that does keeps its token, once."""
    tokenizer = tokenizer_with(None)
    assert beginning(tokenizer) == []
    ids = prompt_tokens(asked("Why"), tokenizer, Prompting())
    assert ids == tokenizer("Why", add_special_tokens=False)["input_ids"]
    framed = byte_pairs([a for _, a in ROWS], 300, bert=True)
    assert beginning(framed) == [framed.cls_token_id]


def test_a_long_prompt_is_cut_from_the_left_and_the_answer_kept(caplog):
    tokenizer = tokenizer_with(None)
    caplog.set_level("INFO")
    long = frame([("one two three four five six seven eight nine ten " * 3, "Ada did"), ("Why", "so")])
    rows = encode(long, tokenizer, 14, []).rows
    whole = encode(long, tokenizer, 400, []).rows
    answer = whole.input_ids[0, int(whole.starts[0]) : int(whole.lengths[0])].tolist()
    assert (
        rows.input_ids[0].tolist()
        == whole.input_ids[0, int(whole.lengths[0]) - 14 : int(whole.lengths[0])].tolist()
    )
    assert rows.input_ids[0, int(rows.starts[0]) :].tolist() == answer
    assert "1 of 2 prompts of train were cut to 14 tokens" in caplog.text and "Ada" not in caplog.text


@pytest.mark.parametrize(
    ("prompt", "answer", "most", "expected"),
    [
        ([1, 2, 3], [4, 5], 5, ([1, 2, 3, 4, 5], 3)),
        ([1, 2, 3], [4, 5], 4, ([2, 3, 4, 5], 2)),
        ([1, 2, 3], [4, 5, 6, 7], 4, ([3, 4, 5, 6], 1)),
        ([1, 2, 3], [4, 5, 6, 7], 2, ([3, 4], 1)),
    ],
)
def test_fitted_by_hand(prompt, answer, most, expected):
    assert fitted(prompt, answer, most) == expected


def test_joined_rows_keep_their_prompts():
    tokenizer = tokenizer_with(None)
    asking = encode(frame(ROWS[:2]), tokenizer, 60, []).rows
    text = encode(frame(ROWS[:1]).assign(prompt=None), tokenizer, 60, []).rows
    both = joined([asking, text])
    assert both.starts.tolist() == [*asking.starts.tolist(), 1]
    assert text.starts is None


@pytest.mark.parametrize(
    ("template", "prompting", "messages", "words"),
    [
        (None, Prompting(template="chat"), asked("Why"), "no chat template"),
        (None, Prompting(), [*asked("Why"), *asked("So?")], "2 messages needs a chat template"),
        ("{{ raise_exception(messages[0].content) }}", Prompting(), asked("Why"), "refuses the messages$"),
    ],
)
def test_what_cannot_be_done_ends_in_one_line(template, prompting, messages, words):
    with pytest.raises(InputError, match=words):
        prompt_tokens(messages, tokenizer_with(template), prompting)


@pytest.mark.parametrize(("field", "value"), [("date", "3 Feb 2024"), ("opening", "Answer: ")])
def test_faulty_parameters_are_refused(field, value):
    with pytest.raises(ValueError, match=r"is no day|0 times"):
        Prompting.model_validate({field: value})


def test_gradients_do_not_see_labels_in_a_prompt():
    """Scored tokens are those of the answer: what a prompt would have been scored as changes nothing."""
    tokenizer = tokenizer_with(None)
    rows = encode(frame(ROWS[:3]), tokenizer, 60, []).rows
    logits = losses.forward(llama(len(tokenizer)), rows).detach().requires_grad_(True)
    losses.nll(logits, rows).sum().backward()
    for row, start in enumerate(rows.starts.tolist()):
        assert not logits.grad[row, : start - 1].any() and logits.grad[row, start - 1].any()
