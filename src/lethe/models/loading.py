"""Models: loaded from the Hub, a folder or a package; saved as safetensors."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from lethe.data.encoding import Encoded
from lethe.models import adapters, composed, corrupted, four_bits, gated, pretrained
from lethe.models.encoders import read_encoder
from lethe.models.packaged import PACKAGED, located
from lethe.models.pretrained import context, first_line
from lethe.models.tiny import TINY, tiny, tiny_tokenizer
from lethe.params.model import Model, Weights
from lethe.system import plugins
from lethe.system.errors import InputError
from lethe.system.files import replacing
from lethe.system.quoting import quoted
from lethe.system.streams import stream_seed

log = logging.getLogger("lethe.loading")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "nf4": torch.bfloat16}


def device() -> torch.device:
    """The GPU of this process, of several that train together the one of its number; or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    if os.environ.get("CUDA_VISIBLE_DEVICES"):
        warn_of_gpus()
    return torch.device("cpu")


@functools.cache
def warn_of_gpus() -> None:
    """Say once that there are GPUs, of which this PyTorch sees none: built without CUDA, or too new for the driver."""
    names = os.environ["CUDA_VISIBLE_DEVICES"]
    log.warning("GPU %s: PyTorch %s cannot use it, so the CPU computes", names, torch.__version__)


def types(weights: Weights, stored: torch.dtype, frozen: bool) -> tuple[torch.dtype, torch.dtype]:
    """In which type weights are kept while a run lasts, and in which they are saved.

    Args:
        stored: that of the source.
        frozen: the weights do not train, or adapters beside them do.
    """
    if weights != "auto":
        return TYPES[weights], TYPES[weights]
    return stored if frozen and stored == torch.bfloat16 else torch.float32, stored


def base(cfg: Model, task: str, classes: list[str], texts: list[str], seed: int, frozen: bool = False):
    """The model fine-tuning starts from, and its tokenizer.

    Args:
        frozen: as of `types`.
        classes: names of the classes; empty where there are none.
        texts: text a tiny model's tokenizer is trained on; must hold nothing that is to be forgotten.
        seed: of the weights that are drawn: all of a tiny model, the head of a pretrained classifier.
    Raises:
        InputError: the source is neither a tiny architecture, a package, a folder nor on the Hub, or does not fit the
            task, its own tokenizer or `max_length`.
    """
    torch.manual_seed(stream_seed(seed, "weights"))
    if cfg.weights == "nf4":
        raise InputError("model.weights: nf4; is for a model that is given; allowed here: auto, fp32, bf16")
    config_of = plugins.part("tasks", task, "config")
    head: dict[str, Any] = config_of(classes) if config_of else {}
    if cfg.source in TINY:
        return tiny(cfg, task, head, texts)
    if cfg.tokenizer is not None:
        raise InputError(
            f"model.tokenizer: {cfg.tokenizer}: is for {', '.join(TINY)}; {cfg.source} has its own"
        )
    source, where = located(cfg.source), {"revision": cfg.revision}
    try:
        held, saved = types(cfg.weights, pretrained.stored_type(source, where), frozen)
        tokenizer = pretrained.load_tokenizer(source, where)
        kind = plugins.part("tasks", task, "MODEL")
        model, found = pretrained.load_model(
            kind, source, where, head | cfg.options, dtype=held, ignore_mismatched_sizes=True
        )
    except Exception as error:  # damaged files raise whatever their parser raises
        raise unloadable(cfg, error) from None
    check_options(cfg, model.config)
    check_drawn(model, found, task, cfg.source)
    tokenizer = padded(tokenizer)
    check_inputs(model, tokenizer, cfg)
    know_pad(model, tokenizer, task)
    model.saved_type = saved
    return model, tokenizer


def base_tokenizer(cfg: Model, texts: list[str]):
    """The tokenizer that `base` gives with the same arguments."""
    if cfg.source in TINY:
        return tiny_tokenizer(cfg, texts)
    try:
        return padded(pretrained.load_tokenizer(located(cfg.source), {"revision": cfg.revision}))
    except Exception as error:  # damaged files raise whatever their parser raises
        raise unloadable(cfg, error) from None


def unloadable(cfg: Model, error: Exception) -> InputError:
    return InputError(
        f"model.source: {cfg.source}: cannot be loaded ({first_line(error)}); allowed are"
        f" {', '.join([*TINY, *PACKAGED])}, a folder with config.json and safetensors, or a Hub id"
    )


