"""Models of random weights in the shapes that people train, for timing and memory where no weights can be fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# layers, hidden size, size of the MLP, heads, heads of keys and values, size of a head, vocabulary
SHAPES = {
    "tiny": (2, 32, 64, 2, 1, 16, 512),
    "135M": (30, 576, 1536, 9, 3, 64, 49152),  # SmolLM2
    "0.6B": (28, 1024, 3072, 16, 8, 128, 151936),  # Qwen3, and the two below
    "1.7B": (28, 2048, 6144, 16, 8, 128, 151936),
    "4B": (36, 2560, 9728, 32, 8, 128, 151936),
}
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def random_model(shape: str, device: str = "cpu", dtype: str = "bfloat16") -> Any:
    """A causal language model of that shape, made on the device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    layers, hidden, inner, heads, shared, size, vocabulary = SHAPES[shape]
    config = AutoConfig.for_model(
        "llama" if shape in ("tiny", "135M") else "qwen3",
        num_hidden_layers=layers,
        hidden_size=hidden,
        intermediate_size=inner,
        num_attention_heads=heads,
        num_key_value_heads=shared,
        head_dim=size,
        vocab_size=vocabulary,
        tie_word_embeddings=True,
        max_position_embeddings=8192,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()


def random_folder(folder: Path, shape: str) -> Path:
    """Such a model in `folder`, with a tokenizer of bytes and a chat template.

    One token in sixteen ends a reply: rollouts that are all cut off would have no reference.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<|end|>", "<|pad|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={piece: at for at, piece in enumerate(pieces)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = {"eos_token": "<|end|>", "pad_token": "<|pad|>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=TEMPLATE, **names)
    fast.save_pretrained(folder)
    model = random_model(shape, "cuda" if torch.cuda.is_available() else "cpu")
    model.generation_config.eos_token_id = [0, *range(16, model.config.vocab_size, 16)]
    model.save_pretrained(folder)
    return folder
