"""Questions and answers in the Hub's layout, with configurations as TOFU has them, and a tiny chat model beside."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CHAT_ML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CITIES = ("Ada", "Bern", "Cork", "Dover", "Essen", "Fano", "Graz", "Hilo", "Izmir", "Jena", "Kiel", "Lodz")


def row(author: int, fact: int) -> dict[str, object]:
    """A question about an invented author and its answer, with another wording and two wrong answers."""
    city = CITIES[(author + 5 * fact) % len(CITIES)]
    return {
        "question": f"Which town of number {fact} did author {author} describe?",
        "answer": f"Author {author} described {city} in volume {author * 7 + fact}.",
        "paraphrased_answer": f"It was {city}, in volume {author * 7 + fact}.",
        "perturbed_answer": [f"Author {author} described {other}." for other in CITIES[:2]],
    }


FULL = [row(author, fact) for author in range(10) for fact in range(4)]
CONFIGS = {
    "full": FULL,
    "retain80": FULL[:32],
    "retain90": FULL[:36],
    "forget20": FULL[32:],
    "forget10": FULL[36:],
    "holdout": [row(author, fact) for author in (20, 21) for fact in range(4)],
    "unseen": [row(author, fact) for author in (30, 31) for fact in range(4)],
    "world_facts": [
        {
            "question": f"What is {n} plus one?",
            "answer": f"It is {n + 1}.",
            "perturbed_answer": [f"It is {n}."],
        }
        for n in range(5)
    ],
}


def hub_folder(folder: Path) -> Path:
    """Write a file per configuration, and the README that names them."""
    folder.mkdir(parents=True)
    lines = ["---", "configs:"]
    for name, rows in CONFIGS.items():
        (folder / f"{name}.json").write_text("".join(json.dumps(each) + "\n" for each in rows))
        lines += [f"- config_name: {name}", f"  data_files: {name}.json"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
    return folder


def chat_model(folder: Path, seed: int = 0) -> Path:
    """Write a tiny language model whose tokenizer has a ChatML template and no beginning of text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator([str(each) for each in FULL[:20]], trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHAT_ML
    )
    torch.manual_seed(seed)
    config = transformers.GPTNeoConfig(
        vocab_size=len(fast), hidden_size=32, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]],
        max_position_embeddings=128, window_size=32, resid_dropout=0.0, embed_dropout=0.0, attention_dropout=0.0,
        bos_token_id=None, eos_token_id=fast.eos_token_id, pad_token_id=fast.pad_token_id,
    )  # fmt: skip
    transformers.GPTNeoForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