def know_pad(model, tokenizer, task: str) -> None:
    """Tell a head on a decoder, which finds the end of a text by its pads, what rows are padded with."""
    if not plugins.gives(task, "text"):
        model.config.pad_token_id = tokenizer.pad_token_id


def check_inputs(model, tokenizer, cfg: Model) -> None:
    """Raise InputError unless the model knows the tokens that every text gets, and has positions for the longest."""
    check_framing(model, tokenizer, f"model.source: {cfg.source}")
    most = context(model)
    if most is not None and cfg.max_length > most:
        raise InputError(
            f"model.max_length: {cfg.max_length}: {cfg.source} reads {most} tokens; allowed are 2 to {most}"
        )


def check_framing(model, tokenizer, key: str) -> None:
    """Raise InputError unless there is a pad, and the model has a vector for all tokens that texts are framed by."""
    if tokenizer.pad_token_id is None:
        raise InputError(f"{key}: its tokenizer has neither a pad nor an end token; one is needed")
    known = model.get_input_embeddings().num_embeddings
    framing = [getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos", "cls", "sep")]
    if beyond := [token for token in framing if token is not None and token >= known]:
        raise InputError(
            f"{key}: its tokenizer frames or pads texts with token {beyond[0]}; the model knows {known}, from 0"
        )


def check_options(cfg: Model, config) -> None:
    """Raise InputError for an option that is no setting of the architecture; transformers ignores those."""
    known = type(config)()
    for key in cfg.options:
        if not hasattr(known, key):
            raise InputError(
                f"model.options.{key}: unknown key; {cfg.source} allows the settings of {type(config).__name__}"
            )


def check_tokens(model, encoded: Encoded) -> None:
    """Raise InputError, which names the record, for a text of no token, or with one that the model has no vector for.

    A token that was added to a tokenizer alone, such as [NAME] in texts without names, is one.
    """
    known, rows = model.get_input_embeddings().num_embeddings, encoded.rows
    if (rows.lengths < 1).any():
        first = encoded.ids[int((rows.lengths < 1).int().argmax())]
        raise InputError(
            f"record {quoted(first)}: the tokenizer makes no token of its text; at least one is needed"
        )
    beyond = (rows.input_ids >= known) & rows.mask
    if beyond.any():
        row = int(beyond.any(1).int().argmax())
        token = int(rows.input_ids[row][beyond[row]][0])
        first = quoted(encoded.ids[row])
        raise InputError(
            f"record {first}: token {token} of its text is unknown to the model, which knows {known}, from 0"
            f" ({int(beyond.any(1).sum())} such records); enlarge the model's embedding, or use another tokenizer"
        )


def check_drawn(model, found: dict, task: str, source: str) -> None:
    """Log the weights that the source lacks, or has for other classes; they are drawn at random.

    Raises:
        InputError: they belong to more than the head of a classifier.
    """
    drawn = sorted({*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])})
    inside = [n for n in drawn if n.startswith(f"{model.base_model_prefix}.") and ".pooler." not in n]
    lacking = drawn if plugins.gives(task, "text") else inside
    if lacking:
        raise InputError(
            f"model.source: {source}: {len(lacking)} weights are missing or of another size, first {lacking[0]};"
            " only the head of a classifier may be drawn at random"
        )
    if drawn:
        log.info("drawn at random: %s", ", ".join(drawn))


