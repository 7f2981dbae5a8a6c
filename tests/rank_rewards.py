"""The rows of a trainer, shared out over ranks, and the cases in which something goes wrong; torchrun.py starts it."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from catlite import Budget, MajorityVote, trl_reward

FORMAT = r"is (\w+)"
GROUP, QUESTIONS = 4, 6
WORDS = ("a", "b", "a", "c", "b")


def all_rows():
    """What TRL sends for one step, on one rank."""
    ids = [f"q{number // GROUP}" for number in range(GROUP * QUESTIONS)]
    texts = [f"it is {WORDS[number * number % 5]}" for number in range(len(ids))]
    return {"prompts": ids, "completions": texts, "completion_ids": [[1] * len(text) for text in texts], "qid": ids}


def part_of(rows, sizes, rank):
    """The rows of a rank, where each has as many as `sizes` says."""
    first = sum(sizes[:rank])
    return {name: values[first : first + sizes[rank]] for name, values in rows.items()}


class Rewarded:
    """A reward function and what the trainer can see of its calls."""

    def __init__(self, **settings):
        self.groups = 0
        self.function = trl_reward(MajorityVote(), self.odd, num_generations=GROUP, answer_format=FORMAT, **settings)

    async def odd(self, group, reference):
        """Rewards that are no round numbers, and none for the last rollout."""
        self.groups += 1
        *first, _ = (len(rollout.text) / 7 + (rollout.answer == reference.answer) / 3 for rollout in group.rollouts)
        return [*first, None]

    def __call__(self, rows):
        metrics, shown = {}, []
        rewards = self.function(
            **rows, log_metric=metrics.__setitem__, log_extra=lambda _, values: shown.extend(values)
        )
        return {"rewards": rewards, "metrics": metrics, "shown": shown}


def main():
    """Run all cases on this rank; the last one kills the rank that the command line names."""
    from torch import distributed
    from torchrun import Notes

    from catlite.training.trl import ranks

    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    notes, rows = Notes(), all_rows()
    cases = {
        2: {"whole": [12, 12], "split": [10, 14], "empty": [24, 0]},
        4: {"whole": [8, 4, 8, 4], "split": [6, 6, 6, 6], "empty": [1, 10, 13, 0]},
    }[world]
    for name, sizes in cases.items():
        rewarded = Rewarded(run=Path(sys.argv[1]) / name, budget=Budget(requests=1))
        notes.note(name, lambda rewarded=rewarded, sizes=sizes: rewarded(part_of(rows, sizes, rank)))
        notes.note(f"{name}, groups", lambda rewarded=rewarded: rewarded.groups)
    columns = part_of(rows, cases["split"], rank)

    async def one_reward(group, reference):
        return [1.0]

    async def two_awaited():
        _, rewards = await asyncio.gather(*(Rewarded().function(**columns) for _ in range(2)))
        return rewards

    notes.note("awaited", lambda: asyncio.run(two_awaited()))
    wrong = trl_reward(MajorityVote(), one_reward, num_generations=GROUP, answer_format=FORMAT)
    notes.note("wrong reward", lambda: wrong(**columns))
    broken = {**columns, "completions": [None] * len(columns["qid"])} if rank == 1 else columns
    notes.note("broken rows", lambda: Rewarded()(broken))
    notes.note("half a group", lambda: Rewarded()(part_of(rows, [6] + [0] * (world - 1), rank)))
    time.sleep(0.3 * rank)
    notes.note("slow", lambda: Rewarded()(columns)["rewards"])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # by which torchrun ends the others: they have something to say first

    async def die(group, reference):
        os.kill(os.getpid(), signal.SIGKILL)

    if sys.argv[2] == "at work":
        deadly = trl_reward(MajorityVote(), die, num_generations=GROUP, answer_format=FORMAT)
        notes.note("killed", lambda: deadly(**columns))
    elif rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        notes.note("killed", lambda: Rewarded()(columns))
    ranks.SLACK = 0.1
    if rank == 0:
        hasty = trl_reward(MajorityVote(), num_generations=GROUP, answer_format=FORMAT, timeout=0.1)
        notes.note("absent", lambda: hasty(**columns))
    sys.exit(3)


if __name__ == "__main__":
    main()
