"""A small encoder in a folder as of the Hub, and what stands for the tokenizer of models whose tokens are numbers."""

from pathlib import Path

import torch
import transformers

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make(folder: Path, seed: int = 0) -> str:
    """A BERT of two layers with random weights, which reads letters."""
    torch.manual_seed(seed)
    words = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, initializer_range=0.5,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    transformers.BertTokenizer(vocab={word: number for number, word in enumerate(words)}).save_pretrained(
        folder
    )
    return str(folder)


class Numbers:
    """Token 17 is the text `t17`."""

    @staticmethod
    def decode(ids, **options) -> str:
        return " ".join(f"t{number}" for number in ids)


def means(folder: str, text: str) -> torch.Tensor:
    """(L, H) mean hidden state of each layer but the embeddings, of one text alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval().double()
    with torch.no_grad():
        hidden = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
    return torch.stack([layer[0].mean(0) for layer in hidden[1:]])
