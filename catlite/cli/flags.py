"""What the library says, in the words of the command line: `base_url=` is --base-url there.

Messages are written for Python, where most of them are read. Left out: names that are no option of the command.
"""

from __future__ import annotations

import argparse
import re
import shlex

# Other names that Python has for an option: those of TRL, of some servers, and of a task that makes its questions.
_ALIASES = {
    "--n": ("num_generations",),
    "--max-tokens": ("max_completion_tokens", "max_completion_length"),
    "--limit": ("count",),
    "--micro-batch": ("per_device_train_batch_size",),
    "--dry-run": ("sample",),
    "--questions": ("limit",),
}
_VALUE = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|…|[^\s,;:()'"]*"""
# What a message quotes, such as a model's text, up to its end where it was cut; no value of an argument.
_QUOTED = r"""(?<![\w=])(?:'(?:[^'\\]|\\.)*(?:'(?!\w)|$)|"(?:[^"\\]|\\.)*(?:"(?!\w)|$))"""
_TASKS = "from_records|arithmetic|gsm8k|math500|healthbench(?:_professional)?|larger|last_word|times_tables"
_BUILT = re.compile(rf"(?:catlite\.)?\b(?:{_TASKS})\(((?:[^()]|\([^()]*\))*)\)")
_SAYINGS = (
    # What has no option, in words that need none.
    (re.compile(r"; or give from_records\([\w.]+\(path\)\)"), "; or convert it to one of these"),
    (re.compile(r", or synthesize\(\) for one\b"), ""),
    (re.compile(r"\bapi_key= or |, or pass api_key="), ""),
    (re.compile(r"\bpass price=Price\([^()]*\) in dollars per million tokens, or "), ""),
    (re.compile(r": give it as Endpoint\(…, price=Price\(…\)\)"), ""),
    (re.compile(r"such as healthbench\(\), or RubricReward, which proposes one"), "such as healthbench"),
    (re.compile(r"\bBudget\((\w+)=([^()]*)\)"), r"--budget-\1 \2"),
    (re.compile(r" or evaluate\(…, run=[^()]*\)"), ""),
    (re.compile(r"reward=RubricReward\([^()]*\)"), "--reward rubric"),
    (re.compile(r", or None for [\w ]+"), ""),
    (re.compile(r",? or pass validation=(?: with answers)?"), ""),
    (re.compile(r"the same call with\b"), "the same command with"),
    (re.compile(r"\bthe same call\b"), "the same command"),
)


def in_flags(message: str, parser: argparse.ArgumentParser) -> str:
    """Put the options of `parser` in the place of Python's arguments in `message`.

    Args:
        message: what an error or a note says.
        parser: of the command that was called.

    Returns:
        The message, otherwise as it was.

    Example:
        >>> in_flags("n=0: want a whole number of at least 1", parser)
        '--n 0: want a whole number of at least 1'
    """
    options = _options(parser)
    for pattern, instead in _SAYINGS:
        message = pattern.sub(instead, message)
    message = _BUILT.sub(lambda match: _arguments(match, options), message)
    names = "|".join(sorted(map(re.escape, options), key=len, reverse=True))
    if not names:
        return message
    argument = rf"{_QUOTED}|(?<![\w.\-/?&])({names})=({_VALUE})"
    message = re.sub(argument, lambda match: _option(match, options) if match[1] else match[0], message)
    # Alone, only a name that is no English word is meant for one.
    words = "|".join(sorted((re.escape(name) for name in options if "_" in name), key=len, reverse=True))
    if not words:
        return message
    alone = rf"{_QUOTED}|(?<![\w.\-/'\"])({words})(?![\w='\"/(]|\.\w)"
    return re.sub(alone, lambda match: options[match[1]][0] if match[1] else match[0], message)


def _options(parser: argparse.ArgumentParser) -> dict[str, tuple[str, bool]]:
    """Map Python's name to the option, and to whether it takes a value."""
    options: dict[str, tuple[str, bool]] = {}
    for action in parser._actions:  # noqa: SLF001 - argparse tells in no other way what a parser takes
        long = next((option for option in action.option_strings if option.startswith("--")), None)
        if long is None or long in ("--help", "--version"):
            continue
        for name in (long[2:].replace("-", "_"), action.dest, *_ALIASES.get(long, ())):
            options.setdefault(name, (long, action.nargs != 0))
    return options


def _option(match: re.Match[str], options: dict[str, tuple[str, bool]]) -> str:
    option, takes = options[match[1]]
    value = match[2]
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = re.sub(r"\\(.)", r"\1", value[1:-1])  # the text that a literal stands for
    return f"{option} {shlex.quote(value) if value != '…' else value}" if takes and value else option


def _arguments(match: re.Match[str], options: dict[str, tuple[str, bool]]) -> str:
    """Write what stands in a call's parentheses as options; what is no option is left out, such as the file itself."""
    arguments = list(re.finditer(rf"(\w+)=({_VALUE})", match[1]))
    flags = [_option(argument, options) for argument in arguments if argument[1] in options]
    return " ".join(flags) if flags else match[0] if arguments or not match[1] else match[1]
