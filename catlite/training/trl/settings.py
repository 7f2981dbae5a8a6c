"""TRL's settings: ours with the user's laid over them, checked; and TRL kept quiet while it trains."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from catlite.errors import CatliteError, ConfigError, MissingExtra
from catlite.extras import install

# What the reward, the checks and resuming go by, in TRL's words and in ours.
_OWN = {  # by TRL's name, the settings of catlite that set it
    "output_dir": "run=",
    "max_steps": "steps (or epochs)",
    "gradient_accumulation_steps": "prompts_per_step (or batch_size), cut by per_device_train_batch_size",
    "num_generations": "num_generations",
    "max_completion_length": "max_completion_length",
    "eval_strategy": "check_every, with held_back= or validation= (in sft validation)",
    **dict.fromkeys(("temperature", "top_p", "top_k", "min_p", "chat_template_kwargs"), "sampling"),
}
# What a run's folder goes by: a line of metrics for each step, whole checkpoints, its prompts in order with their ids.
_OF_RUNS = ("logging_strategy", "logging_steps", "save_only_model", "ignore_data_skip", "remove_unused_columns")
_LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets")


def check_libraries() -> None:
    """Raise MissingExtra unless everything that training takes is installed."""
    missing = [name for name in _LIBRARIES if not importlib.util.find_spec(name)]
    if missing:
        raise MissingExtra(f"training needs catlite[train] ({missing[0]} is missing): {install('train')}")


def trl_arguments(kind: type, ours: Mapping[str, Any], users: Mapping[str, Any]) -> Any:
    """A `kind` (GRPOConfig or SFTConfig of TRL) for one device. Raises ConfigError for what TRL refuses."""
    settings = trl_settings(kind, ours, users)
    try:
        arguments = kind(**settings)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"TRL does not take these settings: {error}") from error
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # noqa: SLF001 - else transformers would split batches over all GPUs in sight
    return arguments


def trl_settings(kind: type, ours: Mapping[str, Any], users: Mapping[str, Any]) -> dict[str, Any]:
    """Our settings with the user's laid over them.

    Settings of ours that this TRL does not know are left out, with a warning unless they are None.

    Raises:
        ConfigError: for a setting of the user's that TRL does not know, that catlite has a setting of its own for, or
            without which a run could not go on, and for those of TRL's way to use vLLM, which changes the base weights.
    """
    for name, value in users.items():
        if name in _OWN:
            raise ConfigError(f"trl={{{name!r}: …}}: set this by {_OWN[name]}; other parts than TRL have to know it")
        if name in _OF_RUNS:
            raise ConfigError(
                f"trl={{{name!r}: {value!r}}}: catlite sets this itself, so that a run has metrics of each step, "
                "rewards rows by their ids and resumes exactly: leave it out"
            )
        if name.startswith("vllm_") or (name == "use_vllm" and value is not False):
            raise ConfigError(
                f"trl={{{name!r}: {value!r}}}: for vLLM, TRL adds the adapter to the base weights before each step and "
                "subtracts it afterwards. In bfloat16 the base is not the same afterwards (a third of the weights "
                "differ after one step, and more with each: huggingface/trl#6688), and here it is the anchor and the "
                'reference of the KL penalty. Have LocalModel(…, fast="http://…/v1") draw from a vLLM server instead'
            )
    known = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    unknown = [name for name in users if name not in known]
    if unknown:
        raise ConfigError(f"trl={{{unknown[0]!r}: …}}: TRL's {kind.__name__} has no setting of that name")
    left = [name for name, value in ours.items() if name not in known and value is not None]
    if left:
        listed = ", ".join(f"{name}={ours[name]!r}" for name in left)
        warnings.warn(
            f"the installed TRL's {kind.__name__} has no setting {listed}: training goes on without. Another release "
            "of TRL may have it",
            stacklevel=2,
        )
    return {**{name: value for name, value in ours.items() if name in known}, **users}


@contextlib.contextmanager
def refusing(users: Mapping[str, Any]) -> Iterator[None]:
    """Raise ConfigError where TRL's trainer does not take the `users` settings that its config has taken."""
    try:
        yield
    except (ValueError, NotImplementedError, ImportError) as error:
        if not users or isinstance(error, CatliteError):
            raise
        raise ConfigError(f"TRL's trainer does not take trl={dict(users)}: {error}") from error


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence remarks of the libraries that a user can do nothing about, and that would quote prompts in logs."""
    names = ("trl", "transformers", "peft", "accelerate", "datasets")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(?:trl|transformers|peft|accelerate|torch|datasets)\b.*")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
