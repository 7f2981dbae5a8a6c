"""A run's page: everything is on it, nothing on it runs, and it stays quick; looked at in a real browser."""

import html
import re
import shutil
from urllib.parse import urlencode

import pytest
from pages import HOSTILE, TASK, browser, data, dumped, made, policy, shown

import catlite
from catlite import (
    Evaluation,
    Example,
    MajorityVote,
    Panel,
    Reference,
    Rollout,
    ScriptedModel,
    Task,
    Usage,
    evaluate,
    report,
)
from catlite.cli.main import main
from catlite.errors import EstimationError
from catlite.evaluation import Row
from catlite.reporting import analyses, page as module, rendering
from catlite.text import visible


def hostile():
    """A run whose every text is hostile, and one of them long."""

    async def odd(group):
        return Reference(HOSTILE, HOSTILE, "odd", group, notes=(HOSTILE,), usage=Usage(None, None, None, None, 1))

    def reply(prompt, i):
        return Rollout("x" * 1_000_000 if i else HOSTILE, reasoning=HOSTILE, usage=Usage(1, 1))

    examples = tuple(
        Example([{"role": "user", "content": HOSTILE}], HOSTILE, answer_format="boxed", id=f"{a}{HOSTILE}")
        for a in range(2)
    )
    return made(Task(HOSTILE, examples), reply, {HOSTILE: odd}, n=2)


def status(dom):
    return re.search(r'<output id="status"[^>]*>(.*?)</output>', dom)[1]


# --- the page ---


def test_the_page_lies_in_the_run_or_where_it_was_asked_for(tmp_path, monkeypatch):
    result = made(run=tmp_path / "run")
    assert report(tmp_path / "run") == tmp_path / "run" / "report.html"
    assert report(tmp_path / "run" / "evaluation.json", tmp_path / "new" / "a.html") == tmp_path / "new" / "a.html"
    monkeypatch.chdir(tmp_path)
    assert report(result) == tmp_path / "report.html"
    assert (tmp_path / "report.html").read_bytes() == (tmp_path / "run" / "report.html").read_bytes()


def test_the_summary_has_scores_differences_and_costs(tmp_path):
    page = report(made(), tmp_path / "r.html").read_text("utf-8")
    text = " ".join(re.sub(r"<[^>]+>", " ", shown(page)).split())
    assert "0.562 ± 0.188" in text
    assert "MajorityVote 0.750 ± 0.250 +33% +0.188 [+0.062, +0.250] 0.572 4 of 4 4.0×" in text
    assert page.count('<rect class="bar') == 2 + 3 * 2


def test_the_page_is_alone_and_its_policy_allows_its_script_only(tmp_path):
    page = report(made(), tmp_path / "r.html").read_text("utf-8")
    assert "default-src 'none'; script-src 'sha256-" in page
    assert re.findall(r"<(?:link|iframe|img|script)[^>]* (?:src|href)=", page) == []
    assert "http" not in page.replace("http-equiv", "")


def test_repeats_of_a_question_are_one_row_with_their_mean(tmp_path):
    page = report(made(n=2, n_repeats=2), tmp_path / "r.html").read_text("utf-8")
    (first, *others) = data(page)["questions"]
    assert len(others) == 3
    assert first["scores"] == [0.75, 0.5]  # samples 0, 1 and 2, 3; the vote of the first two is wrong
    assert [[one["score"] for one in repeat["systems"]] for repeat in first["repeats"]] == [[0.5, 0.0], [1.0, 1.0]]
    assert [len(repeat["rollouts"]) for repeat in first["repeats"]] == [2, 2]
    assert "sampled 2 times" in page


def test_a_panel_has_a_section_with_its_members(tmp_path):
    def failing(prompt, i):
        return Rollout("", finish_reason="error", error=f"down {HOSTILE}") if i else policy(prompt, i)

    panel = Panel([(ScriptedModel(policy, "gpt-x"), 4), (ScriptedModel(failing, HOSTILE), 2)])
    result = evaluate(TASK, panel, estimators=MajorityVote(), n=6)
    page = report(result, tmp_path / "r.html").read_text("utf-8")
    text = " ".join(re.sub(r"<[^>]+>", " ", shown(page)).split())
    assert "1 · gpt-x 0.562 ± 0.188 16 0 0 4 48 $0 0.625 0.438" in text
    assert "0.000 ± 0.000 8 4 0 ? ? cost unknown 0.438 ?" in text
    assert "a call failed because down &lt;/script&gt;" in page
    assert page.count(HOSTILE) == 0
    assert [rollout["member"] for rollout in data(page)["questions"][0]["repeats"][0]["rollouts"]].count("gpt-x") == 4
    assert "Members of the panel" not in report(made(), tmp_path / "r.html").read_text("utf-8")


