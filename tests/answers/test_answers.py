import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import children
import pytest
from hypothesis import given, settings, strategies as st

from catlite import answers
from catlite.answers import acompare, compare, comparing, equivalent, extract, worker
from catlite.errors import CatliteError, ConfigError, UndecidedWarning

ROOT = Path(answers.__file__).parents[2]


# --- finding ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so $\boxed{42}$.", "42"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{1}, no: \boxed{2}", "2"),
        (r"\boxed{1} and then \boxed{2", "1"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\{}", r"\{"),
        (r"\fbox{7}", "7"),
        (r"$\boxed 42$.", "42"),
        (r"\boxed{ 5 } Answer: 6", "5"),
    ],
)
def test_the_last_complete_box_is_the_answer(text, answer):
    assert extract(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        *("", "no answer here", r"\boxed{}", r"\boxed{\text{your answer}}", "Answer:", "The answer is ..."),
        *("Answer: [your answer]", r"The answer is \boxed{4", "<answer></answer>", "Answer: I don't know."),
        *(r"\boxed{\text{No answer}}", "The answer is: I'm sorry, I cannot help."),
    ],
)
def test_nothing_an_empty_box_and_a_refusal_give_none(text):
    assert extract(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{5}. Format: \boxed{}", "5"),
        (r"\boxed{5}. Format: \boxed{\text{answer}}", "5"),
        (r"so \boxed{5}. I used \boxed as asked.", "5"),
        (r"so \boxed{5}. I used the \boxed command", "5"),
        (r"Answer: 5, so \boxed{ }", "5"),
        (r"Use \boxed{}. The answer is 7.", "7"),
        (r"\\boxed{5}", "5"),
        (r"\boxed{...}", None),
        (r"\boxed{5}" + "\r\n" + "The answer is 6.", "5"),
        (r"The answer is 6 and not \boxed{5}", "5"),
    ],
)
def test_only_a_box_that_holds_something_counts_and_it_beats_prose(text, answer):
    assert extract(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{3}, \boxed{5} and \boxed{7}", "3, 5, 7"),
        (r"$\boxed{3}$, $\boxed{5}$, and $\boxed{7}$.", "3, 5, 7"),
        (r"$x = \boxed{3}$ or $x = \boxed{5}$", "x = 3 or x = 5"),
        (r"\boxed{3} or \boxed{5}", "3 or 5"),
        (r"\boxed{5}, \boxed{5}", "5"),
        (r"\boxed{3}. Then \boxed{5}", "5"),
        ("\\boxed{3}\n\n\\boxed{5}", "5"),
        (r"a = \boxed{3}, b = \boxed{5}", "5"),
        (r"\boxed{3}, so it is \boxed{5}", "5"),
    ],
)
def test_boxes_joined_by_commas_are_one_list_and_else_the_last_counts(text, answer):
    assert extract(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The final answer is 42. I hope the answer is correct.", "42"),
        ("Answer: 42\nI think the answer is right.", "42"),
        ("The answer is 42. The answer is given in metres.", "42"),
        ("I hope the answer is correct.", None),
        ("The answer is not 5.", None),
        (r"The answer is $\$73$.", "73"),
        ("Answer: approx. 5", "5"),
        ("The answer is approximately 5.2.", "5.2"),
        ("**Final Answer**\r\n$42$\r\n", "42"),
        ("Final Answer: `73`", "73"),
        ("Final Answer:\n```\n73\n```", "73"),
        ("The answer is therefore 5.", "5"),
        ("The answer is simply $x+1$.", "x+1"),
        ("The answer is **42** apples.", "42 apples"),
        ("The answer is Dr. Smith. He", "Dr. Smith"),
        ("The correct option is B.", "B"),
        ("The answer to the question is 9.", "9"),
        ("So 6 * 7 = 42\n#### 42", "42"),
        ("The answer is no.", "no"),
        ("The answer is (B).", "(B)"),
        ("The answer is 5 p.m. because", "5 p.m"),
        ("The answer is rational.", "rational"),
        ("The answer is 7.\n#### 1. Verify\n7 - 7 = 0", "7"),
        ("Add them. #### 42", "42"),
        ("#### **42**", "42"),
        ("## Answer\n\n42", "42"),
        ("__Answer__: 42", "42"),
        ("Answer:\n- 42", "42"),
        ("Answer:\n```text\n42\n```", "42"),
        ("The answer is as follows:\n42", "42"),
        ("The answer is equal to 42.", "42"),
        ("The answer is found to be $42$.", "42"),
        ("The answer is, therefore, 42.", "42"),
        ("The answer is given in metres.", None),
        ("The answer is **42**!", "42"),
        ("The answer is 5!", "5!"),
        ("The answer is 5?", "5"),
        ("The answers are 1 and 2.", "1 and 2"),
        ("Answers: 1, 2", "1, 2"),
        ("The answer in simplest form is 1/2.", "1/2"),
        ("The answer is J. K. Rowling. She", "J. K. Rowling"),
        ("The answer is 42<|im_end|>", "42"),
        ("Answer: 6. So the answer is \\boxed{7", "6"),
    ],
)
def test_the_last_cue_that_an_answer_follows_counts(text, answer):
    assert extract(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 6", "6"),
        ("**Answer:** 42", "42"),
        ("**Answer**: 42", "42"),
        ("**Final Answer**\n\n42", "42"),
        ("### Final answer:\n$$\n42\n$$", "42"),
        ("The answer is $42$.", "42"),
        ("THE FINAL ANSWER IS 7", "7"),
        ("The answer is 3.5.", "3.5"),
        ("Answer: 3.5. Then we stop.", "3.5"),
        ("The answer is 42 because 6 * 7 = 42", "42"),
        (r"The answer is \(x^2\), as wanted.", "x^2"),
        ("Answer: $3$ and $5$", "$3$ and $5$"),
        ("Answer: 1, 2, 3", "1, 2, 3"),
        ("Answer: 42 apples", "42 apples"),
        ("Answer: 5\nno, the answer is **6**.", "6"),
        ("Answer: 6\nThe answer is not 5.", "6"),
    ],
)
def test_without_a_box_the_last_announced_answer_counts(text, answer):
    assert extract(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("因此，答案是 42。因为 6 × 7 = 42。", "42"),
        ("**答案**：$\\frac12$", "\\frac12"),
        ("正确答案是 C", "C"),
        ("答えは42です。", "42"),
        ("정답은 42입니다.", "42"),
        ("La respuesta final es 42.", "42"),
        ("La réponse est $x=3$.", "x=3"),
        ("Die Antwort lautet 7, denn sie ist ungerade.", "7"),
        ("答案为 5，因为它最大。", "5"),
        ("A resposta é 7.", "7"),
        ("La risposta è (C).", "(C)"),
        ("Ответ: 42", "42"),
        ("答案是正确的。", None),
        ("答案 42 不对", None),
        ("这个答案不是 4", None),
        ("答えは正しい", None),
        ("La respuesta es a favor", None),
        ("La réponse est fausse.", None),
        ("Die Antwort ist nicht 5.", None),
        ("Ответ неверен 5", None),
    ],
)
def test_other_languages_announce_a_number_a_formula_or_a_letter(text, answer):
    assert extract(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"<think>\boxed{1}</think>\boxed{2}", "2"),
        (r"<think>\boxed{1}</think> done", None),
        (r"\boxed{1}</think>\boxed{2}", "2"),
        (r"<think>\boxed{1}", None),
        (r"\boxed{3} <think>\boxed{1}", "3"),
        (r"<Thinking>\boxed{1}</Thinking> Answer: 4", "4"),
    ],
)
def test_what_is_thought_is_never_the_answer(text, answer):
    assert extract(text) == answer
    assert extract(text, r"(?:boxed\{|Answer: )(\d+)") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>41?</think><answer>42</answer>", "42"),
        ("<reasoning>\\boxed{41} at first</reasoning>\n<answer>\n42\n</answer>", "42"),
        ("<answer>41</answer> no: <answer>So it is \\boxed{42}.</answer>", "42"),
        ("<answer>The answer is 42.</answer>", "42"),
        ("Write <answer></answer>. \\boxed{42}", "42"),
        ("<answer>4", None),
    ],
)
def test_a_marked_answer_beats_what_stands_around_it(text, answer):
    assert extract(text) == answer


