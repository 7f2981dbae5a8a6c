"""Last word: the offline task that a small model learns without labels, so that training can be watched on a laptop.

    {"prompt": [system "Answer.", "What is the last word: dog, cat, bird?" → "The last word is bird.",
                "What is the last word: stone, music, cloud, tiger?"], "answer": "tiger"}

Four different words out of 24, in any order, make 255,024 questions. A seed owns about a thousand of them, which no
other seed has: train on one seed and test on another, and no question is in both. Left out: other lengths of the list.
"""

from __future__ import annotations

import random

from catlite.data import Example, Task
from catlite.errors import ConfigError

_NOUNS = """
    apple bottle bridge candle cloud dragon engine feather forest garden hammer island
    ladder market mirror music needle paper pencil river silver stone tiger window
"""
WORDS = tuple(_NOUNS.split())
# The word after "word is", on the reply's first line, since a small model may run on with another one.
SENTENCE = r"(?i)\A[^\n]*?\bword is[ \t]+[\"'“‘*]*([a-z]+)"
SEEDS, MOST = 251, 1000  # 251 is prime to 24, 23, 22 and 21, so that every seed has all words at all places

# For anchors that need to see what reconciling means; their words are in no question.
WORKED_SYNTHESES = (
    (("The last word is bird.", "The last word is dog.", "The last word is bird."), "The last word is bird."),
    (("The last word is fox.", "The last word is horse.", "Last word: horse"), "The last word is horse."),
)


def last_word(count: int = 120, seed: int = 0) -> Task:
    """Make a task of questions such as "What is the last word: stone, music, cloud, tiger?", for trying out training.

    Two different seeds never share a question. A larger count of the same seed begins with the questions of a smaller.

    Args:
        count: the number of questions, 1 to 1,000; 120.
        seed: which questions, 0 to 250; 0.

    Returns:
        The Task, with answers and the format by which they are read.

    Raises:
        ConfigError: when count is not from 1 to 1,000, or seed not from 0 to 250.

    Example:
        >>> train_task, test_task = catlite.last_word(72), catlite.last_word(48, seed=1)
        >>> catlite.evaluate(test_task, "local", estimators=catlite.MajorityVote())
    """
    if type(count) is not int or not 1 <= count <= MOST:
        raise ConfigError(f"count={count!r}: last_word has 1 to {MOST:,} questions for a seed")
    if type(seed) is not int or not 0 <= seed < SEEDS:
        raise ConfigError(f"seed={seed!r}: want a whole number from 0 to {SEEDS - 1}; each has questions of its own")
    # Of all questions, numbered, the seed owns every 251st, beginning with its own number.
    numbers = list(range(seed, 24 * 23 * 22 * 21, SEEDS))
    random.Random(seed).shuffle(numbers)  # noqa: S311 - an order of questions, no secret
    return Task("last_word", tuple(_example(number) for number in numbers[:count]))


def _example(number: int) -> Example:
    left, words = list(WORDS), []
    for _ in range(4):
        number, place = divmod(number, len(left))
        words.append(left.pop(place))
    prompt = [
        {"role": "system", "content": "Answer."},
        {"role": "user", "content": "What is the last word: dog, cat, bird?"},
        {"role": "assistant", "content": "The last word is bird."},
        {"role": "user", "content": f"What is the last word: {', '.join(words)}?"},
    ]
    return Example(prompt, answer=words[-1], answer_format=SENTENCE, id="-".join(words))
