"""Texts that are longer than a model reads, as windows that it reads one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from lethe.data.texts import whole_texts
from lethe.data.tokenizers import check_end


def windowed(table: pd.DataFrame, tokenizer, most: int) -> pd.DataFrame:
    """The examples, of which each text of more than `most` tokens becomes windows of at most that many.

    A window has a beginning token and `most` - 1 tokens of its text, the last one those that are left and the end;
    where less than half would be left, the last two share. None is lost or read twice. Their ids are those of the text
    with /0, /1, … after it; all are of one subject, that of the text or else its id. What was said before a text, and
    token ids that are given, stay as they are.

    Args:
        table: columns id, text, subject and, where there are, prompt and tokens.
    Returns:
        the examples, and where there are windows a column window: their tokens, but for the beginning.
    """
    check_end(tokenizer)
    own = [name for name in ("prompt", "tokens") if name in table]
    free = table[own].isna().all(axis=1).to_numpy()
    ids = tokenizer(table["text"].tolist(), add_special_tokens=False)["input_ids"]
    long = [row for row, tokens in enumerate(ids) if free[row] and len(tokens) + 2 > most]
    if not long:
        return table
    made = [windows_of(table.iloc[row], ids[row], tokenizer, most - 1).assign(place=row) for row in long]
    rest = table.assign(window=None, place=range(len(table))).drop(table.index[long])
    together = pd.concat([rest, *made]).sort_values("place", kind="stable")
    return together.drop(columns="place").reset_index(drop=True)


def windows_of(example: pd.Series, ids: list[int], tokenizer, step: int) -> pd.DataFrame:
    """The windows of one text, as examples."""
    parts = list(cuts(ids, tokenizer, step))
    texts = [tokenizer.decode(part, clean_up_tokenization_spaces=False) for part in parts]
    if len(parts[-1]) < step:
        parts[-1].append(tokenizer.eos_token_id)
    found = pd.DataFrame([example] * len(parts), columns=example.index)
    subject = example["id"] if pd.isna(example["subject"]) else example["subject"]
    names = [f"{example['id']}/{number}" for number in range(len(parts))]
    return found.assign(id=names, text=texts, subject=subject, window=parts)


def cuts(ids: list[int], tokenizer, step: int) -> Iterator[list[int]]:
    """Parts of at most `step` tokens, of which none ends within a character, which may be four tokens long.

    The last two share what they have, where the last would be shorter than half: too short to say much.
    """
    begin = 0
    while begin < len(ids):
        left = len(ids) - begin
        size = -(-left // 2) if step < left < 1.5 * step else min(step, left)
        ends = range(begin + size, begin, -1)[:4]
        whole = (
            end for end in ends if end == len(ids) or not tokenizer.decode(ids[begin:end]).endswith("\ufffd")
        )
        end = next(whole, ends[0])
        yield ids[begin:end]
        begin = end


def text_ids(table: pd.DataFrame) -> pd.Series:
    """Ids of the texts that examples are, or are windows of."""
    if "window" not in table:
        return table["id"]
    return table["id"].where(table["window"].isna(), table["id"].str.rpartition("/")[0])


def whole(table: pd.DataFrame) -> pd.DataFrame:
    """The examples with the texts that they are windows of in place of these."""
    if "window" not in table:
        return table
    names = text_ids(table)
    texts = table["text"].groupby(names, sort=False).agg("".join)
    first = table.assign(id=names).drop_duplicates("id").reset_index(drop=True)
    return first.assign(text=first["id"].map(texts)).drop(columns="window")


def tokenizer_texts(sets: Mapping[str, pd.DataFrame]) -> list[str]:
    """What a tiny model's tokenizer is trained on, which is never to be forgotten: general text, or that of validation.

    Args:
        sets: split -> its examples.
    """
    name = "general" if "general" in sets else "validation"
    return whole_texts(whole(sets[name])) if name in sets else []
