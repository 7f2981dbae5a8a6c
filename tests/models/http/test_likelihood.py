"""Log-probabilities of given text: real ones from the embedded model, and every other server's answer understood."""

import itertools
import math

import pytest
from asking import on
from faults import Fault, error_in_200, overflow, status
from server import Server

import catlite
from catlite import Budget, Endpoint, Example, Group, MinPerplexity, MutualPredictability, Rollout, Usage, concurrency
from catlite.errors import BadReply, BudgetReached, ConfigError, ContextOverflow
from catlite.models.http import likelihood
from catlite.runs.session import capped, open_run

SUM = "What is 2 times 3?"


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("xllamacpp", reason="needs catlite[local]")
    with catlite.embedded() as running:
        yield running


def score(model, text, prompt=SUM):
    return concurrency.run(model.logprobs(prompt, text))


# --- the embedded model, for real ---


def test_embedded_scores_of_a_greedy_reply_are_those_it_was_sampled_with(model):
    rollout = concurrency.run(model.sample(SUM, 1, temperature=0, max_tokens=24))[0]
    sampled = rollout.logprobs[:-1]  # a rollout has its end as well
    assert rollout.finish_reason == "stop"
    assert score(model, rollout.text) == pytest.approx(sampled, abs=1e-3)


def test_embedded_finds_the_right_reply_likelier(model):
    right, wrong = (sum(score(model, f"2 times 3 is {number}.")) for number in (6, 7))
    assert right > wrong + 1


@pytest.mark.parametrize(("text", "count"), [("🎉", 3), ("é🎉x", 5), ("a\0b", 3), ("<|im_end|>", 7)])
def test_embedded_scores_what_no_grammar_can_write(model, text, count):
    scored = score(model, text)
    assert len(scored) == count
    assert all(-60 < one < 0 for one in scored)


def test_embedded_scores_looked_up_are_those_of_forced_tokens(model, monkeypatch):
    forced = score(model, "2 times zebra")
    monkeypatch.setattr(likelihood, "_runs", lambda ids, writable: [([one], False) for one in ids])
    assert score(model, "2 times zebra") == pytest.approx(forced, abs=1e-3)


def test_embedded_refuses_a_prompt_beyond_its_context(model):
    with pytest.raises(ContextOverflow) as caught:
        score(model, "six", "word " * 9000)
    assert (caught.value.limit, caught.value.given > 9000) == (8192, True)


def rollouts(*texts):
    return Group(Example(SUM), tuple(map(Rollout, texts)))


def test_embedded_min_perplexity_picks_the_likeliest(model):
    group = rollouts("qq zebra 7!", "2 times 3 is 6.", "purple 2 rain is")
    assert concurrency.run(MinPerplexity(model)(group)).text == "2 times 3 is 6."


def test_embedded_mutual_predictability_picks_what_the_others_say(model):
    group = rollouts("It is 6.", "zebra qq", "It is 6.")
    assert concurrency.run(MutualPredictability(model)(group)).text == "It is 6."


# --- a server that plays llama.cpp: a token per character ---


class Llama:
    """Its log-probabilities are minus the code point over 1000."""

    def __init__(self, **changes):
        self.changes = changes
        self.completed = []

    def tokenize(self, body):
        return {"tokens": [{"id": ord(one), "piece": one} for one in body["content"]]}

    def complete(self, body):
        self.completed.append(body)
        ids = [int(part) for part in body["grammar"].replace("<[", "").replace("]>", "").split()[2:]]
        found = [{"id": one, "logprob": -one / 1000} for one in ids]
        return {"completion_probabilities": found, "timings": {"cache_n": 2}} | self.changes

    def template(self, body):
        return {"prompt": f"Q: {body['messages'][-1]['content']}\nA: "}

    @property
    def routes(self):
        return {"/apply-template": self.template, "/tokenize": self.tokenize, "/completion": self.complete}


def test_a_fleet_scores_a_text_at_one_replica_and_goes_on_at_another_when_that_dies(hurry):
    with Server(routes=Llama().routes) as first, Server(routes=Llama().routes) as second:
        model = on(first, base_url=[first.url, second.url])
        with model:
            for _ in range(2):
                assert score(model, "ab") == [-0.097, -0.098]
            posts = [sum(request.method == "POST" for request in server.requests) for server in (first, second)]
            assert sorted(posts) == [0, 8]
            home = first if posts[0] else second
            home.routes = dict.fromkeys(Llama().routes, lambda body: status(502))
            assert score(model, "ab") == [-0.097, -0.098]


