"""The command line speaks of its own options, and of none of Python's arguments."""

import pytest

from catlite.cli.flags import in_flags
from catlite.cli.main import build_parser, main


def parser(command):
    parsers = next(action for action in build_parser()._actions if action.dest == "command")
    return parsers.choices[command]


@pytest.mark.parametrize(
    ("command", "said", "told"),
    [
        ("evaluate", "n=0: want a whole number of at least 1", "--n 0: want a whole number of at least 1"),
        ("train", "num_generations=1: a group of one", "--n 1: a group of one"),
        ("evaluate", "n_repeats=0: want more", "--n-repeats 0: want more"),
        ("evaluate", "run='my runs/x' is in use by process 7", "--run 'my runs/x' is in use by process 7"),
        ("synthesize", "pass base_url= (or set OPENAI_BASE_URL)", "pass --base-url (or set OPENAI_BASE_URL)"),
        ("synthesize", 'or use model="local", which', "or use --model local, which"),
        ("synthesize", 'name yours with model="…"', "name yours with --model …"),
        ("synthesize", "raise max_tokens", "raise --max-tokens"),
        ("train", "raise max_completion_length or lower", "raise --max-tokens or lower"),
        (
            "estimate",
            "Did you mean from_records('q.csv', prompt='my question')?",
            "Did you mean --prompt 'my question'?",
        ),
        (
            "evaluate",
            "as in from_records('q (1).csv', prompt='q', answer='a')",
            "as in --prompt q --answer a",
        ),
        ("evaluate", 'load it by hand: gsm8k(path="test.jsonl", split="test")', "load it by hand: --path test.jsonl"),
        ("evaluate", "from_records(…, ask=True) asks for it.", "--ask asks for it."),
        ("evaluate", 'say so: encoding="cp1252"', "say so: --encoding cp1252"),
        (
            "evaluate",
            "limit=0: want a whole number of at least 1, or None for all rows",
            "--limit 0: want a whole number of at least 1",
        ),
        ("train", "pass reward=RubricReward(proposer, judge) with", "pass --reward rubric with"),
        ("evaluate", "seed=1.5", "--seed 1.5"),
        ("evaluate", "check the API key (api_key= or OPENAI_API_KEY)", "check the API key (OPENAI_API_KEY)"),
        ("evaluate", "set ANTHROPIC_API_KEY, or pass api_key=", "set ANTHROPIC_API_KEY"),
        ("evaluate", "No price is known of 'm': give it as Endpoint(…, price=Price(…)).", "No price is known of 'm'."),
        ("evaluate", "http://x/v1?n=3 and extra_body={…}", "http://x/v1?n=3 and extra_body={…}"),
        ("evaluate", "the model said run and n", "the model said run and n"),
        ("evaluate", "the judge 'm' wrote: 'so n=5'; n=0", "the judge 'm' wrote: 'so n=5'; --n 0"),
        (
            "evaluate",
            """it's the model's: "let n=5, it's max_tokens" (n=0)""",
            """it's the model's: "let n=5, it's max_tokens" (--n 0)""",
        ),
        ("evaluate", "n=0, in the last reply: 'so n=5 and the", "--n 0, in the last reply: 'so n=5 and the"),
        ("evaluate", "a folder named max_tokens.txt", "a folder named max_tokens.txt"),
        ("judge", "base_url='http://x'", "--base-url http://x"),
    ],
)
def test_arguments_are_told_as_options(command, said, told):
    assert in_flags(said, parser(command)) == told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("estimate", "FILE", "--model", "m"), "Did you mean --prompt question?"),
        (("evaluate", "FILE", "--model", "m"), "Did you mean --prompt question --answer gold?"),
        (
            ("estimate", "FILE", "--prompt", "question", "--model", "m", "--max-tokens", "9", "--budget-usd", "1"),
            "which is not known: cap tokens or requests instead",
        ),
        (
            ("evaluate", "FILE", "--prompt", "question", "--answer", "gold", "--model", "m"),
            "no --answer-format by which",
        ),
        (("evaluate", "FILE", "--prompt", "question", "--ask", "--model", "m"), "give --answer-format boxed with it"),
        (("evaluate", "times_tables", "--limit", "0", "--model", "m"), "--limit 0: "),
        (("train", "FILE", "--prompt", "question"), "pass --reward rubric"),
        (("evaluate", "times_tables", "--model", "m", "--dry-run", "-1"), "--dry-run -1: want a whole number"),
        (("demo", "--questions", "0"), "--questions 0: want a whole number from 1 to 81"),
        (("evaluate", "math500", "--ask", "--model", "m"), "--ask goes with a file of your own"),
        (("train", "math500", "--ask"), "--ask goes with a file of your own"),
        (
            ("evaluate", "healthbench_professional", "--subset", "hard", "--model", "m", "--judge", "j"),
            "--subset hard: healthbench_professional takes no --subset, leave it out",
        ),
        (("evaluate", "larger", "--path", "FILE", "--model", "m"), "larger takes no --path, leave it out"),
    ],
)
def test_an_error_names_what_to_type(tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    file = tmp_path / "mine.csv"
    file.write_text("question,gold\none?,1\n")
    assert main([str(file) if word == "FILE" else word for word in arguments]) in (1, 2)
    said = capsys.readouterr().err
    assert told in said
    assert "from_records" not in said
    assert "=" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "math500", "--estimators", "majority,magic"),
        ("evaluate", "healthbench"),
        ("evaluate", "math500", "--judge", "gpt-4o"),
        ("estimate", "mine.csv", "--estimator", "magic"),
        ("train", "math500", "--estimator", "magic"),
        ("train", "math500", "--reward", "rubric"),
        ("train", "math500", "--judge", "gpt-4o"),
    ],
)
def test_names_are_checked_before_a_task_or_a_model_is_fetched(monkeypatch, capsys, arguments):
    from catlite.models.embedded import model
    from catlite.tasks import fetch

    def fetched(*_, **__):
        raise AssertionError("it fetched")

    monkeypatch.setattr(fetch, "rows", fetched)
    monkeypatch.setattr(model, "embedded", fetched)
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_every_limit_draws_by_the_seed(tmp_path, monkeypatch):
    import catlite
    from catlite.cli import evaluate, options

    file = tmp_path / "many.csv"
    file.write_text("prompt,answer\n" + "".join(f"q{number},{number}\n" for number in range(50)))
    taken = []
    readers = {"evaluate": evaluate._task, "train": lambda given: options.read_task(given, options.own(given))}
    for command, read in readers.items():
        arguments = build_parser().parse_args([command, str(file), "--limit", "5", "--seed", "3"])
        taken.append([example.prompt for example in read(arguments)])

    def estimate(task, *_, **__):
        taken.append([example.prompt for example in task])
        return [catlite.Reference("", None, "nobody", catlite.Group(example, ())) for example in task]

    monkeypatch.setattr(catlite, "estimate", estimate)
    main(["estimate", str(file), "--limit", "5", "--seed", "3", "--model", "m", "--base-url", "http://127.0.0.1:9/v1"])
    assert taken[0] == taken[1] == taken[2] != [f"q{number}" for number in range(5)]
