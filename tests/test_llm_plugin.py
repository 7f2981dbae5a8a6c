"""The plugin of the `llm` command, run as a user runs it, against a server on this machine."""

import asyncio
import json

import pytest

llm = pytest.importorskip("llm", reason="needs catlite[llm]")
from click.testing import CliRunner  # noqa: E402
from llm.cli import cli  # noqa: E402
from llm.plugins import load_plugins, pm  # noqa: E402
from pictures import png, words  # noqa: E402

import catlite  # noqa: E402
from catlite import llm_plugin  # noqa: E402

QUESTION = "What is 6 times 7?"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The folder of `llm`, whose database takes seconds to make."""
    return tmp_path_factory.mktemp("llm")


@pytest.fixture
def run(server, monkeypatch, home):
    """Run `llm` with a folder and keys of its own."""
    monkeypatch.setenv("LLM_USER_PATH", str(home))
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    (home / "keys.json").write_text(json.dumps({"openai": server.key}))
    server.reply, server.models = r"It is \boxed{42}.", None
    load_plugins()
    if not pm.is_registered(llm_plugin) and not pm.has_plugin("catlite"):  # as pip does by the entry point
        pm.register(llm_plugin, "catlite")

    def run(*arguments):
        done = CliRunner().invoke(cli, arguments)
        return done.exit_code, done.output

    return run


def test_a_model_of_llm_answers_with_a_synthesis_and_a_conversation_goes_on(run, server):
    options = ("-o", "n", "3", "-o", "answer_format", "boxed", "-o", "temperature", "0.5")
    assert run("-m", "cat/gpt-4o-mini", *options, "-s", "Be brief.", QUESTION) == (0, "It is \\boxed{42}.\n")
    rollouts, synthesis = (request.body for request in server.requests)
    assert (rollouts["model"], rollouts["n"], rollouts["temperature"]) == ("gpt-4o-mini", 3, 0.5)
    assert [message["content"] for message in rollouts["messages"]] == ["Be brief.", QUESTION]
    assert "42" in synthesis["messages"][-1]["content"]
    [logged] = json.loads(run("logs", "-n", "1", "--json")[1])
    assert logged["response_json"]["catlite"]["answer"] == "42"
    assert logged["response_json"]["catlite"]["support"] == [3, 3]
    assert logged["input_tokens"] > 0
    assert run("-c", "-o", "n", "1", "And twice that?")[0] == 0
    roles = [message["role"] for message in server.requests[2].body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_it_can_be_awaited(run, server):
    async def ask():
        model = llm.get_async_model("cat/gpt-4o")
        return await model.prompt(QUESTION, n=2).text()

    assert asyncio.run(ask()) == r"It is \boxed{42}."


def test_other_models_are_named_in_the_environment_or_in_llms_own_file(run, server, monkeypatch, home):
    monkeypatch.setenv("CATLITE_LLM_MODELS", " own-model, ")
    lines = ["- model_id: near", "  model_name: near-1", f"  api_base: {server.url}", "  api_key_name: openai"]
    lines += ["- model_id: headed", "  model_name: h", f"  api_base: {server.url}", "  headers: {x-own: '1'}"]
    (home / "extra-openai-models.yaml").write_text("\n".join(lines))
    monkeypatch.setenv("OPENAI_API_KEY", server.key)  # not of llm's keys, which know nothing of this model
    assert run("-m", "cat/own-model", "-o", "n", "1", QUESTION)[0] == 0
    assert run("-m", "cat/near", "-o", "n", "1", QUESTION)[0] == 0
    assert [request.body["model"] for request in server.requests] == ["own-model", "own-model", "near-1", "near-1"]
    names = llm.get_model_aliases()
    assert "cat/local" in names
    assert "cat/headed" not in names


def test_a_server_that_llm_has_no_key_for_gets_none(run, server, monkeypatch, home):
    lines = ["- model_id: open", f"  api_base: {server.url}", "  model_name: m", "  vision: true"]
    (home / "extra-openai-models.yaml").write_text("\n".join(lines))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai-0123456789")
    assert run("-m", "cat/open", "-o", "n", "1", QUESTION)[0] == 1
    assert server.requests[-1].headers["authorization"] == "Bearer none"


def test_attachments_travel_where_the_model_takes_them(run, server):
    picture = llm.Attachment(type="image/png", content=png())
    run("models", "list")  # registers them
    assert llm.get_model("cat/gpt-4o").prompt("What?", attachments=[picture], n=1).text() == r"It is \boxed{42}."
    assert server.requests[0].body["messages"] == [
        {"role": "user", "content": [words("What?"), catlite.image(png())]},
    ]
    with pytest.raises(ValueError, match="attachments"):
        llm.get_model("cat/gpt-3.5-turbo").prompt("What?", attachments=[picture])


def test_the_key_is_in_no_log_and_no_message(run, server, home):
    assert run("-m", "cat/gpt-4o-mini", "-o", "n", "1", QUESTION)[0] == 0
    assert server.key.encode() not in (home / "logs.db").read_bytes()
    (home / "keys.json").write_text(json.dumps({"openai": "sk-wrong-0123456789"}))
    code, output = run("-m", "cat/gpt-4o-mini", "-o", "n", "1", QUESTION)
    assert code == 1
    assert "401" in output
    assert "sk-wrong-0123456789" not in output


def test_a_wrong_option_is_one_line_and_nothing_is_sent(run, server):
    code, output = run("-m", "cat/gpt-4o-mini", "-o", "n", "0", QUESTION)
    assert (code, output.count("\n"), server.requests) == (1, 1, [])
    assert "n=0" in output
