"""Load weights from a folder or the hub into this process, by transformers or by Unsloth; safetensors only.

Left out: several devices; code that comes with a model is not run.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from catlite.errors import ConfigError, MissingExtra
from catlite.extras import install
from catlite.models.local import unsloth
from catlite.models.local.adapters import adapter_digest
from catlite.models.local.engine import Engine, is_out_of_memory, out_of_memory
from catlite.models.local.served import Served, check_url

_BATCH_SIZE = {True: 256, False: 64}  # on CUDA, where a step of a small model costs the same for both, and on a CPU


class Weights:
    """One model on one device, shared by a LocalModel and its frozen view; loaded on first use."""

    def __init__(self, path: str, adapter: Path | None, backend: str, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.adapter = adapter
        self.backend = backend
        self.settings = settings  # as LocalModel takes them: dtype, context, batch_size, fast, load_in_4bit
        self.trained_in: Path | None = None  # the folder of the run that put an adapter on them in this process
        self.expected: str | None = None  # the digest of the weights that an adapter of a run belongs to
        self.lora_rank = 16  # the largest that an adapter may have where vLLM is set up for it (`fast="unsloth"`)
        self.template: dict[str, Any] = {}  # default chat_template_kwargs, for the policy and the anchor alike
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._served: Served | None = None
        self._tokenizer: Any = None

    @cached_property
    def folder(self) -> str:
        """The folder, or the name on the Hugging Face hub, that the libraries load."""
        if self.path == "local":
            from catlite.models.local.from_gguf import embedded_folder

            return str(embedded_folder())
        return self.path

    @property
    def url(self) -> str | None:
        """The address of the vLLM server that draws replies; None where this process draws them."""
        fast = self.settings["fast"]
        return fast if is_url(fast) else None

    @property
    def vllm(self) -> bool:
        """Whether vLLM draws replies, in a server or in this process."""
        return self.url is not None or self.settings["fast"] == "unsloth"

    @property
    def loaded(self) -> bool:
        """True once the model is in memory."""
        return self._engine is not None

    @property
    def engine(self) -> Engine:
        """The line in front of the model, which is loaded when it is not yet."""
        with self._lock:
            if self._engine is None:
                self._load()
            assert self._engine is not None
            return self._engine

    @property
    def served(self) -> Served | None:
        """The vLLM server that draws replies; None where the engine draws them."""
        _ = self.engine
        return self._served

    @property
    def tokenizer(self) -> Any:
        """The tokenizer."""
        _ = self.engine
        return self._tokenizer

    @property
    def context(self) -> int:
        """How many tokens prompt and reply may have together."""
        most = getattr(self.engine.model.config.get_text_config(), "max_position_embeddings", None) or 2**31
        served = most if self.served is None else self.served.base[1]
        return min(self.settings["context"] or most, most, served)

    def _load(self) -> None:
        if importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None:
            raise MissingExtra(f"weights in this process need catlite[train]: {install('train')}")
        try:
            if self.backend == "unsloth":
                model, tokenizer = unsloth.load(self.folder, self.settings, self.adapter, self.lora_rank)
            else:
                model, tokenizer = self._with_transformers()
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            if self.settings["load_in_4bit"] and importlib.util.find_spec("bitsandbytes") is None:
                raise MissingExtra(f"load_in_4bit=True needs bitsandbytes: {install('unsloth')}") from error
            if is_out_of_memory(error):
                raise out_of_memory(f"loading {self.path}", "the size of the model") from None
            raise ConfigError(f"LocalModel({self.path!r}) cannot be loaded: {error}") from error
        if getattr(tokenizer, "chat_template", None) is None:
            raise ConfigError(
                f"LocalModel({self.path!r}): its tokenizer has no chat template, so it is a base model: take the "
                "instruction-tuned one, which can be asked questions"
            )
        eos = model.generation_config.eos_token_id
        ends = [tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])]
        ends = [end for end in ends if end is not None]
        if not ends:
            raise ConfigError(
                f"LocalModel({self.path!r}): neither its tokenizer (eos_token) nor its generation_config.json "
                "(eos_token_id) names a token that ends a reply, so no reply would end: name one there"
            )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.convert_ids_to_tokens(ends[0])
        tokenizer.padding_side = "left"
        self._check()
        if self.adapter is not None:
            from peft import PeftModel

            try:
                model = PeftModel.from_pretrained(model, str(self.adapter))
            except (OSError, ValueError, RuntimeError) as error:
                raise ConfigError(
                    f"adapter={str(self.adapter)!r} cannot be put on LocalModel({self.path!r}), so it may belong to "
                    f"another model: {error}"
                ) from error
        model.eval()
        self._tokenizer = tokenizer
        own = self.backend == "unsloth"  # which generates with a cache of its own making
        drawer = unsloth.VLLMDrawer(ends) if self.settings["fast"] == "unsloth" else None
        size = self.settings["batch_size"] or _BATCH_SIZE[model.device.type == "cuda"]
        fast = self.settings["fast"]
        if self.url is not None or (fast is None and getattr(model, "is_quantized", False)):
            fast = "plain"  # a captured step has not been tried with quantized weights
        pad = tokenizer.pad_token_id
        self._engine = Engine(model, pad, ends, size, own_generate=own, drawer=drawer, fast=fast)
        if self.url is not None:
            self._served = Served(self.url, self._engine, self.settings["context"])

    def _with_transformers(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        dtype = resolve_dtype(self.settings["dtype"])
        half = torch.bfloat16 if has_bfloat16() else torch.float16
        options: dict[str, Any] = {"dtype": dtype if dtype == "auto" else getattr(torch, dtype)}
        if self.settings["load_in_4bit"]:
            from transformers import BitsAndBytesConfig

            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=half
            )
        if torch.cuda.is_available():
            options["device_map"] = {"": own_gpu()}
        with _without_bars():
            # No pickled weights: loading those runs what is in them.
            model = AutoModelForCausalLM.from_pretrained(self.folder, use_safetensors=True, **options)
        return model, AutoTokenizer.from_pretrained(self.folder)

    def replace(self, model: Any) -> None:
        """Put `model`, which wraps or changes the one that was loaded, in its place."""
        self.engine.model = model

    def check_merged(self, folder: Path) -> None:
        """Raise ConfigError where a merged model cannot be written, or would take the place of its base."""
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{str(folder)!r} is a file: give a folder for the merged model")
        if folder.exists() and folder.resolve() == Path(self.path).expanduser().resolve():
            raise ConfigError(
                f"{str(folder)!r} holds the model that is trained, which the adapter needs: give the merged model "
                "another folder"
            )

    def save_merged(self, adapter: Path, folder: Path) -> Path:
        """Write the base, loaded once more in its own precision, with `adapter` merged into it; return `folder`."""
        self.check_merged(folder)
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        base = AutoModelForCausalLM.from_pretrained(self.folder, use_safetensors=True, dtype="auto")
        PeftModel.from_pretrained(base, str(adapter)).merge_and_unload().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        return folder

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the model's files, or its name and commit on the hub: what its replies depend on.

        The adapter is not among them.
        """
        if not Path(self.folder).is_dir():
            _ = self.engine  # which downloads them
        return self._digest()

    def _check(self) -> None:
        """Raise ConfigError when the weights are not those that an adapter was trained on."""
        if self.expected is None or (digest := self._digest()) == self.expected:
            return
        raise ConfigError(
            f"LocalModel({self.path!r}) has other weights than the run was trained on ({digest[:12]}…, the run has "
            f"{self.expected[:12]}…): give policy=, where those are"
        )

    def _digest(self) -> str:
        folder = Path(self.folder)
        if not folder.is_dir():
            from huggingface_hub import try_to_load_from_cache

            cached = try_to_load_from_cache(self.folder, "config.json")  # …/snapshots/<commit>/config.json
            return f"{self.folder}@{Path(cached).parent.name if isinstance(cached, str) else None}"
        total = hashlib.sha256()
        # A tokenizer without a tokenizer.json is made of its vocabulary, which nobody reads beside one.
        vocabulary = () if (folder / "tokenizer.json").is_file() else (".txt", ".model", ".tiktoken")
        for file in sorted(folder.iterdir()):
            if file.suffix in (".safetensors", ".json", ".jinja", *vocabulary):
                with file.open("rb") as content:
                    total.update(file.name.encode() + hashlib.file_digest(content, "sha256").digest())
        return total.hexdigest()

    def adapter_digest(self) -> str:
        """SHA-256 over the adapter as it is now, "none" without one."""
        return adapter_digest(self.engine.model)


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """Hide transformers' progress bars, which for weights on disk are gone before anybody reads them."""
    from transformers.utils import logging as reporting

    shown = reporting.is_progress_bar_enabled()
    reporting.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            reporting.enable_progress_bar()


