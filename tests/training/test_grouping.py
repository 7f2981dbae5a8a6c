"""Rows of a trainer as groups: of the size this call was drawn with, also with content in parts and images."""

from types import SimpleNamespace

import pytest
from asking import on
from pictures import png

import catlite
from catlite import Example, Reference, ScriptedModel, trl_reward
from catlite.errors import ConfigError
from catlite.training.grouping import completion_text, group_size, ids_of, sendable_prompt

FORMAT = r"is (\w+)"


async def echo(group):
    return Reference("it is a", "a", "echo", group)


async def sizes(group, reference):
    """As a reward, how many rollouts the group has."""
    return [float(len(group.rollouts))] * len(group.rollouts)


def rows(*counts, reply="it is a"):
    """What TRL sends of questions with so many rollouts each."""
    ids = [f"q{number}" for number, count in enumerate(counts) for _ in range(count)]
    return {"prompts": ["What?"] * len(ids), "completions": [reply] * len(ids), "qid": ids}


class Trainer:
    """As much of TRL's trainer as a reward can see: it is handed its log_metric."""

    def __init__(self, training, evaluation=None, *, trains=True):
        self.num_generations, self.num_generations_eval = training, evaluation
        self.model = SimpleNamespace(training=trains)

    def log_metric(self, name, value):
        pass


def rewarded(sent, *, trainer=None, **settings):
    logged = {} if trainer is None else {"log_metric": trainer.log_metric}
    return trl_reward(echo, sizes, **settings)(**sent, **logged)


def test_evaluation_may_draw_fewer_rollouts_than_training():
    trainer = Trainer(8, 2, trains=False)
    assert rewarded(rows(2, 2, 2), trainer=trainer, num_generations=8) == [2.0] * 6
    assert rewarded(rows(4, 2), trainer=trainer, num_generations=8) == [2.0] * 6


def test_evaluation_may_draw_more_rollouts_than_training():
    assert rewarded(rows(16, 16), trainer=Trainer(8, 16, trains=False), num_generations=8) == [16.0] * 32
    assert rewarded(rows(16, 16), trainer=Trainer(8, 16), num_generations=8) == [8.0] * 32


def test_evaluation_with_single_rollouts_is_a_group_of_one_each():
    assert rewarded(rows(1, 1), trainer=Trainer(4, 1, trains=False), num_generations=4) == [1.0] * 2
    assert rewarded(rows(1, 1), num_generations=4, num_generations_eval=1) == [1.0] * 2


def test_the_number_of_evaluation_can_be_told():
    assert rewarded(rows(2, 4), num_generations=8, num_generations_eval=2) == [2.0] * 6
    with pytest.raises(ConfigError, match="num_generations_eval=0: want a whole number of at least 1"):
        trl_reward(echo, num_generations_eval=0)


def test_the_trainers_own_number_wins_over_a_forgotten_argument():
    assert rewarded(rows(4, 4), trainer=Trainer(4), num_generations=8) == [4.0] * 8
    assert rewarded(rows(16), trainer=Trainer(16), num_generations=8) == [16.0] * 16


def test_in_one_process_questions_with_equally_many_rollouts_are_whole_groups():
    assert rewarded(rows(2, 2), num_generations=8) == [2.0] * 4


@pytest.mark.parametrize("counts", [(4, 2), (3, 4), (1, 1)])
def test_groups_that_are_not_whole_are_refused_with_both_settings(counts):
    with pytest.raises(ConfigError, match=r"the num_generations of GRPOConfig, .* num_generations_eval"):
        rewarded(rows(*counts), num_generations=8)


def test_the_size_of_evaluation_counts_where_that_of_training_does_not_divide():
    assert group_size(["a"] * 2, 8, 2, None) == 2


# Content in parts, and images


def text(*words):
    return [{"type": "text", "text": word} for word in words]


class Picture:
    """As an image of PIL: made anew for each row, and equal by its bytes."""

    def __init__(self, content):
        self.content = content

    def tobytes(self):
        return self.content


def asking(*parts):
    return [{"role": "user", "content": list(parts)}]


def test_a_completion_in_parts_is_its_text():
    replies = [
        "it is a",
        [{"role": "assistant", "content": "it is a"}],
        [{"role": "assistant", "content": text("it ", "is a")}],
        [{"role": "assistant", "content": [{"type": "image"}, *text("it is a")]}],
    ]
    assert [completion_text(reply) for reply in replies] == ["it is a"] * 4
    assert completion_text([{"role": "assistant", "content": None, "tool_calls": []}]) == ""


def test_what_a_tool_answered_is_not_the_policys_text():
    turns = [("assistant", "I look it up."), ("tool", r"\boxed{7}"), ("assistant", " It is even.")]
    completion = [{"role": role, "content": content} for role, content in turns]
    assert completion_text(completion) == "I look it up. It is even."


