"""A plot shows what its table says."""

import sys

import children
import pytest

from catlite import (
    Evaluation,
    Example,
    MajorityVote,
    Reference,
    ScriptedModel,
    Synthesis,
    Task,
    Usage,
    context_ablation,
    differences,
    disagreement,
    evaluate,
    maj_at_k,
    pass_at_k,
    scaling,
    traces,
)
from catlite.analysis import plots
from catlite.errors import ConfigError
from catlite.experiments.comparison import Comparison
from catlite.extras import install
from catlite.results import Row

matplotlib = pytest.importorskip("matplotlib", reason="needs catlite[notebooks]")
pytest.importorskip("matplotlib.pyplot")  # whichever test of this file a worker gets first
TASK = Task("$sums$", tuple(Example(str(i), str(i), answer_format="boxed") for i in range(1, 6)))


async def oracle(group):
    text = rf"Then check: \boxed{{{group.example.answer}}}"
    return Reference(text, group.example.answer, "oracle", group)


@pytest.fixture(autouse=True)
def closed():
    matplotlib.use("Agg")
    yield
    matplotlib.pyplot.close("all")


@pytest.fixture(scope="module")
def evaluation():
    model = ScriptedModel(lambda prompt, i: rf"First, \boxed{{{prompt if i < int(prompt) else 99}}}")
    return evaluate(TASK, model, estimators={"vote": MajorityVote(), "$x$": oracle}, n=4)


def drawn(axes):
    """Everything is laid out and drawn, so that what a renderer refuses fails here."""
    figure = (axes if hasattr(axes, "figure") else axes[0]).figure
    figure.canvas.draw()
    return axes


def widths(axes):
    return [bar.get_width() for bar in axes.patches]


def labels(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_scores_are_bars_with_their_errors_the_single_sample_on_top(evaluation):
    axes = drawn(plots.scores(evaluation))
    assert widths(axes) == list(evaluation.summary.score)
    assert labels(axes) == ["single sample", "vote", r"\$x\$"]
    assert axes.patches[0].get_y() > axes.patches[1].get_y()
    assert "5 questions" in axes.get_title("left")


def test_differences_are_points_on_their_intervals(evaluation):
    frame = differences(evaluation)
    axes = drawn(plots.differences(frame))
    points, *_ = axes.lines
    assert list(points.get_xdata()) == list(frame.difference)
    (bars,) = axes.collections
    ends = [end for segment in bars.get_segments() for end in segment[:, 0]]
    assert ends == pytest.approx([end for row in frame.itertuples() for end in (row.low, row.high)])


def test_disagreements_are_split_by_who_is_right(evaluation):
    frame = disagreement(evaluation, "$x$")
    axes = drawn(plots.disagreement(frame))
    mine, theirs, neither = (widths(axes)[start : start + 2] for start in (0, 2, 4))
    assert mine == pytest.approx(list((frame.disagree * frame.right).fillna(0)))
    assert [sum(parts) for parts in zip(mine, theirs, neither, strict=True)] == pytest.approx(list(frame.disagree))


def test_a_line_is_drawn_for_each_way_of_growing(evaluation):
    frames = pass_at_k(evaluation), maj_at_k(evaluation), scaling(evaluation, MajorityVote())
    axes = drawn(plots.scaling(*frames))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["pass@k", "maj@k", "MajorityVote"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4"]
    assert list(axes.lines[0].get_ydata()) == list(frames[0].pass_at_k)


def test_an_ablation_is_bars(evaluation):
    frame = context_ablation(evaluation, Synthesis(ScriptedModel(lambda prompt, i: r"\boxed{1}")))
    assert labels(drawn(plots.ablation(frame))) == ["single sample", "1 in context", "4 in context"]


def test_traces_are_three_panels(evaluation):
    frame = traces(evaluation)
    panels = drawn(plots.traces(frame))
    assert [widths(panel) for panel in panels] == [
        list(frame[name]) for name in ("words", "step_words", "verification_cues")
    ]


def test_a_plot_can_go_into_a_figure_of_ones_own(evaluation):
    figure, axes = matplotlib.pyplot.subplots()
    assert plots.scores(evaluation, axes) is axes
    assert matplotlib.pyplot.get_fignums() == [figure.number]


def test_what_could_not_be_graded_is_drawn_as_nothing():
    rows = tuple(Row(0, "0", system, None, 0, Usage(), error="x") for system in ("single sample", "a"))
    empty = Evaluation("t", "p", 1, rows, 0.0)
    drawn(plots.scores(empty))
    drawn(plots.differences(differences(empty)))


def test_an_evaluation_without_another_system_has_no_differences_to_draw():
    alone = Evaluation("made", "nobody", 1, (Row(0, "0", "single sample", 1.0, 1, Usage()),), 0.0)
    frame = differences(alone)
    assert (len(frame), "difference" in frame) == (0, True)
    assert plots.differences(frame).get_xlabel() == "difference from the baseline, 95% interval"
    assert Comparison(alone, alone).by_question().query("change == 'lost'").empty


def test_a_frame_of_another_analysis_is_refused(evaluation):
    with pytest.raises(ConfigError, match=r"plots.disagreement\(\) draws what disagreement\(\) returns"):
        plots.disagreement(differences(evaluation))


def test_without_matplotlib_the_extra_is_named():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import catlite\nfrom catlite.analysis import plots\n"
        "task = catlite.times_tables(1)\n"
        "plots.scores(catlite.evaluate(task, catlite.ScriptedModel(lambda prompt, i: '')))"
    )
    done = children.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"MissingExtra: plots need matplotlib: {install('notebooks')}" in done.stderr
