"""Small causal language models of several architectures, trained on a few random texts up to a given accuracy."""

from __future__ import annotations

import torch
import transformers

VOCABULARY, LONGEST = 31, 20
NEO = {
    "hidden_size": 32, "num_layers": 2, "num_heads": 2, "window_size": 5, "max_position_embeddings": 24,
    "attention_types": [[["global", "local"], 1]], "resid_dropout": 0.0, "embed_dropout": 0.0,
    "attention_dropout": 0.0,
}  # fmt: skip
GPT2 = {
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 24,
    "attn_pdrop": 0,
    "embd_pdrop": 0,
    "resid_pdrop": 0,
}
LLAMA = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
ATTENTION = {
    "gpt_neo": NEO, "gpt2": GPT2, "llama": LLAMA, "mistral": LLAMA | {"sliding_window": 6},
}  # fmt: skip
MAMBA2 = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_n_groups": 1,
    "mamba_d_state": 8,
    "mamba_chunk_size": 8,
}
STATEFUL = {  # keep another state than keys and values
    "mamba": {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
    "jamba": LLAMA | {
        "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2, "num_experts_per_tok": 1,
        "mamba_d_state": 4, "mamba_dt_rank": 4, "use_mamba_kernels": False,
    },
    "falcon_h1": LLAMA | MAMBA2 | {"mamba_d_ssm": 64},
    "lfm2": LLAMA | {"layer_types": ["conv", "full_attention"]},
    "qwen3_next": LLAMA | {
        "head_dim": 8, "layer_types": ["linear_attention", "full_attention"], "num_experts": 2,
        "num_experts_per_tok": 1, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32,
        "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    },
    "recurrent_gemma": LLAMA | {
        "num_hidden_layers": 3, "num_key_value_heads": 1, "lru_width": 32, "attention_window_size": 6,
        "block_types": ["recurrent", "recurrent", "attention"],
    },
}  # fmt: skip
OPTIONS = ATTENTION | STATEFUL
LEVELS = {"random": 0.0, "half": 0.5, "memorised": 0.95}


def untrained(architecture: str, seed: int = 0):
    torch.manual_seed(seed)
    ends = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    config = transformers.AutoConfig.for_model(
        architecture, vocab_size=VOCABULARY, initializer_range=0.1, **ends, **OPTIONS[architecture]
    )
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def texts(count: int, length: int = LONGEST, seed: int = 0) -> torch.Tensor:
    """(count, length) random tokens, of which a third repeat the token before the last: n-grams come back."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, VOCABULARY, (count, length), generator=generator)
    repeats = torch.rand((count, length), generator=generator) < 0.33
    for column in range(2, length):
        tokens[:, column] = torch.where(repeats[:, column], tokens[:, column - 2], tokens[:, column])
    return tokens


def trained(architecture: str, level: str, tokens: torch.Tensor, seed: int = 0):
    """The untrained model, fitted to the texts until its share of right next tokens reaches that of the level."""
    model = untrained(architecture, seed)
    if level == "random":
        return model
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(500):
        logits, targets = model(tokens).logits[:, :-1], tokens[:, 1:]
        if float((logits.argmax(-1) == targets).float().mean()) >= LEVELS[level]:
            return model
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
        optimiser.step()
    raise AssertionError(f"{architecture} did not become {level}")