def test_a_prompt_in_parts_of_text_is_asked_as_text():
    seen = []
    model = ScriptedModel(lambda prompt, i: seen.append(prompt) or "it is a", "anchor")
    sent = {"prompts": [asking(*text("What ", "is it?"))] * 2, "completions": ["it is a", "it is b"]}
    anchored = catlite.AnchoredVote(model, n=2)
    assert trl_reward(anchored, num_generations=2, answer_format=FORMAT)(**sent) == [1.0, 0.0]
    assert {prompt[0]["content"] for prompt in seen} == {"What is it?"}
    assert sendable_prompt("What?") == "What?"


def test_prompts_with_images_are_voted_on():
    prompts = [asking({"type": "image", "image": Picture(name)}, *text("What?")) for name in (b"x", b"y", b"x", b"y")]
    replies = ["it is a", "it is c", "it is a", "it is d"]
    function = trl_reward(catlite.MajorityVote(), num_generations=2, answer_format=FORMAT)
    assert function(prompts=prompts, completions=replies) == [1.0, 1.0, 1.0, 0.0]
    assert [len(one.group.rollouts) for one in function.last.scored] == [2, 2]


def test_rows_with_the_same_words_and_other_images_are_other_questions():
    columns = {"images": [[Picture(b"x")], [Picture(b"y")], [Picture(b"x")]]}
    first, second, third = ids_of([asking({"type": "image"}, *text("What?"))] * 3, columns)
    assert first == third != second


def painted(number):
    """An image of PIL, read anew."""
    pil = pytest.importorskip("PIL.Image", reason="needs Pillow")
    return pil.new("RGB", (2, 2), (number, 0, 0))


def test_images_as_trl_gives_them_reach_a_model_that_is_shown_the_prompt(server):
    data_utils = pytest.importorskip("trl.data_utils", reason="needs catlite[train]")
    prepare = getattr(data_utils, "prepare_multimodal_messages", None)
    if prepare is None:
        pytest.skip("this TRL prepares its messages elsewhere")
    images = [[painted(number)] for number in (1, 2, 1, 2)]
    prompts = [prepare([{"role": "user", "content": "What?"}], images=row) for row in images]
    server.reply = "it is a"
    replies = ["it is a", "it is a", "it is b", "it is b"]
    with on(server) as model:
        anchored = catlite.AnchoredVote(model, n=2)
        function = trl_reward(anchored, num_generations=2, answer_format=FORMAT)
        assert function(prompts=prompts, completions=replies, images=images) == [1.0, 1.0, 0.0, 0.0]
    asked = [request.body["messages"][0]["content"] for request in server.requests]
    wanted = [[catlite.image(painted(number)), *text("What?")] for number in (1, 2)]
    assert sorted(asked, key=str) == sorted(wanted, key=str)


def test_a_place_for_an_image_takes_it_from_the_column():
    prompt = asking(*text("This:"), {"type": "image"}, {"type": "image"}, *text("or?"))
    first, second = (catlite.image(painted(number)) for number in (1, 2))
    wanted = asking(*text("This:"), first, second, *text("or?"))
    assert sendable_prompt(prompt, [painted(1), painted(2)]) == wanted
    assert sendable_prompt(prompt, [painted(1)])[0]["content"][2] == {"type": "image"}
    given = asking({"type": "image", "image": painted(2)}, {"type": "image"}, "or?")
    assert sendable_prompt(given, [painted(1)]) == asking(second, first, *text("or?"))


def test_data_urls_of_a_dataset_are_grouped_by_digest():
    prompts = [asking(catlite.image(png(64, 64, seed)), *text("What?")) for seed in (1, 2, 1)]
    first, second, third = ids_of(prompts, {})
    assert first == third != second
    assert len(first) < 300


def test_what_would_show_an_image_to_a_model_is_refused_by_what_it_is():
    model = ScriptedModel(lambda prompt, i: "it is a", "anchor")
    prompt = asking({"type": "image", "image": Picture(b"x")}, *text("What?"))
    function = trl_reward(catlite.AnchoredVote(model, n=2), num_generations=2, answer_format=FORMAT)
    with pytest.raises(ConfigError, match=r"holds Picture, which cannot be sent as JSON: catlite\.image"):
        function(prompts=[prompt] * 2, completions=["it is a"] * 2)
    assert model.calls == []
    with pytest.raises(ConfigError, match="holds Picture"):
        _ = Example(prompt).messages


def test_a_trainer_that_evaluates_with_another_number_gets_its_rewards(folder, tmp_path):
    pytest.importorskip("trl", reason="needs catlite[train]")
    from datasets import Dataset
    from trainings import one_step, vowels
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from catlite.training.trl.trainer import CatGRPOTrainer

    seen = []

    async def counted(group, reference):
        seen.append(len(group.rollouts))
        return await vowels(group, reference)

    prompts = [{"prompt": [{"role": "user", "content": f"Say {number}"}], "qid": str(number)} for number in range(2)]
    arguments = one_step(tmp_path, num_generations_eval=2, per_device_eval_batch_size=2)
    trainer = CatGRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder),
        processing_class=AutoTokenizer.from_pretrained(folder),
        reward_funcs=trl_reward(echo, counted, num_generations=4),
        args=arguments,
        train_dataset=Dataset.from_list(prompts),
        eval_dataset=Dataset.from_list(prompts),
    )
    trainer.train()
    trainer.evaluate()
    assert set(seen) == {4, 2}
