"""What the library says, in the words of the command line: `base_url=` is --base-url there.

Messages are written for Python, where most of them are read. Left out: names that are no option of the command.
"""

from __future__ import annotations

import argparse
import re
import shlex

# Names that an option has in Python, where that is not the option's own.
_ALIASES = {
    "--n": ("n", "num_generations"),
    "--max-tokens": ("max_tokens", "max_completion_tokens", "max_completion_length"),
    "--run": ("run", "folder"),
    "--limit": ("limit", "count"),
    "--estimators": ("estimators",),
    "--repeats": ("n_repeats",),
}
_VALUE = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|…|[^\s,;:()'"]*"""
_BUILT = re.compile(
    r"(?:catlite\.)?\b(?:from_records|gsm8k|math500|healthbench|times_tables)\(((?:[^()]|\([^()]*\))*)\)"
)
_SAYINGS = (
    # What has no option, in words that need none.
    (re.compile(r"; or give from_records\([\w.]+\(path\)\)"), "; or convert it to one of these"),
    (re.compile(r", or synthesize\(\) for one\b"), ""),
    (re.compile(r"such as healthbench\(\), or RubricReward, which proposes one"), "such as healthbench"),
    (re.compile(r"\bBudget\((\w+)=([^()]*)\)"), r"--budget-\1 \2"),
    (re.compile(r" or evaluate\(…, run=[^()]*\)"), ""),
    (re.compile(r"reward=RubricReward\([^()]*\)"), "--reward rubric"),
    (re.compile(r", or None for [\w ]+"), ""),
    (re.compile(r"the same call with\b"), "the same command with"),
    (re.compile(r"\bthe same call\b"), "the same command"),
)


def in_flags(message: str, parser: argparse.ArgumentParser) -> str:
    """`message` with the options of `parser` in place of Python's arguments.

    Args:
        message: what an error or a note says.
        parser: of the command that was called.

    Returns:
        The message, otherwise as it was.

    Example:
        >>> in_flags("n=0: ask for at least one rollout", parser)
        '--n 0: ask for at least one rollout'
    """
    options = _options(parser)
    for pattern, instead in _SAYINGS:
        message = pattern.sub(instead, message)
    message = _BUILT.sub(lambda match: _arguments(match, options), message)
    names = "|".join(sorted(map(re.escape, options), key=len, reverse=True))
    if not names:
        return message
    message = re.sub(rf"(?<![\w.\-/?&])({names})=({_VALUE})", lambda match: _option(match, options), message)
    # Alone, only a name that is no English word is meant for one.
    words = "|".join(sorted((re.escape(name) for name in options if "_" in name), key=len, reverse=True))
    if not words:
        return message
    return re.sub(rf"(?<![\w.\-/'\"])({words})(?![\w='\"/(]|\.\w)", lambda match: options[match[1]][0], message)


def _options(parser: argparse.ArgumentParser) -> dict[str, tuple[str, bool]]:
    """By Python's name: the option, and whether it takes a value."""
    options: dict[str, tuple[str, bool]] = {}
    for action in parser._actions:  # noqa: SLF001 - argparse tells in no other way what a parser takes
        long = next((option for option in action.option_strings if option.startswith("--")), None)
        if long is None or long in ("--help", "--version"):
            continue
        takes = action.nargs != 0
        for name in (*_ALIASES.get(long, (action.dest,)), long[2:].replace("-", "_")):
            options.setdefault(name, (long, takes))
    return options


def _option(match: re.Match[str], options: dict[str, tuple[str, bool]]) -> str:
    option, takes = options[match[1]]
    value = _unquoted(match[2])
    return f"{option} {shlex.quote(value) if value != '…' else value}" if takes and value else option


def _arguments(match: re.Match[str], options: dict[str, tuple[str, bool]]) -> str:
    """The options for what stands in a call's parentheses; what is no option is left out, such as the file itself."""
    given = re.findall(rf"(\w+)=({_VALUE})", match[1])
    told = [_option(one, options) for one in re.finditer(rf"(\w+)=({_VALUE})", match[1]) if one[1] in options]
    return " ".join(told) if told else match[0] if given or not match[1] else match[1]


def _unquoted(value: str) -> str:
    """The text that a literal stands for."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value
