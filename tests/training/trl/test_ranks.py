"""Several processes that train together: the same rewards and the same policy as one, and no rank waits in vain."""

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
from rank_rewards import GROUP, QUESTIONS, Rewarded, all_rows  # noqa: E402
from rank_training import SETTINGS, adapter_numbers  # noqa: E402
from tiny import tiny_model  # noqa: E402
from torchrun import torchrun  # noqa: E402
from trainings import small, trained  # noqa: E402

from catlite import MajorityVote, trl_reward  # noqa: E402
from catlite.errors import ConfigError  # noqa: E402
from catlite.training.trl import ranks  # noqa: E402


@pytest.mark.parametrize(("count", "killed"), [(2, "waiting"), (4, "at work")])
def test_rewards_on_several_ranks_are_those_of_one_and_errors_reach_all(tmp_path, count, killed):
    code, seen = torchrun("rank_rewards.py", count, tmp_path, killed)
    alone = Rewarded()(all_rows())
    for name in ("whole", "split", "empty"):
        for part in ("rewards", "shown"):
            assert [value for notes in seen for value in notes[name][part]] == alone[part], name
        assert all(notes[name]["metrics"] == alone["metrics"] for notes in seen), name
        assert [notes[f"{name}, groups"] for notes in seen] == [QUESTIONS] + [0] * (count - 1)
    for name in ("awaited", "slow"):
        assert [reward for notes in seen for reward in notes[name]] == alone["rewards"], name

    first, *others = seen
    for notes in seen:
        prefix = "" if notes is first else "rank 0: "
        assert notes["wrong reward"].startswith(f"ConfigError: {prefix}the reward one_reward gave 1 values for a group")
        assert notes["half a group"].startswith(f"ConfigError: {prefix}a reward call brought 2 rollouts of question")
        broken = "TypeError: 'NoneType' object is not iterable"
        assert notes["broken rows"] == (broken if notes is seen[1] else f"TrainingError: rank 1: {broken}")
    assert code != 0
    if killed == "waiting":
        assert first["killed"].startswith("TrainingError: rank 0 of 2 waited for the others in vain ([Rank 0]: Ranks 1")
        assert "one that is only slow has 0.2 s, which timeout of trl_reward sets" in first["absent"]
    else:
        assert all("a rank has ended or does not take part" in notes["killed"] for notes in others)
    assert len(alone["rewards"]) == GROUP * QUESTIONS


def test_world_size_in_a_plain_process_is_explained(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"WORLD_SIZE=2 says .* os\.environ\.pop\(\"WORLD_SIZE\"\)"):
        Rewarded()(all_rows())
    with pytest.raises(ConfigError, match="not connected"):
        ranks.join_ranks()


@pytest.mark.parametrize("value", ["1", "", "many"])
def test_one_process_is_on_its_own(monkeypatch, value):
    monkeypatch.setenv("WORLD_SIZE", value)
    assert (ranks.join_ranks(), ranks.rank()) == (1, 0)
    assert ranks.ask_first(lambda: "alone") == ranks.work_on_all(lambda: "alone") == "alone"


def test_ranks_wait_for_a_call_as_long_as_the_user_says_whoever_does_the_work():
    for timeout, bound in ((5, 125), (float("inf"), ranks.DAY + 120)):
        rewarder = trl_reward(MajorityVote(), answer_format="boxed", timeout=timeout).rewarder
        assert rewarder.patience == (bound, ranks.DAY)
    assert "which timeout sets" in str(ranks._missing(RuntimeError("gone"), 125, "timeout"))
    assert "sets" not in str(ranks._missing(RuntimeError("gone"), ranks.DAY, "timeout"))


def test_two_ranks_train_the_policy_that_one_trains(tmp_path):
    folder = tiny_model(tmp_path / "model")
    code, (first, second) = torchrun("rank_training.py", 2, tmp_path, folder)
    assert (code, first["ranks"], second["ranks"]) == (0, 2, 2)
    assert first["resumed"] == second["resumed"]  # to the last digit, and both as rank 0 tells it
    together = first["resumed"]
    assert together["steps"] == 3
    assert first["again"] == second["again"] == together["numbers"]
    assert first["halted"] == second["halted"] == "False"
    assert first["other settings"].startswith("ConfigError: run=")
    assert second["other settings"] == first["other settings"].replace("ConfigError: ", "ConfigError: rank 0: ")
    assert "the 3 rollouts of a step" in second["not to be split"]

    alone = trained(folder, config=small(steps=3, **SETTINGS), run=tmp_path / "alone")
    numbers = torch.tensor(adapter_numbers(alone))
    assert numbers.abs().max() > 1e-2
    torch.testing.assert_close(torch.tensor(together["numbers"]), numbers, rtol=0, atol=1e-5)
    for row, other in zip(together["metrics"], alone.metrics, strict=True):
        named = {"cat/reward", "cat/coverage", "check/reward", "num_tokens"} & other.keys()
        assert {name: row[name] for name in named} == pytest.approx({name: other[name] for name in named}, rel=1e-4)
