"""Stages on a CPU: what they draw is what single passes draw, run as usual or replayed from a recording of one step."""

import contextlib
import logging
from functools import partial

import pytest
from tiny import PAD, VOCABULARY, random_model

torch = pytest.importorskip("torch", reason="needs catlite[train]")
transformers = pytest.importorskip("transformers", reason="needs catlite[train]")
pytest.importorskip("peft", reason="needs catlite[train]")
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from catlite import LocalModel, concurrency  # noqa: E402
from catlite.errors import ConfigError  # noqa: E402
from catlite.models.local import decoding, stages  # noqa: E402
from catlite.models.local.decoding import decode  # noqa: E402
from catlite.models.local.sampling import Choice, Drawing, numbers  # noqa: E402
from catlite.models.local.stages import NotCapturable, Stages  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours
WINDOW = 12  # tokens
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "short_factor": [1.0] * 8,
    "long_factor": [2.0] * 8,
    "original_max_position_embeddings": 64,
}
KINDS = {
    "Llama": {},
    "Qwen3": {},
    "Mistral": {"sliding_window": WINDOW},
    "Gemma3Text": {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]},
}
SAME = list(range(1, 21))  # how all prompts of one batch begin: longer than a window
ALIKE = [[*SAME, 40], [*SAME, 41, 42, 43, 44, 45], [*SAME, 46, 47], [*SAME, 40], [*SAME, 48, 49], [*SAME, 50]]
RAGGED = [[7, 8], [*SAME, 9, 10], [3, 4, 5, 6, 7, 8, 9], [7, 8], [11, 12, 13], [*SAME, 14]]
LENGTHS = [2, 14, 14, 5, 9, 6]


def model_of(kind, **more):
    return random_model(kind, **{**KINDS.get(kind, {}), **more})


def replies(model, prompts, **options):
    drawings = [Drawing(length, seed=row) for row, length in enumerate(LENGTHS)]
    drawn = [numbers(drawing, prompt, 0, max(LENGTHS)) for drawing, prompt in zip(drawings, prompts, strict=True)]
    choice = Choice(drawings, drawn, [VOCABULARY - 1], model.device)
    with torch.no_grad():
        decode(model, prompts, choice, PAD, **options)
    return choice.replies(0.0)


def assert_same(left, right):
    assert [reply.tokens for reply in left] == [reply.tokens for reply in right]
    for reply, other in zip(left, right, strict=True):
        assert reply.logprobs == pytest.approx(other.logprobs, abs=1e-5)


class Recording(TorchDispatchMode):
    """Stands for a CUDA graph: keeps the operations of a step and repeats them on the same memory."""

    made = ()

    def __init__(self):
        super().__init__()
        self.operations = []
        self.replays = 0
        Recording.made = (*Recording.made, self)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, out))
        return out

    def replay(self):
        self.replays += 1
        if self.replays == 1:
            return  # a capture computes nothing, but recording has
        for func, args, kwargs, out in self.operations:
            taken = {tensor.untyped_storage().data_ptr() for tensor in tensors((args, kwargs))}
            for old, new in zip(tensors(out), tensors(func(*args, **kwargs)), strict=True):
                if old.untyped_storage().data_ptr() not in taken:  # else a view, or written in place
                    old.copy_(new)


def tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


@pytest.fixture
def recorded(monkeypatch):
    """A CPU that can capture; the recordings."""
    monkeypatch.setattr(Recording, "made", ())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recording)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, capture_error_mode: graph)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())


@pytest.fixture
def small_stages(monkeypatch):
    monkeypatch.setattr(stages, "_ROOM", 4)
    monkeypatch.setattr(stages, "_ALIGNED", 3)
    monkeypatch.setattr(stages, "_WORTH", 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prompts", [ALIKE, RAGGED], ids=["alike", "ragged"])
def test_stages_draw_what_single_passes_draw(kind, prompts, small_stages, recorded):
    model = model_of(kind)
    plain = replies(model, prompts)
    assert len({tuple(reply.tokens) for reply in plain}) == len(LENGTHS)
    assert_same(replies(model, prompts, batch_of=partial(Stages, capture=False, check=True)), plain)
    assert_same(replies(model, prompts, batch_of=Stages), plain)
    assert [recording.replays for recording in Recording.made] > [1, 1]  # of several stages, and with real replays


def test_a_stage_ends_when_its_room_is_used_up_or_half_of_its_rows_have_ended(small_stages, monkeypatch):
    monkeypatch.setattr(stages, "_ALIGNED", 1)
    begun = []
    keep = Stages.keep

    def counted(self, kept):
        keep(self, kept)
        begun.append((len(kept), self.mask.shape[1] - self._width))

    monkeypatch.setattr(Stages, "keep", counted)
    replies(model_of("Llama"), RAGGED, batch_of=partial(Stages, capture=False))
    rows, rooms = zip(*begun, strict=True)
    assert rows == tuple(sorted(rows, reverse=True))
    assert (rows[0], rows[-1]) == (6, 2)
    assert rooms == (4, 8, 5)


def test_an_adapter_counts_while_it_is_on(small_stages, recorded):
    from peft import LoraConfig, get_peft_model

    model = model_of("Llama")
    base = replies(model, RAGGED)
    torch.manual_seed(1)
    wrapped = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"])).eval()
    for name, value in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.5)
    adapted = replies(model, RAGGED)
    assert [reply.tokens for reply in adapted] != [reply.tokens for reply in base]
    assert_same(replies(model, RAGGED, batch_of=partial(Stages, capture=False, check=True)), adapted)
    with wrapped.disable_adapter():
        assert_same(replies(model, RAGGED, batch_of=partial(Stages, check=True)), base)
    assert_same(replies(model, RAGGED, batch_of=Stages), adapted)
    with torch.no_grad():  # as an optimizer changes weights, in place
        wrapped.get_parameter("base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight").mul_(-1)
    assert_same(replies(model, RAGGED, batch_of=Stages), replies(model, RAGGED))


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_makes_the_host_wait(kind):
    """On the meta device, where there are no numbers, reading one is an error."""
    model = model_of(kind)
    with torch.no_grad():
        last, mask, cache = decoding._read(model, RAGGED, PAD)
        for layer in cache.layers:
            layer.keys, layer.values = layer.keys.to("meta"), layer.values.to("meta")
        model.to("meta")
        batch = Stages(
            model, mask.to("meta"), cache, mask.sum(-1, keepdim=True).to("meta"), 8, capture=False, check=True
        )
        for _ in range(2):
            assert batch.step(last.to("meta")).shape == (len(RAGGED), VOCABULARY)