def test_llama_is_asked_to_write_exactly_the_texts_tokens():
    llama = Llama()
    with Server(routes=llama.routes) as server, on(server) as model:
        assert score(model, "ab") == [-0.097, -0.098]
    (body,) = llama.completed
    assert body["prompt"] == [ord(one) for one in f"Q: {SUM}\nA: "]
    assert (body["grammar"], body["n_predict"]) == ("root ::= <[97]> <[98]>", 2)


@pytest.mark.parametrize(
    "found",
    [[], None, [{"id": 97, "logprob": -1.0}], [{"id": 97, "logprob": -1.0}, {"id": 99, "logprob": -1.0}], [1, 2]],
)
def test_other_tokens_than_the_forced_ones_are_no_score(found, hurry):
    llama = Llama(completion_probabilities=found)
    with Server(routes=llama.routes) as server, on(server) as model, pytest.raises(BadReply, match="2 given tokens"):
        score(model, "ab")


def test_a_score_that_is_no_number_is_no_score(hurry):
    odd = [{"id": 97, "logprob": float("nan")}, {"id": 98, "logprob": -1.0}]
    llama = Llama(completion_probabilities=odd)
    with Server(routes=llama.routes) as server, on(server) as model, pytest.raises(BadReply, match="no number"):
        score(model, "ab")


def test_a_text_that_runs_out_of_context_on_the_way_is_an_overflow_and_not_a_short_score():
    llama = Llama(completion_probabilities=[{"id": 97, "logprob": -1.0}], truncated=True)
    with Server(routes=llama.routes) as server, on(server) as model, pytest.raises(ContextOverflow, match="beyond"):
        score(model, "ab")


def test_an_impossible_token_stays_a_number_one_can_average():
    llama = Llama(completion_probabilities=[{"id": 97, "logprob": -3.4e38}])
    with Server(routes=llama.routes) as server, on(server) as model:
        assert score(model, "a") == [-9999.0]


def test_a_llama_without_token_grammars_is_told_to_be_updated():
    routes = Llama().routes | {"/completion": lambda body: status(400, "Failed to parse grammar")}
    with Server(routes=routes) as server, on(server) as model, pytest.raises(ConfigError, match=r"update llama\.cpp"):
        score(model, "ab")


def test_a_transient_failure_is_asked_again(hurry):
    answers = itertools.chain([status(503)], itertools.repeat(None))
    llama = Llama()
    routes = llama.routes | {"/completion": lambda body: next(answers) or llama.complete(body)}
    with Server(routes=routes) as server, on(server) as model:
        assert score(model, "a") == [-0.097]


def test_settings_of_the_chat_template_shape_the_scored_prompt_too():
    seen = []
    routes = Llama().routes | {"/apply-template": lambda body: seen.append(body) or {"prompt": "A: "}}
    thinking = {"enable_thinking": False}
    with Server(routes=routes) as server, on(server, temperature=1.0, chat_template_kwargs=thinking) as model:
        score(model, "a")
    assert seen[0]["chat_template_kwargs"] == thinking


# --- budget and run ---


def test_a_score_is_booked_in_the_budget():
    with Server(routes=Llama().routes) as server, on(server) as model, capped(Budget(requests=4), Usage()) as ledger:
        score(model, "ab")
        assert ledger.spent.requests == 4
        assert ledger.spent.total_tokens == len(f"Q: {SUM}\nA: ") + 2
        with pytest.raises(BudgetReached):
            score(model, "ab")
        assert len(server.requests) == 4


def test_what_scores_cost_is_the_estimators_usage_also_when_a_run_replays_them(tmp_path):
    group = Group(Example("q"), (Rollout("ab"), Rollout("a")))
    with Server(routes=Llama().routes) as server, on(server, price=catlite.Price(1.0, 0.0)) as model:
        for _ in range(2):
            with open_run(tmp_path):
                usage = concurrency.run(MinPerplexity(model)(group)).usage
            assert (usage.requests, usage.completion_tokens, usage.prompt_tokens) == (8, 3, 2 * len("Q: q\nA: "))
            assert usage.cost_usd == pytest.approx(usage.prompt_tokens / 1e6)
        assert len(server.requests) == 8


def test_a_run_scores_nothing_twice(tmp_path):
    with Server(routes=Llama().routes) as server, on(server) as model:
        for _ in range(2):
            with open_run(tmp_path) as store:
                assert score(model, "ab") == [-0.097, -0.098]
                assert store.account.spent.requests == 4
        assert len(server.requests) == 4
        with open_run(tmp_path):
            score(model, "abc")
        assert len(server.requests) == 8


# --- a server that plays vLLM (its format as documented for v0.12 to v0.20; never tried on a real one) ---