def has_bfloat16() -> bool:
    """False where bfloat16 is only imitated: on GPUs before Ampere, and on CPUs without AVX-512 (at half the speed)."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.get_device_capability() >= (8, 0))
    return bool(torch.backends.cpu.get_cpu_capability() == "AVX512")


def own_gpu() -> int:
    """The number of this process's GPU: of several processes on a machine, as torchrun starts them, each has one."""
    import torch

    return int(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def resolve_dtype(dtype: str) -> str:
    """The dtype that "auto" means on this device; it stays "auto" where the files' own dtype is used."""
    import torch

    if dtype != "auto" or has_bfloat16():  # which the files mostly are in
        return dtype
    return "float16" if torch.cuda.is_available() else "float32"


def choose_backend(backend: str) -> str:
    """The backend to use. Raises ConfigError, or MissingExtra, when it cannot run here."""
    if backend not in ("auto", "unsloth", "transformers"):
        raise ConfigError(f'backend={backend!r}: want "auto", "unsloth" or "transformers"')
    if backend == "transformers":
        return backend
    present = importlib.util.find_spec("unsloth") is not None
    if backend == "auto" and not present:
        return "transformers"
    if not present:
        raise MissingExtra(f"backend='unsloth' needs the package: {install('unsloth')}")
    import torch

    if torch.cuda.is_available():
        unsloth.import_unsloth()

        return "unsloth"
    if backend == "auto":
        return "transformers"
    raise ConfigError(
        'backend="unsloth" needs a CUDA device, and torch finds none: use backend="transformers" (slower, and it runs '
        "on a CPU), or a machine with an NVIDIA GPU and a CUDA build of torch"
    )


def check_fast(fast: str | None, backend: str) -> str | None:
    """`fast`, which says what draws replies. Raises ConfigError for a way that there is not."""
    if fast == "unsloth":
        unsloth.check_vllm(backend)
        return fast
    if is_url(fast):
        return check_url(str(fast))
    if fast not in (None, "graphs", "plain"):
        raise ConfigError(
            f'fast={fast!r}: want None, the fastest that works in this process, "graphs", "plain", "unsloth", or the '
            "address of a vLLM server, such as http://127.0.0.1:8000/v1"
        )
    if fast == "graphs":
        if backend == "unsloth":
            raise ConfigError('fast="graphs" needs backend="transformers": Unsloth draws replies in its own `generate`')
        import torch

        if not torch.cuda.is_available():
            raise ConfigError('fast="graphs" needs a CUDA device, and torch finds none: leave `fast` out')
    return fast


def is_url(fast: str | None) -> bool:
    """Whether `fast` is the address of a server."""
    return isinstance(fast, str) and fast.startswith(("http://", "https://"))


def check_path(path: str | Path) -> str:
    """`path` as text. Raises ConfigError when no model can be there, or only pickled weights."""
    text = str(path)
    if not text.strip():
        raise ConfigError('path is empty: give a folder, a name on the Hugging Face hub, or "local"')
    folder = Path(text).expanduser()
    if not folder.is_dir():
        if folder.exists() or folder.is_absolute() or text.startswith(("~", ".")):
            raise ConfigError(f"LocalModel({text!r}): there is no folder of that name with a model in it")
        return text
    if not (folder / "config.json").is_file():
        raise ConfigError(f"LocalModel({text!r}): the folder has no config.json, so it holds no model of transformers")
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(
            f"LocalModel({text!r}): the folder has no safetensors, and pickled weights are not loaded, because "
            "loading them runs what is in them: convert them first"
        )
    return str(folder)


def check_adapter(folder: Path) -> Path:
    """`folder`. Raises ConfigError when no adapter is in it, or one that cannot be taken off to give the base."""
    if not (folder / "adapter_config.json").is_file() or not (folder / "adapter_model.safetensors").is_file():
        raise ConfigError(
            f"adapter={str(folder)!r}: want a folder with adapter_config.json and adapter_model.safetensors, as "
            "TrainingRun.adapter is one"
        )
    try:
        settings = dict(json.loads((folder / "adapter_config.json").read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"adapter={str(folder)!r}: its adapter_config.json cannot be read: {error}") from None
    for name, plain in {"peft_type": "LORA", "bias": "none"}.items():
        if settings.get(name, plain) != plain:
            raise ConfigError(
                f'adapter={str(folder)!r} has {name}={settings[name]!r}: want a LoRA adapter with bias="none", which '
                "can be taken off again, since frozen() is the same weights without it. An adapter that can be merged "
                "into its model can be loaded as the merged folder"
            )
    return folder
