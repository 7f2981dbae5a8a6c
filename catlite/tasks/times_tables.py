"""Times tables: the offline task on which one sample of the embedded model and a group of them really differ.

    {"prompt": [system "Answer.", "What is 2 times 10?" → "2 times 10 is 20.", "What is 6 times 7?"], "answer": "42"}

Factors are 4 to 12: 81 questions. The answer is read out of a sentence.
"""

from __future__ import annotations

import random

from catlite.checks import whole_number
from catlite.data import Example, Task

_FACTORS = range(4, 13)
# "6 times 7 is 42." The first number after "is", "equals" or "=", since a small model may run on with another line; not
# the beginning of a fraction.
SENTENCE = r"\A[^\n]*?(?:\bis|\bequals|=)[ \t]*(\d[\d,]*)(?![\d,]|\.\d)"

# For anchors that need to see what reconciling means; no question of the task has both factors of one of them.
WORKED_SYNTHESES = (
    (("2 times 10 is 20.", "2 times 10 is 12.", "2 times 10 is 20."), "2 times 10 is 20."),
    (("3 times 13 is 36.", "3 times 13 is 39.", "3 × 13 = 39"), "3 times 13 is 39."),
)


def times_tables(limit: int | None = None, seed: int = 0) -> Task:
    """Make a task of the 81 products from 4 × 4 to 12 × 12, for trying out: small models find them hard enough.

    Args:
        limit: that many questions, 1 to 81, drawn without repetition by `seed`; None takes all in order.
        seed: of that draw, a whole number; 0.

    Returns:
        The Task.

    Raises:
        ConfigError: when limit is not from 1 to 81, or seed is not a whole number.

    Example:
        >>> catlite.evaluate(catlite.times_tables(16), "local", estimators=catlite.MajorityVote())
    """
    pairs = [(a, b) for a in _FACTORS for b in _FACTORS]
    if limit is not None:
        whole_number("limit", limit, 1, len(pairs), ": times tables has so many questions")
        whole_number("seed", seed, None)
        pairs = random.Random(seed).sample(pairs, limit)  # noqa: S311 - a draw of questions, no secret
    return Task("times_tables", tuple(_example(a, b) for a, b in pairs))


def _example(a: int, b: int) -> Example:
    prompt = [
        {"role": "system", "content": "Answer."},
        {"role": "user", "content": "What is 2 times 10?"},
        {"role": "assistant", "content": "2 times 10 is 20."},
        {"role": "user", "content": f"What is {a} times {b}?"},
    ]
    return Example(prompt, answer=str(a * b), answer_format=SENTENCE, id=f"{a}x{b}")
