"""What the order of a judge's prompt saves: 8 rollouts by 6 criteria on the embedded server, in one run.

Ours shows instructions, rollout, then the criterion, and asks about a rollout's criteria one after the other, since
this server's cache is that of a slot. The naive order shows the criterion before the rollout, so only the
instructions repeat; it is measured one by one, and all at once. Counted is what the server itself says it
evaluated: prompt tokens without the cached ones. Then the calls of each mode, against a judge that always says yes.

    python benchmarks/judging.py
"""

from __future__ import annotations

import asyncio
import json
import re
import time

import catlite
from catlite import Criterion, Example, Group, Rollout, Rubric, ScriptedModel, Usage
from catlite.prompts.fence import fenced
from catlite.prompts.files import render
from catlite.rewards.judge import judge_group

CRITERIA = (
    "The response says that zinc and iron compete for absorption.",
    "The response advises taking them at different times of day.",
    "The response names a gap of at least two hours.",
    "The response tells the reader to ask a pharmacist or a physician.",
    "The response warns against stopping prescribed iron.",
    "The response mentions that food affects absorption.",
)
POINTS = (
    "Zinc and iron use the same transporter in the gut, so that taking them together lowers how much is absorbed.",
    "Most people can take one in the morning and the other in the evening.",
    "Two hours between them is a common rule, and coffee or tea close to iron is best avoided.",
    "A pharmacist can look at the doses, since a prescribed iron should not be stopped on one's own account.",
    "Zinc on an empty stomach makes some people feel sick, and a meal helps although it lowers absorption a little.",
)


def group() -> Group:
    """Eight replies of about 90 words, no two with the same beginning."""
    texts = [" ".join(POINTS[(start + step) % 5] for step in range(4)) for start in range(5)]
    texts += [" ".join(POINTS[(start - step) % 5] for step in range(4)) for start in range(3)]
    return Group(Example("Can I take zinc with iron?"), tuple(map(Rollout, texts)))


async def naive(judge: catlite.Endpoint, rollouts: Group, rubric: Rubric, *, at_once: bool) -> Usage:
    """The same texts and questions, with the criterion before the response."""

    async def ask(rollout: Rollout, criterion: Criterion) -> Usage | None:
        tag, shown = fenced([rollout.text], "response")
        question, reply_in = render("judge_soft", criterion=criterion.text).split("\n\n")
        instructions = render("judge", conversation="", tag=tag, response="")
        content = f"{instructions}\n\n{question}\n\n{shown}\n\n{reply_in}"
        sampling = {"temperature": 0.0, "max_tokens": 1, "logprobs": True, "top_logprobs": 20}
        (reply,) = await judge.sample([{"role": "user", "content": content}], 1, **sampling)
        return reply.usage

    pairs = [(rollout, criterion) for rollout in rollouts.rollouts for criterion in rubric.criteria]
    if at_once:
        return Usage.total(await asyncio.gather(*(ask(*pair) for pair in pairs)))
    return Usage.total([await ask(*pair) for pair in pairs])


async def measured(rollouts: Group, rubric: Rubric) -> list[tuple[str, Usage, float]]:
    """Each way on a server of its own, which starts with an empty cache."""
    found = []
    for name in ("catlite", "criterion first, one by one", "criterion first, all at once"):
        async with catlite.embedded() as judge:
            started = time.perf_counter()
            if name == "catlite":
                usage = (await judge_group(judge, rollouts, rubric, mode="soft")).usage
            else:
                usage = await naive(judge, rollouts, rubric, at_once="all" in name)
            found.append((name, usage, time.perf_counter() - started))
    return found


def calls(rollouts: Group, rubric: Rubric, mode: str) -> int:
    """Requests of a mode when every verdict can be read."""

    def yes(prompt, i):  # noqa: ARG001 - what a script is called with
        numbers = re.findall(r"^(\d+)\. ", prompt[0]["content"].split("Criteria:")[-1], re.MULTILINE)
        entries = [{"criterion": int(number), "reason": "r", "met": True} for number in numbers]
        return json.dumps({"verdicts": entries} if entries else {"reason": "r", "met": True})

    judge = ScriptedModel(yes)
    asyncio.run(judge_group(judge, rollouts, rubric, mode=mode))
    return len(judge.calls)


def main() -> None:
    rollouts, rubric = group(), Rubric(tuple(map(Criterion, CRITERIA)))
    found = asyncio.run(measured(rollouts, rubric))
    print("| order | requests | prompt tokens | evaluated | seconds |\n|---|---|---|---|---|")
    for name, usage, seconds in found:
        evaluated = usage.prompt_tokens - usage.cached_tokens
        print(f"| {name} | {usage.requests} | {usage.prompt_tokens:,} | {evaluated:,} | {seconds:.1f} |")
    ours, *others = (usage.prompt_tokens - usage.cached_tokens for _, usage, _ in found)
    shares = ", ".join(f"{ours / other:.2f} of {name}" for (name, *_), other in zip(found[1:], others, strict=True))
    print(f"\nevaluated: {shares}")
    single, batch = (calls(rollouts, rubric, mode) for mode in ("single", "batch"))
    print(f"calls: {single} in mode single, {batch} in mode batch ({batch / single:.3f})")


if __name__ == "__main__":
    main()
