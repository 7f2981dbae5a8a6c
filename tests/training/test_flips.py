"""Flips: which references changed, and when they have risen and fallen."""

import random

import pytest

from catlite import Example, Group, Reference, Rollout
from catlite.training.flips import Flips, flips_say_stop
from catlite.training.scored import Scored


def step(**references):
    """A step's groups by id, each with its reference's answer."""
    groups = {name: Group(Example("q", answer_format="boxed", id=name), (Rollout("x"),)) for name in references}
    return [Scored(group, Reference("x", references[name], "test", group), (1.0,)) for name, group in groups.items()]


def test_a_flip_is_another_answer_than_the_one_seen_last():
    flips = Flips()
    assert flips.note(step(a="1", b="2")) == {}  # nothing was seen before
    assert flips.note(step(a="1", b="3")) == {"cat/flips": 0.5}
    assert flips.note(step(a="4", c="5")) == {"cat/flips": 1.0}  # c is new
    assert flips.history == [(0, 0), (1, 2), (1, 1)]


def test_equivalent_answers_are_no_flip():
    flips = Flips()
    flips.note(step(a="1/2"))
    assert flips.note(step(a="0.5")) == {"cat/flips": 0.0}


def test_a_group_without_a_reference_is_passed_over():
    flips = Flips()
    flips.note(step(a="1"))
    (scored,) = step(a="1")
    without = Scored(scored.group, None, (None,), "failed")
    assert flips.note([without, *step(b=None)]) == {}
    assert flips.note(step(a="2")) == {"cat/flips": 1.0}


def test_what_is_kept_of_each_step_resumes_to_the_same():
    whole, rows = Flips(), []
    for references in ({"a": "1", "b": "2"}, {"a": "2", "b": "2"}, {"a": "2", "b": "3"}):
        whole.note(step(**references))
        rows.append(whole.take_latest())
    assert whole.take_latest() is None
    again = Flips()
    again.resume(rows)
    assert (again.answers, again.history) == (whole.answers, whole.history)


def series(*shares, steps=16, prompts=8):
    """Steps of these shares of flips, each share for a while."""
    return [(round(share * prompts), prompts) for share in shares for _ in range(steps)]


def test_flips_that_have_risen_and_fallen_end_training():
    assert "risen and fallen" in flips_say_stop(series(0.125, 0.5, 0.0, 0.0))


@pytest.mark.parametrize(
    "shares",
    [(), (0.5,), (0.5, 0.25, 0.0, 0.0), (0.0, 0.25, 0.5, 0.5), (0.125, 0.5, 0.375, 0.375), (0.125, 0.5, 0.125)],
    ids=["nothing", "one", "only falling", "only rising", "hardly fallen", "fallen just now"],
)
def test_others_do_not(shares):
    steps = 8 if shares == (0.125, 0.5, 0.125) else 16
    assert flips_say_stop(series(*shares, steps=steps)) is None


def test_no_few_steps_end_training_however_large():
    assert flips_say_stop([(0, 999), (999, 999), (0, 999)]) is None
    assert flips_say_stop(series(0.0, 1.0, 0.0, 0.0, steps=3, prompts=999)) is None


def test_steps_in_which_nothing_was_seen_before_do_not_count():
    assert flips_say_stop([(0, 0)] * 100) is None


def test_noise_around_one_share_hardly_ever_ends_training():
    draw = random.Random(0)

    def ends(share):
        history = [(sum(draw.random() < share for _ in range(8)), 8) for _ in range(100)]
        return any(flips_say_stop(history[:count]) for count in range(40, 101, 8))

    assert sum(ends(share) for share in (0.05, 0.2, 0.5) for _ in range(40)) <= 3
