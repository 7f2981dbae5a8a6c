"""`train` on several ranks: stopped, resumed, refused and halted; torchrun.py starts it."""

import sys
import warnings
from pathlib import Path

SETTINGS = {"held_back": 2, "beta": 0.01, "trl": {"per_device_train_batch_size": 2}}


def adapter_numbers(run):
    """All numbers of the adapter that the policy of `run` has on."""
    weights = [weight for name, weight in run.policy.model.named_parameters() if "lora_" in name]
    return [number for weight in weights for number in weight.detach().flatten().tolist()]


def main():
    """Run all cases on this rank."""
    warnings.simplefilter("ignore")
    from torchrun import Notes
    from trainings import small, trained

    from catlite.training.trl import ranks

    folder, notes = Path(sys.argv[2]), Notes()
    run = Path(sys.argv[1]) / "run"

    def train_on(steps, **changes):
        made = trained(folder, config=small(steps=steps, **{**SETTINGS, **changes}), run=run)
        return {
            "numbers": adapter_numbers(made),
            "steps": made.steps,
            "ended": made.ended,
            "metrics": [dict(row) for row in made.metrics],
            "folder": str(made.folder),
        }

    async def nothing(group, reference):
        return [None] * len(group.rollouts)

    notes.note("ranks", lambda: 0)
    notes.note("halted", lambda: repr(trained(folder, reward=nothing, config=small()).complete))
    notes.note("begun", lambda: train_on(1))
    notes.note("resumed", lambda: train_on(3))
    notes.note("again", lambda: train_on(3)["numbers"])
    notes.note("other settings", lambda: train_on(3, learning_rate=0.5))
    notes.note("not to be split", lambda: train_on(3, prompts_per_step=1, num_generations=3))
    notes.note("ranks", ranks.world_size)


if __name__ == "__main__":
    main()
