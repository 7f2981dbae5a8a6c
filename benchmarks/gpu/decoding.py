"""How replies are drawn on a GPU: captured steps against single passes and `transformers.generate`, on random weights.

    python benchmarks/gpu/decoding.py [--small] [NAME …]

Every check is a function of one argument, whether it is to be small, which returns its figures and raises where
something does not hold; check.py runs them. Without a GPU steps are not captured: they run as usual over the same
memory, so that the checks themselves can be tried on a CPU with --small. Has not been run on a GPU yet.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from catlite.models.local.decoding import Growing, decode, padded
from catlite.models.local.sampling import Choice, Drawing, Drawn, numbers
from catlite.models.local.stages import NotCapturable, Stages

sys.path.insert(0, str(Path(__file__).parent))
from shapes import random_model

PAD = 1
GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
WAYS: dict[str, Callable[..., Any]] = {"plain": Growing, "graphs": partial(Stages, capture=GPU)}
Figures = dict[str, Any]


def with_adapter(model: Any) -> Any:
    """The model with a random LoRA adapter of rank 16 on every linear layer."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    settings = LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", init_lora_weights=False)
    return get_peft_model(model, settings).eval()


def without_adapter(model: Any, adapter: bool) -> Any:
    return nullcontext() if adapter else model.disable_adapter()