def vllm(body, i=0, template="Q{}A", change=lambda prompt: prompt):
    """A character is a token; `prompt_logprobs` as vLLM's: null, then {id: {logprob, rank, decoded_token}}."""
    *_, last = body["messages"]
    if body.get("continue_final_message"):
        prompt = template.format(body["messages"][-2]["content"]) + last["content"]
    else:
        prompt = template.format(last["content"])
    prompt = change(prompt)
    entries = [None]
    for one in prompt[1:]:
        entries.append({str(ord(one)): {"logprob": -ord(one) / 1000, "rank": 3, "decoded_token": one}})
    return entries if body.get("prompt_logprobs") is not None else None


def playing_vllm(**options):
    """A server whose replies carry `prompt_logprobs` beside the choices, as vLLM's do."""
    server = Server("x")
    complete = server._completion
    server._completion = lambda body, n: complete(body, n) | {"prompt_logprobs": vllm(body, **options)}
    return server


def test_vllm_scores_are_those_of_the_prompts_last_tokens():
    with playing_vllm() as server, on(server) as model:
        assert score(model, "ab", "six") == [-0.097, -0.098]
        whole, before = [request.body for request in server.requests if request.path.endswith("completions")]
    assert whole["messages"][-1] == {"role": "assistant", "content": "ab"}
    assert (whole["add_generation_prompt"], whole["continue_final_message"]) == (False, True)
    assert (before["add_generation_prompt"], before["continue_final_message"]) == (True, False)
    assert (whole["prompt_logprobs"], whole["max_tokens"]) == (0, 1)


def test_what_a_server_is_is_learned_once():
    with playing_vllm() as server, on(server) as model:
        score(model, "ab")
        score(model, "ab")
        assert [request.path for request in server.requests].count("/apply-template") == 1


def test_a_vllm_template_that_changes_earlier_messages_is_an_error_and_no_score():
    server = playing_vllm(change=lambda prompt: prompt if prompt.endswith("A") else f"Q!{prompt}")
    with server, on(server) as model, pytest.raises(ConfigError, match="chat template"):
        score(model, "ab", "six")


def test_an_answer_that_is_no_completion_says_nothing_about_the_server(hurry):
    with playing_vllm() as server, on(server) as model:
        server.script([error_in_200()])
        assert score(model, "ab", "six") == [-0.097, -0.098]


def test_a_vllm_prompt_beyond_its_context_is_an_overflow():
    with playing_vllm() as server, on(server) as model:
        server.script([overflow("vllm", 9000, 8192)])
        with pytest.raises(ContextOverflow):
            score(model, "ab")


# --- servers that cannot ---

ADVICE = r"gives no log-probabilities of given text: use a llama.cpp or vLLM server, or MinPerplexity\(\) with"


def test_a_server_that_ignores_the_request_is_named_and_then_not_asked_again():
    with Server("x") as server, on(server) as model:
        for _ in range(2):
            with pytest.raises(ConfigError, match=ADVICE):
                score(model, "ab")
        assert len(server.requests) == 2


@pytest.mark.parametrize("refusal", [status(400, "Unrecognized request argument supplied: prompt_logprobs"), 422])
def test_a_server_that_refuses_the_request_is_named_with_what_it_said(refusal):
    refusal = refusal if isinstance(refusal, Fault) else status(refusal, "extra fields not permitted")
    server = Server("x", faults=[refusal])
    with server, on(server) as model, pytest.raises(ConfigError, match=r"(Unrecognized|not permitted)"):
        score(model, "ab")


@pytest.mark.parametrize("answer", ["<html>", {"error": "Unexpected endpoint"}, [], status(403), status(405)])
def test_a_page_for_an_unknown_path_is_not_taken_for_llama(answer):
    server = Server("x", routes={"/apply-template": lambda body: answer})
    with server, on(server) as model, pytest.raises(ConfigError, match=ADVICE):
        score(model, "ab")


def test_litellm_is_refused_before_anything_is_sent():
    with pytest.raises(ConfigError, match=ADVICE):
        score(Endpoint("openai/gpt-4o", api_key="sk-test-0123456789"), "ab")


@pytest.mark.parametrize("text", ["", None, 7])
def test_there_must_be_something_to_score(server, text):
    with on(server) as model, pytest.raises(ConfigError, match="at least one token"):
        score(model, text)
    assert server.requests == []


def test_scores_are_natural_logs(model):
    """Of all first words a reply may have, these cannot be likelier together than one."""
    words = ("The", "2", "To", "6", "It")
    assert sum(math.exp(score(model, word)[0]) for word in words) < 1
