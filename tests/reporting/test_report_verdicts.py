"""The page answers why a rollout got its reward: criteria down, rollouts across, a reason behind every verdict."""

import json
import re

from pages import browser, data, dumped, shown

from catlite import (
    Criterion,
    Example,
    ExpertRubric,
    Rubric,
    ScriptedModel,
    Synthesis,
    Task,
    evaluate,
    report,
)

HOSTILE = "<script>document.title='owned'</script> & \u202etxet"
RUBRIC = Rubric((Criterion("names zinc", 3), Criterion(HOSTILE), Criterion("is a text")))


def judged():
    def judge(prompt, i):
        criterion = prompt[0]["content"].split("Criterion: ")[1]
        if criterion.startswith("[3]"):
            zinc = "zinc\n</" in prompt[0]["content"]
            return json.dumps({"reason": f"looked for it {HOSTILE}", "met": zinc})
        return "cannot say" if criterion.startswith("<script>") else '{"reason": "", "met": true}'

    task = Task("health", (Example("Zinc?", rubric=RUBRIC, id="a"),))
    policy = ScriptedModel(lambda prompt, i: "zinc" if i else "iron", "policy")
    anchor = ScriptedModel(lambda prompt, i: "zinc", "anchor")
    grader = ExpertRubric(ScriptedModel(judge, "judge"), min_coverage=0.5)
    return evaluate(task, policy, estimators=[Synthesis(anchor)], grader=grader, n=2)


def test_a_matrix_has_every_verdict_once(tmp_path):
    ((matrix,),) = [
        one["repeats"][0]["matrices"] for one in data(report(judged(), tmp_path / "r.html").read_text())["questions"]
    ]
    assert matrix["columns"] == ["#1", "#2", "Synthesis"]
    assert matrix["rewards"] == ["0.25", "1.00", "1.00"]
    assert [one["points"] for one in matrix["criteria"]] == ["+3", "", ""]
    assert [[cell[0] for cell in one["cells"]] for one in matrix["criteria"]] == [["✗", "✓", "✓"], ["?"] * 3, ["✓"] * 3]
    assert [one["separates"] for one in matrix["criteria"]] == [True, False, False]
    assert matrix["notes"][0] == "2 of 6 verdicts could not be had"


def test_a_run_without_verdicts_has_no_matrix(tmp_path):
    task = Task("sums", (Example("1+1?", "2", answer_format="boxed"),))
    result = evaluate(task, ScriptedModel(lambda prompt, i: r"\boxed{2}"), n=2)
    assert data(report(result, tmp_path / "r.html").read_text())["questions"][0]["repeats"][0]["matrices"] == []


@browser
def test_a_browser_shows_the_matrix_and_runs_nothing_in_it(tmp_path):
    dom = dumped(report(judged(), tmp_path / "r.html"), tmp_path, "#open=0")
    assert "<title>health" in dom
    table = re.search(r'<table class="matrix">.*?</table>', shown(dom), re.DOTALL)[0]
    assert table.count("<button") == 9
    assert table.count('class="same"') == 2
    assert table.count('class="unknown"') == 3
    assert "&lt;script&gt;document.title" in table
    assert r"\u202e" in table
    assert "looked for it" in table


@browser
def test_a_criterion_is_found_by_its_words(tmp_path):
    page = report(judged(), tmp_path / "r.html")
    assert "1 question<" in dumped(page, tmp_path, "#q=names+zinc")
    assert "0 of 1 question<" in dumped(page, tmp_path, "#q=copper")