@pytest.mark.parametrize(
    ("kind", "settings", "reason"),
    [
        ("Lfm2", {"layer_types": ["conv", "full_attention"]}, "the cache has a LinearAttention"),
        ("Llama", {"rope_parameters": LONG_ROPE}, "reads numbers back"),
    ],
)
def test_what_cannot_be_captured_is_found_before_it_is_tried(kind, settings, reason, recorded):
    model = model_of(kind, **settings)
    with pytest.raises(NotCapturable, match=reason):
        replies(model, ALIKE, batch_of=partial(Stages, check=True))
    assert Recording.made == ()


class Failing(Recording):
    """A capture that fails as CUDA's do: its end fails as well, and says nothing of the reason."""

    reason = RuntimeError("operation not permitted when stream is capturing")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        raise self.reason

    def __exit__(self, *error):
        super().__exit__(*error)
        raise RuntimeError("operation failed due to a previous error during capture")


def draw(model, n=4, **sampling):
    sampling = {"max_tokens": 12, "seed": 3, "temperature": 1.0, **sampling}
    return [rollout.text for rollout in concurrency.run(model.sample("Say something.", n, **sampling))]


def as_on_cuda(folder, fast=None):
    """A model whose engine takes its device for one that captures."""
    model = LocalModel(folder)
    model.weights.engine.captures, model.weights.engine.fast = None, fast
    return model


def test_the_engine_captures_and_checks_only_its_first_batch(folder, recorded, monkeypatch):
    plain = draw(LocalModel(folder))
    model, checked = as_on_cuda(folder), []
    monkeypatch.setattr(stages, "_Checked", lambda: checked.append(True) or contextlib.nullcontext())
    assert draw(model, max_tokens=1) == draw(LocalModel(folder), max_tokens=1)
    assert (model.weights.engine.captures, checked) == (None, [])  # for so few tokens nothing is captured
    assert draw(model) == plain
    assert draw(model.frozen()) == plain
    assert (model.weights.engine.captures, checked, len(Recording.made)) == (True, [True], 2)


def test_a_capture_that_fails_is_tried_once_and_the_replies_are_the_same(folder, recorded, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Failing)
    model = as_on_cuda(folder)
    with caplog.at_level(logging.WARNING, logger="catlite"):
        assert draw(model) == draw(model) == draw(LocalModel(folder))
    messages = [record.message for record in caplog.records if record.name == "catlite"]
    assert len(messages) == len(Recording.made) == 1
    assert "operation not permitted when stream is capturing" in caplog.text
    with pytest.raises(ConfigError, match=r'fast="graphs".*not permitted when stream is capturing.*Leave `fast` out'):
        draw(as_on_cuda(folder, "graphs"))


def test_memory_that_does_not_suffice_for_a_capture_halves_the_batch(folder, recorded, monkeypatch):
    made = []

    def first_fails():
        made.append(Failing() if not made else Recording())
        return made[-1]

    monkeypatch.setattr(torch.cuda, "CUDAGraph", first_fails)
    monkeypatch.setattr(Failing, "reason", torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    model = as_on_cuda(folder)
    assert draw(model) == draw(LocalModel(folder))
    assert (model.weights.engine.batch_size, model.weights.engine.captures, len(made)) == (2, True, 3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_graphs_without_a_gpu_are_refused_with_what_to_do(folder):
    with pytest.raises(ConfigError, match="finds none: leave `fast` out"):
        LocalModel(folder, fast="graphs")
    assert LocalModel(folder).weights.engine.captures is False


def test_a_batch_on_a_cpu_has_64_rows_unless_the_user_says(folder):
    assert LocalModel(folder).weights.engine.batch_size == 64
    assert LocalModel(folder, batch_size=3).weights.engine.batch_size == 3