def padded(tokenizer):
    """The tokenizer, with its end token as beginning and pad where it has none; pads never enter a loss or a metric."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.bos_token is None and tokenizer.eos_token is not None:
        tokenizer.bos_token = tokenizer.eos_token
    return tokenizer


def load(
    folder: str | Path,
    task: str,
    revision: str | None = None,
    weights: Weights = "fp32",
    frozen: bool = False,
):
    """Model on the device, in eval mode, and tokenizer of a folder that `save` wrote, or of any such folder.

    Of an adapter, it is merged into its base.

    Args:
        revision: branch, tag or commit, if `folder` may also be a Hub id; None: it is a folder.
        weights: as of `Model`.
        frozen: as of `types`.
    Raises:
        InputError: the folder holds no readable model.
    """
    where: dict[str, Any] = {"local_files_only": True} if revision is None else {"revision": revision}
    advice = "make it again" if revision is None else "needed is a Hub id or a folder of a whole model"
    file = Path(folder) / composed.FILE
    if file.is_file():
        model = load_composed(file, task, weights, frozen)
    else:
        model = load_weights(folder, task, where, advice, weights, frozen)
    try:
        tokenizer = padded(pretrained.load_tokenizer(str(folder), where))
    except Exception as error:  # damaged files raise whatever their parser raises
        raise InputError(f"{folder}: no readable model ({first_line(error)}); {advice}") from None
    for part in composed.parts(model):
        know_pad(part, tokenizer, task)
    if not plugins.gives(task, "text"):  # pads of a generator are not read
        check_framing(model, tokenizer, str(folder))
    return model.to(device()).eval(), tokenizer


def load_weights(
    folder: str | Path, task: str, where: dict[str, Any], advice: str, weights: Weights, frozen: bool
):
    """The model of a folder or a Hub id alone; InputError as `load`."""
    kind = plugins.part("tasks", task, "MODEL")
    packing = four_bits.options(device()) if weights == "nf4" else {}
    try:
        held, saved = types(weights, pretrained.stored_type(str(folder), where), frozen)
        model, found = pretrained.load_model(kind, str(folder), where, dtype=held, **packing)
    except Exception as error:  # damaged files raise whatever their parser raises
        raise InputError(f"{folder}: no readable model ({first_line(error)}); {advice}") from None
    if found["missing_keys"]:
        raise InputError(f"{folder}: lacks {min(found['missing_keys'])}; {advice}")
    model.saved_type = saved
    return model


def load_composed(file: Path, task: str, weights: Weights, frozen: bool) -> composed.Composed:
    """A model composed of several.

    Raises:
        InputError: the file does not say what belongs together, or a member cannot be read.
    """

    def member(name: str):
        where = {"local_files_only": True}
        return load_weights(file.parent / name, task, where, "make it again", weights, frozen)

    try:
        if gated.is_gated(file):
            return gated.load_gated(file, member("base"))
        if corrupted.is_corrupted(file):
            return corrupted.load_corrupted(file, member("base"))
        names, rule = composed.read(file)
    except InputError:
        raise
    except Exception as error:  # damaged files raise whatever their parser raises
        raise InputError(f"{file}: cannot be read ({first_line(error)}); make it again") from None
    return composed.Composed({name: member(name) for name in names}, rule)


def tokenizer(folder: Path):
    """The tokenizer of a folder that `save` wrote.

    Raises:
        InputError: the folder holds no readable tokenizer.
    """
    try:
        return padded(pretrained.load_tokenizer(str(folder), {"local_files_only": True}))
    except Exception as error:  # damaged files raise whatever their parser raises
        raise InputError(f"{folder}: no readable tokenizer ({first_line(error)}); make it again") from None


def encoder(source: str):
    """A pretrained encoder that texts are compared by, on the device, and its tokenizer.

    Args and errors are those of `read_encoder`.
    """
    model, tokenizer, _ = read_encoder(source)
    return model.to(device()), tokenizer


def save(model, tokenizer, folder: str | Path, beside: str | Path | None = None) -> None:
    """Write configuration, weights (safetensors) and tokenizer; weights in the type that `load` says, and they keep it.

    Args:
        beside: of a model with adapters its source, beside which they are saved alone; others are saved whole.
    Raises:
        OSError: the disk is full or refuses; the message names the file.
    """
    with replacing(folder) as temporary:
        try:
            if beside is not None and getattr(model, "peft_config", None):
                temporary.mkdir()
                adapters.save(model, temporary, beside)
            else:
                in_saved_types(model).save_pretrained(temporary)
        except SafetensorError as error:
            raise OSError(f"{Path(folder) / 'model.safetensors'}: {error}") from None
        tokenizer.save_pretrained(temporary)


def in_saved_types(model):
    """The model, with the weights of each of its parts in the type that `load` says."""
    for part in composed.parts(model):
        if (saved := getattr(part, "saved_type", None)) is not None:
            part.to(saved)
    return model


def freeze(model, prefixes: list[str]) -> None:
    """Take the parameters whose names start with one of the prefixes out of training.

    Raises:
        InputError: a prefix names no parameter.
    """
    every = [named for part in composed.parts(model) for named in part.named_parameters()]
    for prefix in prefixes:
        named = [p for name, p in every if name.startswith(prefix)]
        if not named:
            tops = sorted({".".join(n.split(".")[:2]) for n, _ in every})
            raise InputError(
                f"model.freeze: {prefix}: no parameter starts so; names start with {', '.join(tops)}"
            )
        for parameter in named:
            parameter.requires_grad_(False)


def let_train(model):
    """The model, all of whose weights train that can: packed ones have no gradient."""
    for parameter in model.parameters():
        parameter.requires_grad_(not four_bits.is_packed(parameter))
    return model


def train_only(model, prefixes: list[str]) -> None:
    """Take every parameter out of training whose name starts with none of the prefixes."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name.startswith(tuple(prefixes)))