def test_a_format_takes_its_last_match():
    assert extract("#### 1\nno\n####  1,234 ", r"#### (.+)") == "1,234"
    assert extract("none", r"#### (.+)") is None
    assert extract("a b", r"(x)?[ab]") is None
    assert extract("Answer: 5\nWrite it as Answer: ", r"Answer: (.*)") == "5"


@pytest.mark.parametrize("answer_format", ["(", r"\d+", r"(\d)(\d)", 5, None])
def test_a_format_that_cannot_work_says_what_was_given(answer_format):
    with pytest.raises(ConfigError, match="answer_format") as caught:
        extract("1", answer_format)
    assert repr(answer_format) in str(caught.value)


def test_only_text_is_read_and_compared():
    with pytest.raises(ConfigError, match="bytes"):
        extract(b"5")
    with pytest.raises(ConfigError, match="None"):
        compare("5", None)


@pytest.mark.parametrize(
    "piece",
    [r"\boxed{", "<think>", "{", "}", r"\boxed ", "Answer: ", "answer is ", "\n", "$", "answer is not ", "<answer>"],
)
def test_a_megabyte_of_anything_unclosed_is_read_in_linear_time(piece):
    text = "Answer: $1$ " + piece * (1_000_000 // len(piece))
    started = time.process_time()
    extract(text)
    assert time.process_time() - started < 5  # a quadratic scan takes minutes


@given(st.text(alphabet=r"\boxedfanswrthik{}<>/$:.*, 5" + "\n\0\udc80"))
@settings(max_examples=200, deadline=None)
def test_extract_never_raises_and_gives_trimmed_text_or_none(text):
    answer = extract(text)
    assert answer is None or (answer and answer == answer.strip())


# --- comparing: no child process is needed ----------------------------------------------------------------

EQUAL_AT_ONCE = [
    (r"\frac12", r"\dfrac{1}{2}"), (r"\frac 34", "0.75"), (r"\frac9{19}", "9/19"), ("1 4/5", r"1\frac{4}{5}"),
    ("007", "7"), ("+5", "5"), (".5", "0.50"), ("0.0", "0"), ("5.", "5"), ("1.5e3", r"1.5 \times 10^{3}"),
    ("10^5", "100,000"), (r"11,\! 111,\! 100", "11111100"), ("58 500", "58,500"),
    ("5 million", "5,000,000"), (r"0.\overline{3}", "1/3"), ("0.333333333333", "1/3"), ("five", "5"),
    (r"\text{Evelyn}", "evelyn"), (r"\text{(C)}", "C"), ("(c)", "C)"), ("Even.", r"\text{even}"),
    (r"$\left( 3, \frac{\pi}{2} \right)$", r"(3,\frac{\pi}2)"), ("2π", r"2\pi"), (r"4210_{5}", "4210_5"),
]  # fmt: skip

LEFT_OUT_ON_ONE_SIDE = [
    ("x = 5", "5"), (r"x \in [-2,7]", "[-2,7]"), ("(x,y) = (1,2)", "(1,2)"), (r"106^\circ", "106"),
    (r"\frac{270}7\text{ degrees}", r"\frac{270}{7}^\circ"), (r"15\mbox{ cm}^2", "15"),
    (r"15\mbox{ cm}^2", "15 square centimeters"), (r"\$32,\!348", "32348"), ("18 eggs", "18"), ("€5", "5"),
    ("204_5", "204"), ("50%", "50"), ("50%", r"50\%"), ("50 percent", "1/2"), (r"50\%", "0.5"),
]  # fmt: skip

LISTS = [
    ("-2,1", "1,-2"), ("3, 5, and 7", "7,3,5"), (r"\{1,2\}", "2, 1"), ("(1,2)", "1, 2"),
    (r"\pm 2", "-2, 2"), ("x = 1 or x = -2", "-2, 1"), ("1,000, 2,000", "2000, 1000"),
    ("x=1, y=2", "y=2, x=1"), (r"\{1\pm\sqrt{5},-2\}", r"-2,1-\sqrt5,1+\sqrt5"),
]  # fmt: skip

DIFFERENT_AT_ONCE = [
    ("50", "0.5"), ("5 cm", "5 m"), ("15 cm^2", r"15 \text{ cm}^3"), ("204_5", "204_8"),
    ("(1,2)", "[1,2]"), ("(1,2)", "(2,1)"), ("(1,2)", r"\{1,2\}"), ("[1,2)", "[1,2]"), ("1,2", "12"),
    ("1, 000", "1000"), ("(1,100)", "1100"), ("1,1,2", "1,2,2"), ("1,2,3", "1,2"), (r"\pm 2", "2"),
    ("1 4/5", "14/5"), ("2 3", "23"), ("2 3", "5"), ("1/3", "0.33"), ("0.0000672", "0.0000673"),
    ("x=1,y=2", "x=2,y=1"), ("12:30", "12:31"), ("even", "odd"), ("north", "east"), ("A", "B"), ("6", "five"),
    ("5", "Evelyn"), ("5 million", "5"), ("1/0", "5"), ("n=2, 3, 4", "n=1, 2, 3"), ("", "5"),
    ("0.333333", "1/3"), ("-0", "0"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), [*EQUAL_AT_ONCE, *LEFT_OUT_ON_ONE_SIDE, *LISTS])
def test_notation_does_not_make_an_answer_different(a, b):
    assert compare(a, b) is True
    assert compare(b, a) is True


@pytest.mark.parametrize(("a", "b"), [*EQUAL_AT_ONCE, *LEFT_OUT_ON_ONE_SIDE])
def test_notation_and_numbers_need_no_child_process(a, b):
    assert comparing._at_once(a, b) is True


@pytest.mark.parametrize(("a", "b"), DIFFERENT_AT_ONCE)
def test_what_looks_alike_stays_different(a, b):
    assert compare(a, b) is False
    assert compare(b, a) is False


@pytest.mark.parametrize("unit", [r"\text{ cm^x}", r"\text{ ^x}", r"\text{cm^}"])
def test_a_power_without_an_exponent_is_no_unit_and_no_error(unit):
    assert answers.compare(f"5{unit}", f"5{unit}") is True
    assert answers.compare(f"5{unit}", "6") is not True


def test_numbers_beyond_any_bound_do_not_stall():
    assert comparing._at_once("1e9999", "1e9998") is False
    assert compare("9" * 1_000_000, "9" * 999_999) is False
    assert compare("9" * 1_000_000, " " + "9" * 1_000_000) is True


@pytest.mark.parametrize("piece", ["\\", "\\\\ ", "1 in ", "3 x 4 = ", "1'", "12,50 ", "["])
def test_an_answer_of_one_piece_over_and_over_is_read_at_once(piece):
    started = time.process_time()
    for times in (40, comparing.MAX_LENGTH // len(piece) - 1):  # so that exponential time shows, and does not hang
        comparing._at_once(piece * times + "5", "6")
        assert time.process_time() - started < 2


@given(st.text(alphabet=r"\frac{}()[],.0123456789 xyAB=%$^_'abcdtext" + "\0\udc80", max_size=30))
@settings(max_examples=300, deadline=None)
def test_every_answer_equals_itself(answer):
    assert equivalent(answer, f" {answer} ")


@given(st.tuples(*[st.text(alphabet="0123456789,.-/()[]% ", max_size=8)] * 2))
@settings(max_examples=300, deadline=None)
def test_the_verdict_does_not_depend_on_the_order(pair):
    a, b = pair
    assert comparing._at_once(a, b) is comparing._at_once(b, a)


# --- comparing: Math-Verify in its child process ----------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (r"11\sqrt{5} + 11", r"11(1+\sqrt5)"),
        ("(a+5)(b+2)", "(b+2)(a+5)"),
        ("y = 2x + 3", "y = 3 + 2x"),
        ("5x - 7y + 11z + 4 = 0", "-5x + 7y - 11z - 4 = 0"),
        (r"\begin{pmatrix} -1/3 \\ 2 \end{pmatrix}", r"\begin{bmatrix} -\frac13 \\ 2 \end{bmatrix}"),
        (r"(-\infty, 2) \cup (3, \infty)", r"(3,\infty)\cup(-\infty,2)"),
        ("1 < x < 2", r"x \in (1,2)"),
        ("1 <= x < 2", "[1,2)"),
        (r"\sqrt2", "1.41421356237"),
        ("1+2i", "2i+1"),
        (r"\log_2 8", "3"),
    ],
)
def test_algebra_is_seen_through(a, b):
    assert compare(a, b) is True
    assert compare(b, a) is True


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("3R^2", "3r^2"),
        ("a+A", "2a"),
        ("2x+z=5", "5"),
        ("x^2=1", "x=1"),
        (r"\frac{\pi}{10^7}", "0.0000001"),
        (r"\frac{1}{2004!}", r"\frac{1}{2006!}"),
        ("3x-y+13=0", "3x+4y+14=0"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)"),
        ("2 xy", "2"),
        ("5", "5 + \0"),
        ("5", "\udc80"),
    ],
)
def test_math_verifys_false_equalities_are_caught(a, b):
    assert compare(a, b) is False
    assert compare(b, a) is False