def captions(page):
    return re.findall(r"<h3>(.*?)</h3>", page)


def test_the_analysis_has_a_figure_for_each_question(tmp_path):
    page = report(made(), tmp_path / "r.html").read_text("utf-8")
    assert captions(page) == [
        "Is a difference real?",
        "How it grows with the number of rollouts",
        "Where <bdi>MajorityVote</bdi> says something else",
        "How references are written",
    ]
    titles = dict(re.findall(r'<title id="figure-([\w-]+)">(.*?)</title>', page))
    assert titles["differences"] == "Difference from the single sample: MajorityVote +0.188 from +0.062 to +0.250"
    assert titles["growth"].startswith(
        "Share right by the number of rollouts: pass@k 0.562 of 1, 0.750 of 2, 0.750 of 4; "
    )
    assert "every rollout 0.000 ± 0.000" in titles["disagreement"]


def test_answers_of_many_questions_are_compared_on_some_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(analyses, "COMPARED", 2)
    page = report(made(), tmp_path / "r.html").read_text("utf-8")
    assert "over 2 of the questions, drawn at random" in page
    assert len(data(page)["questions"]) == 4


def test_an_estimator_that_failed_everywhere_is_on_the_page(tmp_path):
    async def hopeless(group):
        raise EstimationError("not today", group)

    page = report(made(estimators=(MajorityVote(), hopeless)), tmp_path / "r.html").read_text("utf-8")
    assert ">0 of 4<" in page
    assert len(captions(page)) == 4


def test_an_analysis_without_its_numbers_is_left_out(tmp_path):
    alone = report(made(estimators=()), tmp_path / "r.html").read_text("utf-8")
    assert captions(alone) == ["How it grows with the number of rollouts"]
    task = Task("open", (Example("Why?", id="a"), Example("How?", id="b")))

    async def halves(group, gold):
        return [0.5] * len(group.rollouts)

    async def first(group):
        return Reference(group.rollouts[0].text, None, "first", group)

    result = evaluate(task, ScriptedModel(lambda p, i: "So."), estimators=(first,), grader=halves, n=2)
    page = report(result, tmp_path / "r.html").read_text("utf-8")
    assert captions(page) == ["Is a difference real?", "How references are written"]


def test_a_run_in_which_nothing_could_be_graded_has_a_page(tmp_path):
    result = made(reply=lambda prompt, i: Rollout("", finish_reason="error", error="500 after 8 attempts"))
    page = report(result, tmp_path / "r.html").read_text("utf-8")
    assert page.count(">0 of 4<") == 2
    assert data(page)["questions"][0]["repeats"][0]["rollouts"][0]["text"] == "500 after 8 attempts"


def test_an_evaluation_made_by_hand_has_a_page(tmp_path):
    rows = (Row(0, "a", "alone", float("nan"), 1, Usage()),)
    page = report(Evaluation("t", "p", 1, rows, 0.0), tmp_path / "r.html").read_text("utf-8")
    assert data(page)["questions"][0]["prompt"][0]["text"] == "(not recorded)"


def test_long_texts_are_cut_with_their_length(tmp_path):
    page = report(hostile(), tmp_path / "r.html").read_text("utf-8")
    assert data(page)["questions"][0]["repeats"][0]["rollouts"][1]["text"] == {
        "text": "x" * 20_000,
        "length": 1_000_000,
    }
    assert len(page) < 1_000_000


def test_texts_are_cut_shorter_until_all_questions_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PAGE_BYTES", 12_000)
    page = report(made(reply=lambda prompt, i: "é" * 3_000), tmp_path / "r.html").read_text("utf-8")
    assert data(page)["questions"][0]["repeats"][0]["rollouts"][0]["text"]["length"] == 3_000
    assert len(page.encode()) < 50_000


def test_hostile_text_closes_no_script_and_control_characters_are_written_out(tmp_path):
    page = report(hostile(), tmp_path / "r.html").read_text("utf-8")
    assert page.count("<script") == 2
    assert page.count("</script") == 2
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", page)
    found = data(page)["questions"][0]["repeats"][0]["rollouts"][0]["text"]
    assert r"\x00 \x1b[31m \u202egnp.exe \u2066 \ud800" in found
    assert "<script>" in found