def prompts_of(rows: int, shortest: int, longest: int, group: int = 8) -> list[list[int]]:
    """Groups of `group` rows with a prompt in common."""
    chance = random.Random(0)
    lengths = [chance.randint(shortest, longest) for _ in range(-(-rows // group))]
    different = [[chance.randrange(2, 300) for _ in range(length)] for length in lengths]
    return [different[row // group] for row in range(rows)]


def drawn(
    model: Any, prompts: Sequence[list[int]], lengths: Sequence[int], batch_of: Callable[..., Any]
) -> list[Drawn]:
    """A reply of this length for every prompt."""
    drawings = [Drawing(length, seed=7) for length in lengths]
    pairs = enumerate(zip(drawings, prompts, strict=True))
    chances = [numbers(drawing, prompt, row, max(lengths)) for row, (drawing, prompt) in pairs]
    choice = Choice(drawings, chances, [], model.device)
    inside = model.get_base_model() if hasattr(model, "get_base_model") else model
    with torch.no_grad():
        decode(inside, prompts, choice, PAD, batch_of=batch_of)
    return choice.replies(0.0)


def tokens_per_second(model: Any, prompts: Sequence[list[int]], lengths: Sequence[int], way: str) -> float:
    drawn(model, prompts, [6] * len(prompts), WAYS[way])  # kernels are loaded
    started = time.perf_counter()
    drawn(model, prompts, lengths, WAYS[way])
    return sum(lengths) / (time.perf_counter() - started)


def generated_per_second(model: Any, prompts: Sequence[list[int]], tokens: int) -> float:
    """The tokens per second of transformers' own `generate`."""
    from transformers import GenerationConfig

    ids, mask = padded(prompts, PAD, model.device)

    def generate(tokens: int) -> None:
        settings = GenerationConfig(
            max_new_tokens=tokens, do_sample=True, top_k=0, pad_token_id=PAD, eos_token_id=None, use_cache=True
        )
        with torch.no_grad():
            out = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
        assert out.shape[1] == ids.shape[1] + tokens

    generate(6)
    started = time.perf_counter()
    generate(tokens)
    return tokens * len(prompts) / (time.perf_counter() - started)


def difference(left: Sequence[Drawn], right: Sequence[Drawn]) -> tuple[float, float]:
    """(the share of replies that are the same, by how much log-probabilities differ as far as tokens agree)."""
    same = sum(reply.tokens == other.tokens for reply, other in zip(left, right, strict=True)) / len(left)
    apart = 0.0
    for reply, other in zip(left, right, strict=True):
        pairs = zip(reply.tokens, other.tokens, reply.logprobs, other.logprobs, strict=True)
        for token, its, logprob, other_logprob in pairs:
            if token != its:
                break
            apart = max(apart, abs(logprob - other_logprob))
    return same, apart


# The checks.


def equality(small: bool) -> Figures:
    """In float32 captured steps draw what single passes draw, whatever the model, and leave torch's chance alone."""
    from transformers import AutoConfig, AutoModelForCausalLM

    mixed = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]
    kinds: dict[str, dict[str, Any]] = {
        "llama": {},
        "qwen3": {},
        "mistral": {"sliding_window": 64},
        "gemma3_text": {"sliding_window": 64, "layer_types": mixed},
    }
    shape = {
        "vocab_size": 512,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "initializer_range": 0.1,
    }
    rows, most = (8, 24) if small else (48, 400)
    prompts, chance = prompts_of(rows, 3, 150), random.Random(1)
    lengths = [*(chance.randint(1, most) for _ in range(rows - 1)), most]
    figures: Figures = {}
    for kind, more in kinds.items():
        torch.manual_seed(0)
        with torch.device(DEVICE):
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape, **more), dtype=torch.float32)
        model = with_adapter(model.eval())
        for adapter in (True, False):
            state = torch.cuda.get_rng_state() if GPU else torch.get_rng_state()
            with without_adapter(model, adapter):
                plain = drawn(model, prompts, lengths, Growing)
                same, apart = difference(drawn(model, prompts, lengths, partial(WAYS["graphs"], check=True)), plain)
            name = f"{kind}, adapter {'on' if adapter else 'off'}"
            figures |= {f"{name}: same replies": same, f"{name}: log-probabilities apart": apart}
            assert same >= 0.95, figures  # a tie that rounding decides changes all that comes after it
            assert apart <= 1e-3, figures
            assert torch.equal(state, torch.cuda.get_rng_state() if GPU else torch.get_rng_state())
    return figures


def speed(small: bool, shapes: Sequence[str] = ("135M", "1.7B", "4B"), tokens: int = 96) -> Figures:
    """Tokens per second of each way, for 1, 64 and 256 rows, the adapter on and off."""
    figures: Figures = {}
    for shape in ("tiny",) if small else shapes:
        model = with_adapter(random_model(shape, DEVICE))
        least = shape in ("tiny", "135M")
        for rows in (1, 4) if small else (1, 64, 256):
            prompts = prompts_of(rows, 20, 60)
            for adapter in (True, False) if least else (True,):
                name = f"{shape}, {rows} row{'s' * (rows > 1)}, adapter {'on' if adapter else 'off'}"
                with without_adapter(model, adapter):
                    rates = {way: tokens_per_second(model, prompts, [tokens] * rows, way) for way in WAYS}
                    if least and rows in (4, 64):
                        rates["generate"] = generated_per_second(model, prompts, tokens)
                figures |= {f"{name}: {way}, tokens/s": rate for way, rate in rates.items()}
                figures[f"{name}: ms a step"] = 1000 * rows / rates["graphs"]
                figures[f"{name}: to plain"] = rates["graphs"] / rates["plain"]
                if "generate" in rates:
                    figures[f"{name}: to generate"] = rates["graphs"] / rates["generate"]
        del model
        release()
    return figures


def long_replies(small: bool) -> Figures:
    """64 rows of up to 768 tokens after prompts of 100 to 1,000, which leave one after the other."""
    rows, most, longest = (8, 40, 50) if small else (64, 768, 1000)
    chance = random.Random(1)
    lengths = [*(chance.randint(1, most) for _ in range(rows - 1)), most]
    model, prompts = with_adapter(random_model("tiny" if small else "135M", DEVICE)), prompts_of(rows, 20, longest)
    rates = {way: tokens_per_second(model, prompts, lengths, way) for way in WAYS}
    return {**{f"{way}, tokens/s": rate for way, rate in rates.items()}, "to plain": rates["graphs"] / rates["plain"]}


def beside_another_thread(small: bool) -> Figures:
    """Steps are captured in one thread while another allocates and copies, as a trainer and its data loader do."""
    model, prompts = with_adapter(random_model("tiny" if small else "135M", DEVICE)), prompts_of(16, 20, 60)
    lengths = [24] * 16
    alone = drawn(model, prompts, lengths, WAYS["graphs"])
    done, errors, rounds = threading.Event(), [], [0]

    def work() -> None:
        while not done.is_set():
            rounds[0] += 1
            try:
                host = torch.ones(1 << 18, pin_memory=GPU)
                (host.to(DEVICE, non_blocking=True) * 2).sum().item()
                torch.empty(rounds[0] % 64 << 16, device=DEVICE).zero_()
            except RuntimeError as error:
                errors.append(str(error))

    other = threading.Thread(target=work)
    other.start()
    try:
        together = [drawn(model, prompts, lengths, WAYS["graphs"]) for _ in range(2 if small else 8)]
    finally:
        done.set()
        other.join()
    assert not errors, errors[0]
    same = min(difference(replies, alone)[0] for replies in together)
    assert same >= 0.9, same
    return {"rounds of the other thread": rounds[0], "same replies": same}


def peak_memory(small: bool) -> Figures:
    """What drawing takes beside the weights at its peak, and what is left of it afterwards."""
    rows, tokens, longest = (4, 8, 20) if small else (64, 256, 500)
    model, prompts = with_adapter(random_model("tiny" if small else "1.7B", DEVICE)), prompts_of(rows, longest, longest)
    figures: Figures = {}
    drawn(model, prompts, [6] * rows, WAYS["graphs"])
    for way, batch_of in WAYS.items():
        release()
        if GPU:
            torch.cuda.reset_peak_memory_stats()
            weights, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
        drawn(model, prompts, [tokens] * rows, batch_of)
        if GPU:
            figures[f"{way}, peak GiB"] = (torch.cuda.max_memory_allocated() - weights) / 2**30
            release()
            figures[f"{way}, left GiB"] = (torch.cuda.memory_reserved() - reserved) / 2**30
    return figures


def after_a_failed_capture(small: bool) -> Figures:
    """A step that no graph can repeat is found before; where it is tried nevertheless, the process goes on well."""
    model = random_model("tiny" if small else "135M", DEVICE, "float32")
    prompts, lengths = prompts_of(4, 10, 20), [12] * 4
    plain = drawn(model, prompts, lengths, Growing)
    hook = model.model.layers[0].register_forward_hook(lambda _module, _given, out: out if out.sum() != 0.5 else None)
    reasons = []
    for check in (True, False) if GPU else (True,):
        try:
            drawn(model, prompts, lengths, partial(Stages, check=check))
        except NotCapturable as error:
            reasons.append(str(error))
    hook.remove()
    assert len(reasons) == 1 + GPU, reasons
    (torch.randn(8, 8, device=DEVICE, requires_grad=True) @ torch.rand(8, 8, device=DEVICE)).sum().backward()
    release()
    for way in WAYS:
        same, apart = difference(drawn(model, prompts, lengths, WAYS[way]), plain)
        assert same == 1.0, (way, same)
        assert apart <= 1e-3, (way, apart)
    return {"reasons": reasons}


def four_bits(small: bool) -> Figures:
    """Steps of a model in 4 bits, which are drawn plainly unless `fast="graphs"`: can they be captured?"""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    if not GPU:
        return {"not done": "no GPU"}
    import tempfile

    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
    with tempfile.TemporaryDirectory() as folder:
        random_model("tiny" if small else "1.7B", DEVICE).save_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=settings, device_map={"": 0})
    model, prompts, lengths = with_adapter(model.eval()), prompts_of(64, 20, 60), [64] * 64
    same, apart = difference(*(drawn(model, prompts, lengths, batch_of) for batch_of in WAYS.values()))
    rates = {way: tokens_per_second(model, prompts, lengths, way) for way in WAYS}
    figures = {f"{way}, tokens/s": rate for way, rate in rates.items()}
    return {**figures, "to plain": rates["graphs"] / rates["plain"], "same replies": same, "apart": apart}


def lean_and_folded(small: bool) -> Figures:
    """What two further changes would gain on top of captured steps: they are worth building in from 10% on."""
    changes: dict[str, Callable[[Any], Any]] = {
        "as built in": nullcontext,
        "lean": lean_lora,
        "folded": folded_heads,
    }
    figures: Figures = {}
    model = with_adapter(random_model("tiny", DEVICE, "float32"))
    prompts, lengths = prompts_of(8, 5, 30), [16] * 8
    plain = drawn(model, prompts, lengths, Growing)
    for name, change in changes.items():
        with change(model):
            for way, batch_of in WAYS.items():
                same, apart = difference(drawn(model, prompts, lengths, batch_of), plain)
                assert same >= 0.8, (name, way, same)
                assert apart <= 1e-3, (name, way, apart)
    cases = [("tiny", 4, 20, 8)] if small else [("135M", 64, 60, 96), ("4B", 64, 60, 64), ("4B", 64, 1500, 64)]
    for shape, rows, longest, tokens in cases:
        model, prompts = with_adapter(random_model(shape, DEVICE)), prompts_of(rows, longest, longest)
        rates = {}
        for name, change in changes.items():
            with change(model):
                rates[name] = tokens_per_second(model, prompts, [tokens] * rows, "graphs")
        case = f"{shape}, {rows} rows, prompts of {longest}"
        figures |= {f"{case}: {name}, ratio": rate / rates["as built in"] for name, rate in rates.items()}
        del model
        release()
    return figures


@contextmanager
def lean_lora(model: Any) -> Iterator[None]:
    """LoRA in two launches a layer, where PEFT makes six: its matrices are cast and scaled once."""
    from peft.tuners.lora import Linear

    layers = [layer for layer in model.modules() if isinstance(layer, Linear)]
    for layer in layers:
        dtype = layer.base_layer.weight.dtype
        down = layer.lora_A["default"].weight.detach().T.to(dtype)
        up = (layer.lora_B["default"].weight.detach().T * layer.scaling["default"]).to(dtype)

        def forward(x: Any, base: Any = layer.base_layer, down: Any = down, up: Any = up) -> Any:
            y = base(x)
            return torch.addmm(y.flatten(0, -2), x.flatten(0, -2) @ down, up).view_as(y)

        layer.forward = forward
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


@contextmanager
def folded_heads(model: Any) -> Iterator[None]:
    """Attention of one token in which heads that share keys are rows of one query: keys are not repeated for it."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    def attend(
        module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: Any = None, **more: Any
    ) -> tuple[Any, None]:
        rows, heads, length, size = query.shape
        if length > 1 or attention_mask is None:
            return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **more)
        together = query.reshape(rows, key.shape[1], -1, size)
        out = torch.nn.functional.scaled_dot_product_attention(
            together, key, value, attn_mask=attention_mask, scale=scaling
        )
        return out.reshape(rows, 1, heads, -1), None

    AttentionInterface.register("folded", attend)
    AttentionMaskInterface.register("folded", sdpa_mask)
    inside = model.get_base_model()
    inside.set_attn_implementation("folded")
    try:
        yield
    finally:
        inside.set_attn_implementation("sdpa")


def release() -> None:
    gc.collect()
    if GPU:
        torch.cuda.empty_cache()


CHECKS: dict[str, Callable[[bool], Figures]] = {
    check.__name__: check
    for check in (
        equality,
        speed,
        long_replies,
        beside_another_thread,
        peak_memory,
        after_a_failed_capture,
        four_bits,
        lean_and_folded,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CHECKS)}; all")
    parser.add_argument("--small", action="store_true", help="tiny models, on a CPU as well")
    arguments = parser.parse_args()
    for name in arguments.names or CHECKS:
        started = time.monotonic()
        figures = CHECKS[name](arguments.small)
        print(
            json.dumps({"check": name, "seconds": round(time.monotonic() - started, 1), "figures": figures}), flush=True
        )


if __name__ == "__main__":
    main()
