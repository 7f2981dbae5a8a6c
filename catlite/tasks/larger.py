"""Larger: the offline task on which a small model's own votes teach a wrong rule, though labels teach the right one.

    {"prompt": [system "Answer.", "Which is larger, 3 or 8?" → "8 is larger.", "Which is larger, 34 or 57?"],
     "answer": "57"}

Two different numbers from 10 to 99 make 4,005 pairs. A seed owns about 130 of them, which no other seed has in either
order: train on one seed and test on another, and no pair is in both. Left out: other numbers.
"""

from __future__ import annotations

import itertools
import random

from catlite.checks import whole_number
from catlite.data import Example, Task

# The first number of the reply, on its first line, since a small model may run on with another question.
SENTENCE = r"\A[^\n\d]*(\d+)"
SEEDS, MOST = 31, 129  # 31 is prime to the number of pairs, so that every seed has large and small numbers

# For anchors that need to see what reconciling means; their numbers are in no question.
WORKED_SYNTHESES = (
    (("7 is larger.", "2 is larger.", "7 is larger."), "7 is larger."),
    (("4 is larger.", "9 is larger.", "Larger: 9"), "9 is larger."),
)


def larger(count: int = 120, seed: int = 0) -> Task:
    """Make a task of questions such as "Which is larger, 34 or 57?", on which a label-free reward can be seen to fail.

    Two different seeds never share a pair of numbers. A larger count of the same seed begins with the questions of a
    smaller.

    Args:
        count: the number of questions, 1 to 129; 120.
        seed: which questions, 0 to 30; 0.

    Returns:
        The Task, with answers and the format by which they are read.

    Raises:
        ConfigError: when count is not from 1 to 129, or seed not from 0 to 30.

    Example:
        >>> train_task, test_task = catlite.larger(72), catlite.larger(48, seed=1)
        >>> catlite.evaluate(test_task, "local", estimators=catlite.MajorityVote())
    """
    whole_number("count", count, 1, MOST, ": larger has so many questions for a seed")
    whole_number("seed", seed, 0, SEEDS - 1, "; each has questions of its own")
    # Of all pairs, numbered, the seed owns every 31st, beginning with its own number.
    pairs = list(itertools.islice(itertools.combinations(range(10, 100), 2), seed, None, SEEDS))
    draw = random.Random(seed)  # noqa: S311 - an order of questions, no secret
    draw.shuffle(pairs)
    return Task("larger", tuple(_example(*draw.sample(pair, 2)) for pair in pairs[:count]))


def _example(first: int, second: int) -> Example:
    prompt = [
        {"role": "system", "content": "Answer."},
        {"role": "user", "content": "Which is larger, 3 or 8?"},
        {"role": "assistant", "content": "8 is larger."},
        {"role": "user", "content": f"Which is larger, {first} or {second}?"},
    ]
    return Example(prompt, answer=str(max(first, second)), answer_format=SENTENCE, id=f"{first}-{second}")
