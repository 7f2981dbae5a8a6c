"""What a rubric's settings are worth (arXiv 2509.14234 App. A): source and number of criteria, judge, and its mode.

The rollouts of a finished evaluation are judged anew under each setting. All four functions return the table that
`rubric_source_ablation` describes. Left out: training a policy under each setting.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from catlite import concurrency
from catlite.analysis.agreement import spearman
from catlite.averages import over_questions
from catlite.checks import whole_number
from catlite.data import Judgement, Reward
from catlite.errors import ConfigError
from catlite.experiments.rejudging import Key, Outcomes, Rewards, Variant, rejudge
from catlite.results import Evaluation
from catlite.rewards.rubric import ExpertRubric, RubricReward
from catlite.runs.budget import Budget
from catlite.text import data_frame
from catlite.usage import Usage

if TYPE_CHECKING:
    import pandas as pd

Judged = dict[Key, Judgement]


async def arubric_source_ablation(
    evaluation: str | Path | Evaluation,
    reward: RubricReward,
    *,
    system: str | None = None,
    gold: Reward | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
) -> pd.DataFrame:
    """Compare criteria proposed from the reference, as in the paper, with criteria from the question (App. A.2).

    To be awaited: `rubric_source_ablation` is the same, blocking.

    Args:
        evaluation: a finished one, or the folder of its run, with its groups; nothing is sampled or estimated anew.
        reward: a RubricReward, whose proposer and judge are asked under every setting.
        system: the estimator whose references are used; None is the only one that has any.
        gold: a reward taken as right, such as ExpertRubric(judge); None is the evaluation's own scores of its rollouts.
        run: a folder in which replies are kept; with that of the evaluation, nothing in it is asked again.
        budget: a hard cap on these calls; None for none.

    Returns:
        A DataFrame with a row per setting. Columns: variant; reward, the mean; criteria, how many a rubric has;
        separating, the share of criteria whose verdicts differ inside a group; separated_pairs, the share of pairs of
        rollouts with different rewards; coverage, the share of verdicts that could be had; gold and base, Spearman's
        correlation inside a group with the gold scores and with the first row, over gold_groups and base_groups in
        which both vary; gold_difference, of `gold` against the first row, paired; agreement, the share of verdicts
        as in the first row, where the criteria are the same; each with its standard error over questions as …_se.
        calls, tokens and cost_usd of one setting alone, its proposals included and `gold` not; questions; failed
        groups; error, the first reason.

    Raises:
        ConfigError: before anything is sent, for an evaluation without groups or references, a reward that proposes no
            rubric, or a `gold` that examples lack something for, such as experts' rubrics.
        RubricError, ModelError: when nothing could be judged.

    Example:
        >>> reward = catlite.RubricReward(anchor, judge)
        >>> await catlite.experiments.rubrics.arubric_source_ablation("runs/hb", reward, run="runs/hb")
    """
    _check_reward(reward, RubricReward)
    variants = {
        "from the reference": Variant(replace(reward, from_question=False)),
        "from the question": Variant(replace(reward, from_question=True, from_rollouts=0)),
    }
    return _table(await rejudge(evaluation, variants, system, gold, run, budget))


rubric_source_ablation = concurrency.blocking(arubric_source_ablation)


async def arubric_size_ablation(
    evaluation: str | Path | Evaluation,
    reward: RubricReward,
    sizes: Sequence[int] = (3, 5, 10),
    *,
    system: str | None = None,
    gold: Reward | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
) -> pd.DataFrame:
    """Compare rubrics of more and of fewer criteria: the first ones of one rubric (App. A).

    To be awaited: `rubric_size_ablation` is the same, blocking.

    One rubric of as many criteria as the largest size is proposed per reference, the most important first. Each
    criterion is judged once, except in the modes "batch" and "holistic", whose calls show all criteria of a size.

    Args:
        evaluation: as in `rubric_source_ablation`.
        reward: a RubricReward; its `fewest`, `most` and `dropout` do not count here.
        sizes: numbers of criteria, at least two; 3, 5 and 10.
        system: as in `rubric_source_ablation`.
        gold: as there.
        run: as there.
        budget: as there.

    Returns:
        A DataFrame with the columns of `rubric_source_ablation` and a row per size, the largest first.

    Raises:
        ConfigError: as there, and for sizes that are not different whole numbers.

    Example:
        >>> reward = catlite.RubricReward(anchor, judge)
        >>> await catlite.experiments.rubrics.arubric_size_ablation("runs/hb", reward, (2, 4, 8), run="runs/hb")
    """
    _check_reward(reward, RubricReward)
    _check_different("sizes", sizes)
    for size in sizes:
        whole_number("sizes", size, hint=", of criteria")
    same = replace(reward, fewest=max(sizes), most=max(sizes), dropout=0.0)
    variants = {f"{size} criteria": Variant(same, size) for size in sorted(sizes, reverse=True)}
    return _table(await rejudge(evaluation, variants, system, gold, run, budget))


rubric_size_ablation = concurrency.blocking(arubric_size_ablation)


async def ajudge_ablation(
    evaluation: str | Path | Evaluation,
    reward: RubricReward | ExpertRubric,
    judges: Sequence[Any] | Mapping[str, Any],
    *,
    system: str | None = None,
    gold: Reward | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
) -> pd.DataFrame:
    """Compare the judge of a reward with others, such as smaller ones, on the same rubrics (App. A).

    To be awaited: `judge_ablation` is the same, blocking.

    Args:
        evaluation: as in `rubric_source_ablation`.
        reward: a RubricReward or ExpertRubric; its own judge is the first row.
        judges: other models or their names, as in `synthesize`; a mapping gives them the names for the table.
        system: as in `rubric_source_ablation`; an ExpertRubric needs no references.
        gold: as there.
        run: as there.
        budget: as there.

    Returns:
        A DataFrame with the columns of `rubric_source_ablation` and a row per judge.

    Raises:
        ConfigError: as there, and for no judge, or one that is there twice.

    Example:
        >>> reward = catlite.RubricReward("gpt-4o-mini", "gpt-4o")
        >>> await catlite.experiments.rubrics.ajudge_ablation("runs/hb", reward, ["gpt-4o-mini"], run="runs/hb")
    """
    _check_reward(reward, RubricReward, ExpertRubric)
    if isinstance(judges, str) or not isinstance(judges, Sequence | Mapping):
        raise ConfigError(f"judges={judges!r:.60}: want a list of models or their names, or a mapping from names")
    others = [replace(reward, judge=judge) for judge in (judges.values() if isinstance(judges, Mapping) else judges)]
    names = list(judges) if isinstance(judges, Mapping) else [other.judge.name for other in others]
    _check_different("judges, the reward's own first", [reward.judge.name, *names])
    if len({id(other.judge) for other in (reward, *others)}) <= len(others):
        raise ConfigError(f"judges={names}: one of them is there twice, or is the reward's own judge")
    judging = zip([reward.judge.name, *names], [replace(reward), *others], strict=True)
    variants = {name: Variant(variant) for name, variant in judging}
    return _table(await rejudge(evaluation, variants, system, gold, run, budget))


judge_ablation = concurrency.blocking(ajudge_ablation)


async def ajudge_mode_ablation(
    evaluation: str | Path | Evaluation,
    reward: RubricReward | ExpertRubric,
    modes: Sequence[str] = ("single", "batch"),
    *,
    system: str | None = None,
    gold: Reward | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
) -> pd.DataFrame:
    """Compare one criterion a call, as in the paper, with all criteria in one, on the same rubrics (App. A).

    To be awaited: `judge_mode_ablation` is the same, blocking.

    Args:
        evaluation: as in `rubric_source_ablation`.
        reward: a RubricReward or ExpertRubric, whose own mode does not count here.
        modes: at least two of "single", "batch", "soft", "levels" and "holistic"; "single" and "batch".
        system: as in `rubric_source_ablation`; an ExpertRubric needs no references.
        gold: as there.
        run: as there.
        budget: as there.

    Returns:
        A DataFrame with the columns of `rubric_source_ablation` and a row per mode.

    Raises:
        ConfigError: as there, and for an unknown mode, or one that is there twice.

    Example:
        >>> reward = catlite.RubricReward(anchor, judge)
        >>> await catlite.experiments.rubrics.ajudge_mode_ablation("runs/hb", reward, run="runs/hb")
    """
    _check_reward(reward, RubricReward, ExpertRubric)
    _check_different("modes", modes)
    # The reward checks the mode.
    variants = {mode: Variant(replace(reward, mode=mode)) for mode in modes}  # type: ignore[arg-type]
    return _table(await rejudge(evaluation, variants, system, gold, run, budget))


judge_mode_ablation = concurrency.blocking(ajudge_mode_ablation)


def _check_reward(reward: Any, *kinds: type) -> None:
    if not isinstance(reward, kinds):
        names = " or ".join(f"{kind.__name__}(…)" for kind in kinds)
        raise ConfigError(f"reward={reward!r:.80}: want {names}, whose settings are compared")


def _check_different(name: str, settings: Sequence[Any]) -> None:
    """Raise ConfigError unless there are two settings or more, none of them twice."""
    if isinstance(settings, str) or not isinstance(settings, Sequence) or not 1 < len(settings) == len(set(settings)):
        raise ConfigError(f"{name}={settings!r:.80}: want at least two to compare, each once")


def _table(results: tuple[Mapping[str, Outcomes], Mapping[Key, Rewards]]) -> pd.DataFrame:
    """A row per setting, compared with the gold scores and with the first setting."""
    settings, gold = results
    base = _judged(next(iter(settings.values())))
    rows = []
    for number, (name, outcomes) in enumerate(settings.items()):
        judged = _judged(outcomes)
        rated = [key for key, judgement in judged.items() if _known(judgement)]
        errors = [str(outcome) for outcome in outcomes.values() if not isinstance(outcome, Judgement)]
        errors += [(*judged[key].notes, "no rollout has a reward")[0] for key in judged if key not in rated]
        verdicts = [met for judgement in judged.values() for met in _verdicts(judgement)]
        usage = Usage.total(outcome.usage for outcome in outcomes.values() if outcome.usage is not None)
        row = {"variant": name, "criteria": _mean(len(judgement.rubric) for judgement in judged.values())}
        for figure, values in _figures(judged, base if number else {}, _to_gold(base, gold), gold).items():
            known = [(key[0], value) for key, value in values.items() if not math.isnan(value)]
            row[figure], row[f"{figure}_se"] = over_questions(known)
            if figure in ("gold", "base"):
                row[f"{figure}_groups"] = len(known)
        row |= {"coverage": _mean(met is not None for met in verdicts), "calls": usage.generations}
        row |= {"tokens": usage.total_tokens, "cost_usd": usage.cost_usd, "questions": len({key[0] for key in rated})}
        rows.append(row | {"failed": len(outcomes) - len(rated), "error": next(iter(errors), None)})
    return data_frame(rows)


def _figures(
    judged: Judged, others: Judged, others_to_gold: Mapping[Key, float], gold: Mapping[Key, Rewards]
) -> dict[str, dict[Key, float]]:
    """Figures by group, nan where there is none; `others` are the judgements of the setting to compare with."""
    known = {key: _known(judgement) for key, judgement in judged.items()}
    several = [key for key in judged if len(known[key]) > 1]  # where there is something to tell apart
    to_gold = _to_gold(judged, gold)
    both = [key for key in judged if key in others]
    return {
        "reward": {key: _mean(rewards) for key, rewards in known.items()},
        "separating": {key: fmean(judged[key].separating) for key in several},
        "separated_pairs": {key: fmean(a != b for a, b in itertools.combinations(known[key], 2)) for key in several},
        "gold": to_gold,
        "gold_difference": {key: to_gold[key] - others_to_gold[key] for key in both if key in to_gold},
        "base": {key: _correlation(judged[key].rewards_G, others[key].rewards_G) for key in both},
        "agreement": {key: _agreement(judged[key], others[key]) for key in both},
    }


def _judged(outcomes: Outcomes) -> Judged:
    return {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Judgement)}


def _known(judgement: Judgement) -> list[float]:
    return [reward for reward in judgement.rewards_G if reward is not None]


def _verdicts(judgement: Judgement) -> list[bool | None]:
    """The verdicts on rollouts that came."""
    judging = zip(judgement.group.rollouts, judgement.verdicts_GC, strict=True)
    return [verdict.met for rollout, verdicts in judging if rollout.defect != "failed" for verdict in verdicts]


def _to_gold(judged: Judged, gold: Mapping[Key, Rewards]) -> dict[Key, float]:
    return {key: _correlation(judged[key].rewards_G, gold[key]) for key in judged if key in gold}


def _correlation(a: Rewards, b: Rewards) -> float:
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    return spearman([(x, y) for x, y in pairs if not (math.isnan(x) or math.isnan(y))])


def _agreement(judgement: Judgement, other: Judgement) -> float:
    """The share of verdicts that are the same in both, of those that both have; nan for other criteria."""
    if judgement.rubric != other.rubric:
        return math.nan
    pairs = zip(_verdicts(judgement), _verdicts(other), strict=True)
    return _mean(met == other_met for met, other_met in pairs if None not in (met, other_met))


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return fmean(known) if known else math.nan
