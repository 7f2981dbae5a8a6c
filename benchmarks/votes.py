"""How far a vote can be trusted, on rollouts whose right answers are known: plain, abstaining and soft votes.

    python benchmarks/votes.py rollouts.jsonl     # lines with "problem", "gold" and "responses", answers in \\boxed{}
    python benchmarks/votes.py runs/math          # or the folder of an evaluation

Nothing is sampled. The first table has a row per threshold: the share of questions that MajorityVote(min_agreement=…)
answers, which is also the share of calls that Synthesis(when_agreement_below=…) spares, its accuracy there, and how far
that lies above the plain vote's on all questions, which is also the plain vote's on as many questions drawn at random.
The second table asks of each reward how often it puts a right rollout of a group above a wrong one (ties count half).
± is the standard error over questions.
"""

import argparse
import asyncio
import json
import random
from pathlib import Path
from statistics import fmean

import catlite
from catlite.averages import mean_and_error
from catlite.rewards.answer_match import GOLD

THRESHOLDS = ((0.0, 0.0), (0.375, 0.25), (0.5, 0.0), (0.75, 0.0), (1.0, 0.0))  # the second are SCRL's, for 8 rollouts
RESAMPLES = 2000


def read_groups(path):
    """The groups of rollouts at `path`, their examples with the right answers."""
    if Path(path).is_dir():
        return [group for group in catlite.Evaluation.load(path).groups if group.rollouts]
    groups = []
    for line in Path(path).read_text("utf-8").splitlines():
        row = json.loads(line)
        example = catlite.Example(row["problem"], row["gold"], answer_format="boxed")
        rollouts = tuple(catlite.Rollout(text, example.parse(text)) for text in row["responses"])
        groups.append(catlite.Group(example, rollouts))
    return groups


async def is_right(group, reference):
    """1.0 where the reference has the right answer, else 0.0."""
    gold = catlite.Reference(group.example.answer, group.example.answer, GOLD, group)
    return (await catlite.AnswerMatch()(reference.alone, gold))[0] or 0.0


async def thresholds(groups):
    """Print a row for each threshold of the vote."""
    plain = [await is_right(group, await catlite.MajorityVote()(group)) for group in groups]
    print("min_agreement  min_margin  answered        right of these   above the plain vote")
    for agreement, margin in THRESHOLDS:
        references = [await catlite.MajorityVote(agreement, margin)(group) for group in groups]
        answered = [not reference.abstained for reference in references]
        draw = random.Random(0)
        gains = []
        for _ in range(RESAMPLES):
            picked = draw.choices(range(len(groups)), k=len(groups))
            kept = [plain[at] for at in picked if answered[at]]
            if kept:
                gains.append(fmean(kept) - fmean(plain[at] for at in picked))
        kept = [right for right, known in zip(plain, answered, strict=True) if known]
        if len(gains) < 2:
            print(f"{agreement:<13g}  {margin:<10g}  none answered")
            continue
        coverage, accuracy = mean_and_error([float(known) for known in answered]), mean_and_error(kept)
        mean = fmean(gains)
        error = (sum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1)) ** 0.5
        print(
            f"{agreement:<13g}  {margin:<10g}  {coverage[0]:.3f} ± {coverage[1]:.3f}   {accuracy[0]:.3f} ± "
            f"{accuracy[1]:.3f}    {fmean(kept) - fmean(plain):+.3f} ± {error:.3f}"
        )


async def rewards(groups):
    """Print how well rewards order right and wrong rollouts, in the groups that have both."""
    hard, soft, gains = [], [], []
    for group in groups:
        gold = catlite.Reference(group.example.answer, group.example.answer, GOLD, group)
        right = await catlite.AnswerMatch()(group, gold)
        if not {0.0, 1.0} <= set(right):
            continue
        reference = await catlite.MajorityVote()(group)
        for reward, scores in ((catlite.AnswerMatch(), hard), (catlite.VoteShare(), soft)):
            values = await reward(group, reference)
            pairs = [
                (a, b)
                for a, x in zip(values, right, strict=True)
                for b, y in zip(values, right, strict=True)
                if x and not y
            ]
            scores.append(fmean(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs))
        gains.append(soft[-1] - hard[-1])
    print(f"\nright above wrong, {len(hard)} groups with both")
    for name, scores in (("plain vote", hard), ("VoteShare", soft), ("difference", gains)):
        mean, error = mean_and_error(scores)
        print(f"{name:<12}{mean:.3f} ± {error:.3f}")


async def main():
    """Read the rollouts and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rollouts", help="a JSONL file, or the folder of an evaluation")
    groups = read_groups(parser.parse_args().rollouts)
    print(f"{len(groups)} questions, {len(groups[0].rollouts)} rollouts each\n")
    await thresholds(groups)
    await rewards(groups)


if __name__ == "__main__":
    asyncio.run(main())
