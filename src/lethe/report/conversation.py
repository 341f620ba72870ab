"""Questions and answers of a study, as a conversation with every run; texts only with `report.show_text`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lethe.params.addresses import folder_of
from lethe.report.collect import Results, reading

FORGET, OTHERS = 100, 20  # examples shown of the forget set, of each other set
METRICS = {  # column of metrics.parquet -> title
    "probability": "probability",
    "rouge_l_recall": "ROUGE-L recall",
    "log_truth_ratio": "log truth ratio",
    "exact_memorization": "exact memorisation",
}


def conversation(results: Results, show_text: bool) -> dict[str, Any] | None:
    """Examples of the first seed with prompts; None if the study has none.

    Returns:
        text: are there texts; metrics [{key, title}]; examples [{id, set, question, answer, runs: [{name, said,
        scores}]}]. Without `show_text` question, answer and said are left out; said also where no answers were kept
        (`score.keep_text`, `score.answers`).
    """
    seed = results.seeds[0]
    columns = [name for name in METRICS if name in results.columns_of("original", seed)]
    if "probability" not in columns:
        return None
    tables = {run: results.examples(run, seed, "id", "set", *columns) for run in results.compared}
    rows = chosen(tables["original"])
    if not rows:
        return None
    ids = tables["original"]["id"][rows]
    texts = texts_of(results, ids.tolist()) if show_text else {}
    said = {run: answers_of(results, run, seed) if show_text else {} for run in tables}
    place = {run: {name: row for row, name in enumerate(table["id"])} for run, table in tables.items()}
    examples = []
    for row, name in zip(rows, ids.tolist(), strict=True):
        runs = []
        for run, table in tables.items():
            at = place[run].get(name)
            scores = [None if at is None else number(table[column][at]) for column in columns]
            runs.append({"name": run, "scores": scores} | optional(said=said[run].get(name)))
        question, answer = texts.get(name, (None, None))
        one = {"id": name, "set": str(tables["original"]["set"][row]), "runs": runs}
        examples.append(one | optional(question=question, answer=answer))
    titles = [{"key": name, "title": METRICS[name]} for name in columns]
    return {"text": show_text, "metrics": titles, "examples": examples}


def chosen(table: dict[str, np.ndarray]) -> list[int]:
    """Rows that are answers to prompts, so many of each set, the forget set first."""
    answered = np.isfinite(table["probability"].astype(float))
    found: list[int] = []
    for name in ["forget", *(one for one in dict.fromkeys(table["set"].tolist()) if one != "forget")]:
        rows = np.flatnonzero(answered & (table["set"] == name))
        found += rows[: FORGET if name == "forget" else OTHERS].tolist()
    return found


def texts_of(results: Results, ids: list[str]) -> dict[str, tuple[str, str]]:
    """id -> what is asked, what is true."""
    from pyarrow import parquet

    with reading(results.root / folder_of("prepare", results.name) / "examples.parquet") as file:
        table = parquet.read_table(
            file, columns=["id", "prompt", "text"], filters=[("id", "in", ids)]
        ).to_pylist()
    return {row["id"]: (asked(row["prompt"]), row["text"]) for row in table}


def asked(prompt: Any) -> str:
    """A prompt as text: of a conversation its turns."""
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    if len(prompt) == 1:
        return prompt[0]["content"]
    return "\n".join(f"{turn['role']}: {turn['content']}" for turn in prompt)


def answers_of(results: Results, run: str, seed: int) -> dict[str, str]:
    """id -> what the run said, where it was kept."""
    path = results.root / folder_of("score", results.name, run, seed) / "scores.npz"
    with reading(path), np.load(path, allow_pickle=False) as file:
        if "said" not in file.files:
            return {}
        return {
            name: text for name, text in zip(file["ids"].tolist(), file["said"].tolist(), strict=True) if text
        }


def number(value: Any) -> float | None:
    return round(float(value), 3) if value is not None and np.isfinite(value) else None


def optional(**texts: str | None) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text is not None}