def test_the_command_prints_where_the_page_is(tmp_path, capsys):
    made(run=tmp_path)
    assert main(["report", str(tmp_path), "--path", str(tmp_path / "p.html")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'p.html'}\n"
    assert main(["report", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("catlite: ")


def test_a_page_of_one_question_counts_in_the_singular(tmp_path):
    page = report(made(Task("one", TASK.examples[:1]), n=1), tmp_path / "r.html").read_text("utf-8")
    assert "1 question ·" in page
    assert "1 rollout each" in page
    assert "1 rollouts" not in shown(page)


def test_where_scripts_are_off_the_page_says_what_to_press(tmp_path):
    page = report(made(), tmp_path / "r.html").read_text("utf-8")
    assert "Trust HTML" in re.search(r"<noscript>.*?</noscript>", page, re.DOTALL)[0]


# --- in a browser ---


@browser
@pytest.mark.parametrize(
    ("searched", "found"),
    [
        ("17 times", {"17 times 3", "12 times 17"}),
        ('"17 times"', {"17 times 3"}),
        ("176", {"11 times 16 is 176"}),
        ("tim", {"17 times 3", "12 times 17", "11 times 16 is 176"}),
        ("imes", set()),
        ("3.5", {"costs $3.5"}),
        ("数学", {"学校の数学です"}),
        (r"\frac{1}{2", {r"\frac{1}{2}"}),
    ],
)
def test_a_search_finds_words_and_whole_numbers(tmp_path, searched, found):
    prompts = ["17 times 3", "12 times 17", "11 times 16 is 176", "costs $3.5", "学校の数学です", r"\frac{1}{2}"]
    task = Task("t", tuple(Example(prompt, "0", answer_format="boxed", id="q") for prompt in prompts))
    page = report(made(task, lambda prompt, i: "none", n=1, estimators=()), tmp_path / "r.html")
    dom = shown(dumped(page, tmp_path, "#" + urlencode({"q": searched})))
    assert {prompt for prompt in prompts if f">{html.escape(prompt, quote=False)}<" in dom} == found


@browser
@pytest.mark.parametrize("width", [320, 400])
def test_a_narrow_window_does_not_scroll_sideways(tmp_path, width):
    estimators = {name: MajorityVote() for name in ("MutualPredictability", "RecursiveSynthesis", "MinPerplexity")}
    page = report(made(estimators=estimators), tmp_path / "r.html")
    measure = """<script>const page = document.documentElement;
        parent.postMessage(page.scrollWidth - page.clientWidth, '*')</script></body>"""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text("utf-8"))
    page.write_text(text.replace("</body>", measure), "utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<script>onmessage = (event) => document.body.append("too wide by: " + event.data)</script>'
        f'<iframe src="r.html" style="width: {width}px; height: 900px; border: 0"></iframe>',
        "utf-8",
    )
    assert "too wide by: 0<" in dumped(frame, tmp_path)


@browser
def test_long_names_of_systems_break_between_their_words(tmp_path):
    names = ("MinPerplexity", "an_estimator_of_my_own_with_one_word")
    page = report(made(estimators=dict.fromkeys(names, MajorityVote())), tmp_path / "r.html")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text("utf-8"))
    measure = """<script>
        const right = (element) => element.getBoundingClientRect().right;
        const wide = [...document.querySelectorAll("#head th")].filter((cell) => right(cell.firstChild) > right(cell));
        document.body.append(`beyond their column: ${wide.length}`);
    </script>"""
    page.write_text(text.replace("</body>", f"{measure}</body>"), "utf-8")
    dom = dumped(page, tmp_path)
    assert "Min<wbr>Perplexity</button>" in dom
    assert "beyond their column: 0\n" in dom


@browser
def test_a_printed_page_has_all_columns_and_all_of_its_text(tmp_path):
    """On paper nothing scrolls, so what is beyond the edge would be lost."""
    names = ("MutualPredictability", "RecursiveSynthesis", "MinPerplexity", "AnchoredVote", "MajorityVote", "BestOfN")
    page = report(made(estimators={name: MajorityVote() for name in names}), tmp_path / "r.html")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text("utf-8"))
    # A4 without its margins is 703 CSS pixels wide; the rules for print are made those of the screen.
    text = text.replace("@media print", "@media screen").replace(
        "@media screen and (max-width", "@media print and (max-width"
    )
    measure = """<script>parent.postMessage([...document.querySelectorAll("th, td")].filter(
        (cell) => cell.getBoundingClientRect().right > 703.5).length, '*')</script></body>"""
    page.write_text(text.replace("</body>", measure), "utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(
        '<script>onmessage = (event) => document.body.append("beyond the edge: " + event.data)</script>'
        '<iframe src="r.html" style="width: 703px; height: 900px; border: 0"></iframe>',
        "utf-8",
    )
    assert "beyond the edge: 0<" in dumped(frame, tmp_path)


