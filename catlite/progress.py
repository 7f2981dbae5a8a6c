"""What is shown while many questions are worked on: how many are done, how fast, at what cost, how long still.

tqdm draws it: as a widget in a notebook, as a line on a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from catlite.data import Usage
from catlite.display import count, dollars

Progress = Callable[[int, int], None]


@contextmanager
def reporting(progress: bool | Progress | None, total: int) -> Iterator[Callable[[Usage], None]]:
    """Yields what is to be called after each of `total` questions, with what that one cost.

    progress: True shows a bar; a function is called with (questions done, questions); None and False do nothing.
    """
    done = 0

    def tell(_: Usage) -> None:
        nonlocal done
        done += 1
        if callable(progress):
            progress(done, total)

    if progress is not True:
        yield tell
        return
    from tqdm.auto import tqdm

    spent = Usage()
    with tqdm(total=total, unit="question", leave=False, dynamic_ncols=True) as bar:

        def draw(usage: Usage) -> None:
            nonlocal spent
            spent += usage
            bar.set_postfix_str(_cost(spent), refresh=False)
            bar.update()

        yield draw


def _cost(spent: Usage) -> str:
    """Dollars where every price is known, else tokens."""
    return dollars(spent.cost_usd) if spent.cost_usd else f"{count(spent.total_tokens)} tokens"
