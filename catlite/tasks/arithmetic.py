r"""Arithmetic: questions made anew for each seed, which no model can have seen: a clean set beside MATH-500.

    {"prompt": [system "Answer.", "What is (3 + 4) × 2?" → "(3 + 4) × 2 = 7 × 2 = \boxed{14}",
                "What is 12 × (34 - 57)?"], "answer": "-276"}

Rewards that teach nothing raise MATH-500, which some models know by heart, and not sums that nobody has written down:
so RandomCalculation found (arXiv 2507.10532 §4), after whose manner these expressions are made. Left out: its
fractions, powers and divisions, so that every answer is a whole number.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Callable

from catlite.checks import whole_number
from catlite.data import Example, Task
from catlite.errors import ConfigError

_LEAST, _NUMBERS = 2, 98  # 2 to 99
_SIGNS: tuple[tuple[str, Callable[[int, int], int]], ...] = (
    ("+", operator.add),
    ("-", operator.sub),
    ("×", operator.mul),
)
SEEDS, STEPS = 101, 20  # 101 is prime to 98, 3 and 2, so that every seed has all numbers and signs at all places

# For anchors that need to see what reconciling means; their expressions are in no question.
WORKED_SYNTHESES = (
    ((r"1 + 1 = \boxed{2}", r"1 + 1 = \boxed{11}", r"1 + 1 = \boxed{2}"), r"1 + 1 = \boxed{2}"),
    ((r"1 + 5 - 1 = 6 - 1 = \boxed{5}", r"\boxed{7}", r"1 + 5 - 1 = \boxed{5}"), r"1 + 5 - 1 = 6 - 1 = \boxed{5}"),
)


def arithmetic(count: int = 120, seed: int = 0, *, steps: int = 2) -> Task:
    r"""Make a task of questions such as "What is 12 × (34 - 57)?", answered in `\boxed{}` (after arXiv 2507.10532 §4).

    Two different seeds never share a question of as many steps. A larger count of the same seed begins with the
    questions of a smaller.

    Args:
        count: the number of questions, at least 1; 120. With one step a seed has 285.
        seed: which questions, 0 to 100; 0.
        steps: how many numbers are added, subtracted or multiplied to the first one, 1 to 20; 2.

    Returns:
        The Task, with answers and the format by which they are read.

    Raises:
        ConfigError: when count, seed or steps is out of range.

    Example:
        >>> train_task, test_task = catlite.arithmetic(200, steps=3), catlite.arithmetic(100, seed=1, steps=3)
        >>> catlite.evaluate(test_task, "gpt-4o-mini", estimators=catlite.MajorityVote())
    """
    whole_number("count", count)
    whole_number("seed", seed, 0, SEEDS - 1, "; each has questions of its own")
    whole_number("steps", steps, 1, STEPS)
    # Of all questions, numbered, the seed owns every 101st, beginning with its own number.
    every = _NUMBERS * 3 * _NUMBERS * (2 * 3 * _NUMBERS) ** (steps - 1)
    owned = (every - seed - 1) // SEEDS + 1
    if count > owned:
        raise ConfigError(f"count={count}: a seed has {owned:,} questions of {steps} step{'s' * (steps > 1)}")
    draw = random.Random(seed)  # noqa: S311 - an order of questions, no secret
    numbers: dict[int, None] = {}  # keeps the order
    while len(numbers) < count:
        numbers[seed + SEEDS * draw.randrange(owned)] = None
    return Task("arithmetic", tuple(_example(number, steps) for number in numbers))


def _example(number: int, steps: int) -> Example:
    number, place = divmod(number, _NUMBERS)
    value = _LEAST + place
    text = str(value)
    for step in range(steps):
        number, place = divmod(number, _NUMBERS)
        number, sign = divmod(number, len(_SIGNS))
        number, ahead = divmod(number, 2) if step else (number, 0)
        word, apply = _SIGNS[sign]
        other, shown = _LEAST + place, f"({text})" if step else text
        text = f"{other} {word} {shown}" if ahead else f"{shown} {word} {other}"
        value = apply(other, value) if ahead else apply(value, other)
    prompt = [
        {"role": "system", "content": "Answer."},
        {"role": "user", "content": "What is (3 + 4) × 2?"},
        {"role": "assistant", "content": r"(3 + 4) × 2 = 7 × 2 = \boxed{14}"},
        {"role": "user", "content": f"What is {text}?"},
    ]
    return Example(prompt, answer=str(value), answer_format="boxed", id=text)
