"""What is asked of a tokenizer before texts become rows."""

from __future__ import annotations

from lethe.system.errors import InputError


def check_end(tokenizer) -> None:
    """Raise InputError unless the tokenizer has an end of text, which also begins one where it has no beginning."""
    if tokenizer.eos_token_id is None:
        raise InputError(f"model: {tokenizer.name_or_path}: its tokenizer has no end of text; one is needed")
