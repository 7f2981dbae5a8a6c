"""The token loop on small models of several kinds: a batch gives every row what it would get alone."""

import pytest
from tiny import PAD, VOCABULARY, random_model

torch = pytest.importorskip("torch", reason="needs catlite[train]")
transformers = pytest.importorskip("transformers", reason="needs catlite[train]")

from catlite.errors import ModelError  # noqa: E402
from catlite.models.local.decoding import begin_alike, decode  # noqa: E402
from catlite.models.local.sampling import Choice, Drawing, numbers  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours
KINDS = {
    "full attention": ("Llama", {}),
    "a window in every layer": ("Mistral", {"sliding_window": 20}),
    "windows in some layers": (
        "Gemma3Text",
        {"sliding_window": 20, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "convolutions in some layers": ("Lfm2", {"layer_types": ["conv", "full_attention"]}),
}
SAME = list(range(1, 31))  # how all prompts begin
PROMPTS = [[*SAME, 40], [*SAME, 41, 42, 43, 44, 45], [*SAME, 46, 47], [*SAME, 40]]
LENGTHS = [3, 12, 12, 5]


def model_of(kind):
    name, more = KINDS[kind]
    if not hasattr(transformers, f"{name}Config"):
        pytest.skip(f"this transformers has no {name}")
    return random_model(name, **more)


def replies(model, rows):
    drawings = [Drawing(LENGTHS[row], seed=row) for row in rows]
    drawn = [numbers(drawing, PROMPTS[row], 0, max(LENGTHS)) for drawing, row in zip(drawings, rows, strict=True)]
    choice = Choice(drawings, drawn, [VOCABULARY - 1], model.device)
    with torch.no_grad():
        decode(model, [PROMPTS[row] for row in rows], choice, PAD)
    return choice.replies(0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_gives_every_row_what_it_would_get_alone(kind):
    model = model_of(kind)
    together = replies(model, range(4))
    alone = [replies(model, [row])[0] for row in range(4)]
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    assert len({tuple(one.tokens) for one in alone}) == 4
    for one, other in zip(together, alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_log_probabilities_are_those_of_one_pass_over_the_whole_text(kind):
    model = model_of(kind)
    for row, one in enumerate(replies(model, range(4))):
        whole = torch.tensor([[*PROMPTS[row], *one.tokens]])
        with torch.no_grad():
            scores = model(input_ids=whole).logits[0].log_softmax(-1)
        expected = [float(scores[len(PROMPTS[row]) - 1 + at, token]) for at, token in enumerate(one.tokens)]
        assert one.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_common_beginning_is_read_once_only_where_all_attend_to_all(kind):
    assert begin_alike(model_of(kind).config, PROMPTS[:3]) == (len(SAME) if kind == "full attention" else 0)


def test_scores_that_are_no_numbers_are_an_error_not_a_reply():
    model = model_of("full attention")
    with torch.no_grad():
        model.lm_head.weight[5] = torch.nan
    with pytest.raises(ModelError, match=r"NaN.*float32"):
        replies(model, [0])


def test_a_model_that_hands_out_no_cache_is_left_to_its_own_generate(folder):
    from catlite import LocalModel, concurrency

    def said(model):
        return [one.text for one in concurrency.run(model.sample("Say it.", 3, seed=1, max_tokens=8))]

    model = LocalModel(folder)
    usual = said(model)
    generate, forward = model.model.generate, model.model.forward
    inside = []

    def without(*given, **named):
        out = forward(*given, **named)
        if not inside:
            out.past_key_values = None
        return out

    def own(*given, **named):
        inside.append(True)
        return generate(*given, **named)

    model.model.forward, model.model.generate = without, own
    assert said(model) == usual
    assert inside == [True]


def test_a_reply_that_has_ended_stays_within_the_context_while_others_go_on():
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=VOCABULARY, n_positions=16, n_embd=32, n_layer=1, n_head=2)
    model = transformers.GPT2LMHeadModel(config).eval()  # which knows no position beyond its sixteen
    prompts = [list(range(1, 13)), *([1, 2, row] for row in range(4))]
    drawings = [Drawing(16 - len(prompt), seed=1) for prompt in prompts]
    chances = [numbers(drawing, prompt, 0, 13) for drawing, prompt in zip(drawings, prompts, strict=True)]
    choice = Choice(drawings, chances, [VOCABULARY], model.device)
    with torch.no_grad():
        decode(model, prompts, choice, PAD)
    assert [len(reply.tokens) for reply in choice.replies(0.0)] == [4, 13, 13, 13, 13]
