"""Which settings of its configuration a built-in model has, with their ranges; those of other models only they know."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, ValidationError

from lethe.params.faults import UNKNOWN, one_line
from lethe.params.fields import Fraction, Probability
from lethe.params.strict_model import StrictModel

Width = Annotated[int, Field(ge=1, le=65_536)]
Layers = Annotated[int, Field(ge=1, le=1000)]
Heads = Annotated[int, Field(ge=1, le=1024)]
Words = Annotated[int, Field(ge=1, le=2**22)]  # of a vocabulary
SIZE = re.compile(r"(^|_)(num|n)_|(_size|_dim|layers?|heads?)$")  # names of settings that count something


class Bert(StrictModel):
    """Settings of transformers' BertConfig that a study may override; null: as the model has them."""

    vocab_size: Words | None = None
    hidden_size: Width | None = None
    intermediate_size: Width | None = None
    num_hidden_layers: Layers | None = None
    num_attention_heads: Heads | None = None
    hidden_act: str | None = None
    hidden_dropout_prob: Fraction | None = None
    attention_probs_dropout_prob: Fraction | None = None
    classifier_dropout: Fraction | None = None
    initializer_range: Fraction | None = None
    layer_norm_eps: Probability | None = None


class GptNeo(StrictModel):
    """The same of GPTNeoConfig."""

    vocab_size: Words | None = None
    hidden_size: Width | None = None
    num_layers: Layers | None = None
    num_heads: Heads | None = None
    window_size: Width | None = None
    activation_function: str | None = None
    attention_dropout: Fraction | None = None
    embed_dropout: Fraction | None = None
    resid_dropout: Fraction | None = None
    initializer_range: Fraction | None = None
    layer_norm_epsilon: Probability | None = None
    use_cache: bool | None = None
    tie_word_embeddings: bool | None = None


class Llama(StrictModel):
    """The same of LlamaConfig; numbers of layers, heads and tokens are those of the weights."""

    attention_dropout: Fraction | None = None
    use_cache: bool | None = None


TINY = (
    "tiny-bert",
    "tiny-gpt-neo",
)  # made on the spot, with a tokenizer that is trained on text of the study
BUILT_IN: dict[str, type[StrictModel]] = {
    "minilm": Bert,
    "smollm2": Llama,
    "tiny-bert": Bert,
    "tiny-gpt-neo": GptNeo,
}


def check_settings(source: str, options: dict[str, Any]) -> None:
    """Raise ValueError, which names the key below `model`, for a setting that the model cannot have."""
    if source in BUILT_IN:
        try:
            BUILT_IN[source].model_validate(options)
        except ValidationError as error:
            line = one_line(error)
            allowed = f"; allowed are {', '.join(BUILT_IN[source].model_fields)}" * line.endswith(UNKNOWN)
            raise ValueError(f"options.{line}{allowed}") from None
    for key, value in options.items():
        if SIZE.search(key) and type(value) is int and value < 1:
            raise ValueError(f"options.{key}: {value}: allowed are whole numbers from 1 on")
