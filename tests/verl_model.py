"""A stand-in for verl's server of the policy, and the rewards of its tests; Ray's workers import both by name."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import catlite
from catlite.errors import EstimationError

SIZE = 8


def replies_of(number):
    """Eight rollouts of a prompt, of which a different number agree."""
    agree = 3 + number % 5
    return [rf"So \boxed{{{number if at < agree else 1000 + at}}}" for at in range(SIZE)]


class Policy:
    """Replies to "Say 17" with the rollouts of 17, one a call; the sixth call of some prompts fails."""

    def __init__(self, tokenizer, broken):
        self.tokenizer = tokenizer
        self.broken = broken
        self.calls = Counter()

    async def generate(self, request_id, prompt_ids, sampling_params, **_):
        from verl.workers.rollout.replica import TokenOutput

        number = int(self.tokenizer.decode(prompt_ids).split("Say ")[1].split("<")[0])
        call = self.calls[number] % SIZE
        self.calls[number] += 1
        if number in self.broken and call == 5:
            raise RuntimeError("the server lost this rollout")
        text = replies_of(number)[call]
        ids = [*self.tokenizer.encode(text, add_special_tokens=False), self.tokenizer.eos_token_id]
        return TokenOutput(token_ids=ids, extra_fields={"min_global_steps": 0, "max_global_steps": 0})


def note(line):
    with Path(os.environ["VERL_TEST_ASKED"]).open("a") as file:
        file.write(f"{line}\n")


@dataclass(frozen=True)
class FailingVote:
    """A vote whose provider fails for every 20th prompt; it notes each group that it is asked for."""

    async def __call__(self, group):
        note(f"{group.example.id} {os.getpid()}")
        if int(group.example.id) % 20 == 7:
            raise EstimationError("the provider failed", group)
        return await catlite.MajorityVote()(group)


def failing_vote():
    return catlite.trl_reward(FailingVote(), answer_format="boxed")
