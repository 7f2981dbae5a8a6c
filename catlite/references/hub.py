"""References as a dataset of the Hugging Face Hub: one commit with a Parquet file and a card that says how it was made.

Names and notes come from models and servers, so the card shows them as code, which is neither markup nor a link.
Left out: shards of several files, and a licence, which is for whoever publishes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import catlite
from catlite.data import Reference
from catlite.errors import ConfigError, MissingExtra, StoreError
from catlite.extras import install
from catlite.models.http.keys import Secret, check_key
from catlite.text import count, dollars, plural, short
from catlite.usage import Usage

_DATA = "data/train-00000-of-00001.parquet"
_KEPT = "The references are still here: .to_parquet(path) writes them to a file"
_CARD = """\
---
tags: [catlite, synthetic]
configs: [{{config_name: default, data_files: data/*.parquet}}]
---

# References made without labels

Each row is a prompt and a reference for it, which a model wrote or chose from its own parallel replies (Compute as
Teacher, [arXiv 2509.14234](https://arxiv.org/abs/2509.14234)). Nobody checked them: `support` says how many of the
replies agree with the answer, of how many.

## How they were made

{made}

## Notes

{notes}

## Columns

`prompt` and `completion` are conversations; `reference` is the text of the completion, and `answer` the final answer in
it; `rubric` holds criteria that were proposed from it; `support` has two numbers, the replies that agree and all of
them, and `agreement` their ratio; `source` is the estimator, `model` the policy, `anchor` the model that wrote or chose
the reference. Tokens and dollars are those of the row, rollouts included; null is unknown.

## Licence

To be filled in by whoever publishes this, as `license:` between the dashes above: the prompts and the terms of the
models both have a say.
"""


def card(references: Sequence[Reference], notes: Iterable[str], task: str | None, sampling: Mapping[str, Any]) -> str:
    """Write the README.md of a dataset of these references."""
    usage = Usage.total(reference.total_usage for reference in references)
    sizes = sorted({len(reference.rollouts) for reference in references}) or [0]
    numbers = {name: value for name, value in sampling.items() if isinstance(value, int | float)}
    made = {
        "Task": _code([task]) if task else "",
        "References": f"{len(references):,}, of which {sum(reference.usable for reference in references):,} are usable",
        "Estimator": _code(reference.source for reference in references),
        "Policy": _code(reference.group.policy for reference in references),
        "Anchor": _code(reference.anchor for reference in references),
        "Rollouts per prompt": f"{sizes[0]}" + (f" to {sizes[-1]}" if len(sizes) > 1 else ""),
        "Sampling": _code(f"{name}={value}" for name, value in numbers.items()),
        "Cost": f"{count(usage.prompt_tokens)} prompt + {count(usage.completion_tokens)} completion tokens, "
        f"{dollars(usage.cost_usd)}",
        "Made with": f"catlite {catlite.__version__}",
    }
    counts = Counter(notes) + Counter(note for reference in references for note in reference.notes)
    lines = [f"* {_code([note])} ({plural(number, 'time')})" for note, number in counts.most_common(20)]
    return _CARD.format(
        made="\n".join(f"* {name}: {text}" for name, text in made.items() if text),
        notes="\n".join(lines) or "None.",
    )


def _code(texts: Iterable[str | None]) -> str:
    """Show each different text once, as code on one line."""
    shown = dict.fromkeys(short(text.replace("`", "'"), 200) for text in texts if text)
    return ", ".join(f"`{text}`" for text in shown if text)


def push(repo: str, content: bytes, readme: str, *, private: bool, token: Secret | None) -> str:
    """Commit a Parquet file to the dataset `repo`, which is made if need be, and a card where it has none.

    Returns:
        Its address.

    Raises:
        ConfigError: no login, no right to write there, a wrong name, or a repository that is public against `private`;
            nothing has been uploaded.
        MissingExtra: without catlite[data].
        StoreError: the Hub cannot be reached, or refuses the commit.
    """
    try:
        import httpx
        from huggingface_hub import CommitOperationAdd, HfApi, errors as hub
    except ImportError:
        raise MissingExtra(f"the Hub needs catlite[data]: {install('data')}") from None
    check_key(token)
    if not isinstance(repo, str):
        raise ConfigError(f'repo={repo!r:.60}: want the name of a dataset, as "user/name"')
    api = HfApi(token=token and token.reveal())
    try:
        api.whoami()
        address = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        there = api.repo_info(address.repo_id, repo_type="dataset")
        if private and not there.private:
            raise ConfigError(
                f"{repo} exists and is public: name another repository, or push with private=False. "
                "Nothing was uploaded"
            )
        files = {_DATA: content}
        if not any(file.rfilename == "README.md" for file in there.siblings or ()):
            files["README.md"] = readme.encode()
        operations = [CommitOperationAdd(path, content) for path, content in files.items()]
        message = f"References by catlite {catlite.__version__}"
        api.create_commit(address.repo_id, operations, commit_message=message, repo_type="dataset")
    except hub.LocalTokenNotFoundError:
        raise ConfigError(
            "there is no login for the Hub: run `hf auth login`, set HF_TOKEN, or pass token=. Nothing was uploaded"
        ) from None
    except hub.HFValidationError as error:
        raise ConfigError(f"repo={repo!r}: {error}") from None
    except hub.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise ConfigError(
                f"the Hub refuses this login for {repo} (HTTP {status}): take a token with the right to write there. "
                "Nothing was uploaded"
            ) from None
        raise StoreError(f"the Hub refused the dataset {repo}: {short(str(error), 300)}. {_KEPT}") from None
    except (OSError, httpx.HTTPError) as error:
        raise StoreError(f"the Hub cannot be reached: {short(str(error), 300)}. {_KEPT}") from None
    return str(address)