@browser
def test_a_browser_lists_every_question_and_opens_one(tmp_path):
    dom = dumped(report(made(), tmp_path / "r.html"), tmp_path, "#open=2")
    assert status(dom) == "4 questions"
    assert dom.count('class="row"') == 4
    details = shown(dom[dom.index('id="details-2"') :])
    assert "Rollouts (4)" in details
    assert details.count(r"I add. \boxed{3}") == 4  # three rollouts and the vote
    assert details.count("answer <code") == 5


@browser
def test_a_browser_searches_filters_and_sorts(tmp_path):
    page = report(made(), tmp_path / "r.html")
    found = dumped(page, tmp_path, "#q=BOXED%7B3%7D")
    assert status(found) == "1 of 4 questions"
    assert re.findall(r'aria-controls="details-(\d)"', shown(found)) == ["2"]
    assert status(dumped(page, tmp_path, "#q=nowhere")) == "0 of 4 questions"
    worst = dumped(page, tmp_path, "#sort=4")
    assert re.findall(r'aria-controls="details-(\d)"', shown(worst)) == ["3", "0", "1", "2"]
    assert 'aria-sort="ascending"' in worst


@browser
def test_a_browser_runs_nothing_of_hostile_text(tmp_path):
    page = report(hostile(), tmp_path / "r.html")
    dom = dumped(page, tmp_path, "#open=0,1&q=%3Cscript%3E")
    title = html.unescape(re.search("<title>(.*?)</title>", dom)[1])
    assert title == visible(HOSTILE[:200]) + " · catlite report"
    assert status(dom) == "2 questions"
    assert dom.count("<script") == dom.count("</script>") == 2
    assert "<img" not in dom
    assert "cut here: 1,000,000 characters in all" in dom
    assert r"\u202egnp.exe" in shown(dom)


@browser
def test_a_script_that_got_into_the_page_would_not_run(tmp_path):
    page = report(made(), tmp_path / "r.html")
    added = "<p onclick=1><script>document.title='owned'</script><img src=x: onerror=\"document.title='owned'\"></main>"
    page.write_text(page.read_text("utf-8").replace("</main>", added), "utf-8")
    assert "<title>sums" in dumped(page, tmp_path)


@browser
def test_clicks_and_typing_sort_open_close_and_search(tmp_path, monkeypatch):
    templates = shutil.copytree(rendering.TEMPLATES, tmp_path / "templates")
    monkeypatch.setattr(rendering, "TEMPLATES", templates)
    with (templates / "report.js").open("a") as script:
        script.write(
            """
            const sort = document.querySelector("#head th:nth-child(4) button");
            sort.click();
            sort.click();
            for (const button of document.querySelectorAll(".row button")) button.click();
            document.querySelector(".row button").click();
            document.getElementById("search").value = "+1?";
            document.getElementById("search").dispatchEvent(new Event("input"));
            setTimeout(() => document.body.setAttribute("data-hash", location.hash), 1000);
            """
        )
    dom = dumped(report(made(), tmp_path / "r.html"), tmp_path)
    assert re.findall(r'aria-expanded="(\w+)" aria-controls="details-(\d)"', dom) == [
        *(("false", "0"), ("true", "1"), ("true", "2"), ("true", "3")),
    ]
    assert 'aria-sort="descending"' in dom
    assert 'data-hash="#q=%2B1%3F&amp;sort=3&amp;desc=1&amp;open=1%2C2%2C3"' in dom


@browser
def test_five_thousand_questions_are_listed_fifty_at_a_time(tmp_path):
    text = "Trains and boats leave the harbour at their own speed. " * 20
    task = Task("many", tuple(Example(f"{a}+1?", str(a + 1), answer_format="boxed", id=f"q{a}") for a in range(5000)))
    rows, groups = [], []
    for position, example in enumerate(task):
        group = catlite.Group(example, (Rollout(text + rf"\boxed{{{position}}}", str(position)),) * 8)
        reference = Reference(text, example.answer, "made", group)
        rows.append(Row(position, example.id, "single sample", 0.0, 1, Usage(), scores=(0.0,) * 8))
        rows.append(Row(position, example.id, "made", 1.0, 9, Usage(), reference))
        groups.append(group)
    page = report(Evaluation("many", "nobody", 8, tuple(rows), 1.0, groups=tuple(groups)), tmp_path / "r.html")
    assert page.stat().st_size < 40_000_000
    dom = dumped(page, tmp_path, "#q=harbour+q4321&open=4321")
    assert status(dom) == "1 of 5,000 questions"
    assert "Rollouts (8)" in dom
    dom = dumped(page, tmp_path, "#page=100")
    assert dom.count('class="row"') == 50
    assert "page 100 of 100" in dom
