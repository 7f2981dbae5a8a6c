"""Language models of some thousand random parameters, with a tokenizer of bytes or with none: for tests of logic."""

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ENDS = 24
SPECIALS = ["<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]
VOCABULARY, PAD = 64, 0  # of the models without a tokenizer


def random_model(kind, **settings):
    """A model of a kind that transformers has, such as "Llama"."""
    import torch
    import transformers

    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 256,
        "pad_token_id": PAD,
        "initializer_range": 0.3,  # else all tokens are alike, and nothing could be told apart
    }
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**shape, **settings})
    return getattr(transformers, f"{kind.removesuffix('Text')}ForCausalLM")(config).eval()


def tiny_model(folder, seed=0, template=TEMPLATE, context=256):
    """Writes one into `folder`, as transformers keeps models, and gives the path."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={piece: at for at, piece in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=SPECIALS[2:],
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],  # before transformers 5 there would be a third
    )
    fast.chat_template = template
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=context,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    # A random model hardly ever ends a reply: a few bytes that are part of other characters end one too.
    model.generation_config.eos_token_id = [fast.eos_token_id, *fast.convert_tokens_to_ids(alphabet[-ENDS:])]
    model.save_pretrained(folder)
    return folder
