"""What the tests of training share: a task for the tiny model, an estimator and a reward it can get, small settings."""

import pytest

from catlite import Example, LocalModel, Reference, Task, TrainConfig, train
from catlite.training.trl.compat import CALLS_US, trl_since

LETTERS = "aeiou "
newer_trl = pytest.mark.skipif(not trl_since(CALLS_US), reason="an older TRL keeps its own ways")


async def constant(group):
    """An estimator that costs nothing."""
    return Reference("aaaa", None, "constant", group)


async def vowels(group, reference):
    """A reward that random bytes get some of: the share of vowels and spaces."""
    texts = [rollout.text for rollout in group.rollouts]
    return [sum(text.count(letter) for letter in LETTERS) / max(1, len(text)) for text in texts]


def open_task(count=6, name="open"):
    return Task(name, tuple(Example(f"Say {number}", id=f"q{number}") for number in range(count)))


def small(**changes):
    settings = {"sampling": {"temperature": 1.0}, "learning_rate": 1e-2, "beta": 0.0, "max_completion_length": 24}
    return TrainConfig.small(**{**settings, **changes})


def adapter_of(run):
    """The trained numbers, by name."""
    from safetensors.torch import load_file

    return load_file(run.adapter / "adapter_model.safetensors")


def same(one, other):
    return set(one) == set(other) and all((one[name] == other[name]).all() for name in one)


def trained(folder, task=None, **options):
    """What `train` makes of the tiny model in `folder`."""
    defaults = {"estimator": constant, "reward": vowels, "config": small()}
    return train(open_task() if task is None else task, LocalModel(folder), **{**defaults, **options})


def one_step(folder, **settings):
    """The arguments of TRL for a step on the CPU, in groups of four that one device has whole."""
    from trl import GRPOConfig

    return GRPOConfig(
        output_dir=str(folder),
        max_steps=1,
        num_generations=4,
        per_device_train_batch_size=4,
        max_completion_length=4,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        bf16=False,
        **settings,
    )
