r"""Final answers: read one from a reply, decide whether two say the same, and put those of a vote into classes.

docs/answers.md states the policy. `extract` reads the last box, else the last line that announces an answer; thinking
is set apart first (`without_thinking`, `split_thinking`). `compare` takes two answers apart from the outside in
(choices, lists, names, intervals, quantities) and compares what is left as exact numbers, as words, or as expressions,
by Math-Verify (Kydlíček, Hugging Face, 2025) in a child process that may take LIMIT_SECONDS of processor time:
hostile answers sit in C code that neither a signal nor a thread can stop. None means undecided. Every scan is linear.

Left out: reading an answer out of prose that announces none, and converting units (1 m is not 100 cm).
"""

from catlite.answers.comparing import LIMIT_SECONDS, MAX_LENGTH, acompare, compare, equivalent, known
from catlite.answers.extraction import check_format, extract
from catlite.answers.thinking import split_thinking, without_thinking
from catlite.answers.voting import aclass_of, aclasses, aspokesman, class_of, classes, support

__all__ = [
    "LIMIT_SECONDS",
    "MAX_LENGTH",
    "aclass_of",
    "aclasses",
    "acompare",
    "aspokesman",
    "check_format",
    "class_of",
    "classes",
    "compare",
    "equivalent",
    "extract",
    "known",
    "split_thinking",
    "support",
    "without_thinking",
]