def test_every_thread_and_a_running_loop_get_the_same_verdict():
    pairs = [("(x+1)(x-2)", "x^2-x-2"), ("(x+1)(x-2)", "x^2-x-3")]
    here = [compare(*pair) for pair in pairs]
    comparing._verdicts.clear()
    found: list[list[bool | None]] = []
    threads = [threading.Thread(target=lambda: found.append([compare(*p) for p in pairs])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    comparing._verdicts.clear()

    async def in_loop() -> list[bool | None]:
        return [compare(*pairs[0]), await acompare(*pairs[1])]

    assert here == [True, False]
    assert found == [here] * 6
    assert asyncio.run(in_loop()) == here


HOSTILE = [r"9^{9^{9^9}}", r"10^{10^9}", r"3^{2^{28}}", r"(10^7)!", r"2^{2^{30}}", "(" * 1900]


@pytest.mark.parametrize("answer", HOSTILE)
def test_a_hostile_answer_is_undecided_and_its_child_is_replaced(answer, monkeypatch):
    monkeypatch.setattr(comparing, "LIMIT_SECONDS", 0.4)
    assert compare(answer, f"{answer}+1") is not True
    assert compare("2(x+1)", f"2x+2+{HOSTILE.index(answer)}-{HOSTILE.index(answer)}") is True
    assert len(worker._children.all) <= worker.CHILDREN


@pytest.mark.parametrize("answer", [r"\frac{" * 10_000 + "1" + "}{2}" * 10_000, r"\sqrt{" * 250 + "2" + "}" * 250])
def test_deep_nesting_is_not_equal_and_harms_nobody(answer):
    assert compare(answer, "5") is not True
    assert compare("x+y", "y+x") is True


def test_undecided_is_a_warning_and_not_an_equality(monkeypatch):
    monkeypatch.setattr(comparing, "LIMIT_SECONDS", 0.2)
    with pytest.warns(UndecidedWarning, match=r"9\^\{9\^\{9.*9\^\{9\^\{9.*0\.2 s"):
        assert equivalent("9^{9^{9^9}}", "9^{9^{9^9}}+2") is False
    assert compare("9^{9^{9^9}}+2", "9^{9^{9^9}}") is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equivalent("x+2", "2+x") is True


def test_an_undecided_pair_is_asked_again(monkeypatch):
    pair = ("7^{7^{7^7}}", "7^{7^{7^7}}+1")
    monkeypatch.setattr(worker, "ask", lambda *_: (None, 2.0))
    assert compare(*pair) is None
    monkeypatch.setattr(worker, "ask", lambda *_: (False, 0.1))
    assert compare(*pair) is False
    monkeypatch.setattr(worker, "ask", lambda *_: (True, 0.1))
    assert compare(*pair) is False  # a verdict is kept


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no signals that stop a process")
def test_a_busy_machine_does_not_change_a_verdict(monkeypatch):
    monkeypatch.setattr(comparing, "LIMIT_SECONDS", 0.3)
    assert compare("x+7", "7+x") is True
    pids = [child._process.pid for child in worker._children.all]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # as if others had the processor
    threading.Timer(1.0, lambda: [os.kill(pid, signal.SIGCONT) for pid in pids]).start()
    assert compare("x+8", "8+x") is True


def test_the_loop_keeps_ticking_while_a_pair_is_decided(monkeypatch):
    monkeypatch.setattr(comparing, "LIMIT_SECONDS", 0.5)

    async def count() -> tuple[bool | None, int]:
        pair = asyncio.create_task(acompare("8^{8^{8^8}}", "8^{8^{8^8}}+3"))
        ticks = 0
        while not pair.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return await pair, ticks

    verdict, ticks = asyncio.run(count())
    assert verdict is None
    assert ticks >= 3


def test_a_child_that_died_in_between_is_replaced():
    assert compare("x+4", "4+x") is True
    for child in list(worker._children.all):
        child._process.kill()
        child._process.wait()
    assert compare("x+5", "5+x") is True


# --- comparing: processes ---------------------------------------------------------------------------------


def _script(code: str, **environment: str) -> subprocess.Popen[str]:
    return children.start(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )


def _gone(pid: int, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if " Z " in Path(f"/proc/{pid}/stat").read_text():
                return True  # nobody's child any more, waiting for init
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


PIDS = "print(*(child._process.pid for child in worker._children.all), flush=True)"


def test_no_child_outlives_the_interpreter():
    with _script(
        f"from catlite import answers\nfrom catlite.answers import worker\nassert answers.compare('x+1', '1+x')\n{PIDS}"
    ) as run:
        out, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (0, "")
    assert len(out.split()) == 2
    assert all(_gone(int(pid)) for pid in out.split())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_child_outlives_a_killed_parent_even_in_the_middle_of_a_pair():
    code = (
        "import threading, time\nfrom catlite import answers\nfrom catlite.answers import worker\n"
        "answers.compare('x+1', '1+x')\n"
        f"threading.Thread(target=answers.compare, args=('(10^7)!', '(10^7)!+1')).start()\n{PIDS}\ntime.sleep(60)"
    )
    with _script(code) as run:
        assert run.stdout is not None
        pids = [int(pid) for pid in run.stdout.readline().split()]
        time.sleep(0.3)
        run.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    assert all(_gone(pid) for pid in pids)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_leaves_its_parents_child_alone():
    code = (
        "import os, sys, warnings\nwarnings.simplefilter('ignore')\n"
        "from catlite import answers\nassert answers.compare('x+1', '1+x')\n"
        "pid = os.fork()\nsame = answers.compare('x+2', '2+x')\n"
        "if pid == 0: sys.exit(0 if same else 3)\n"
        "code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        "print(same, code, answers.compare('x+3', '3+x'))"
    )
    with _script(code) as run:
        out, err = run.communicate(timeout=60)
    assert (out.split(), err) == (["True", "0", "True"], "")


def test_a_broken_math_verify_is_an_error_and_not_a_verdict(tmp_path, monkeypatch):
    (tmp_path / "math_verify.py").write_text("raise ImportError('half installed')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker._children.end()
    with pytest.raises(CatliteError, match=r"half installed.*import math_verify"):
        compare("x+6", "6+x")
    monkeypatch.undo()
    worker._children.end()
    assert compare("x+6", "6+x") is True


def test_importing_answers_starts_and_imports_nothing_heavy():
    code = (
        "import sys, catlite.answers\nheavy = {'sympy', 'math_verify', 'asyncio', 'subprocess'}\n"
        "print(heavy & set(sys.modules))"
    )
    with _script(code) as run:
        assert run.communicate(timeout=60)[0].strip() == "set()"
