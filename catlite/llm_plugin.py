"""Models of the command `llm` (https://llm.datasette.io), as "cat/<model>": the answer is a synthesis of n replies.

Every chat model that llm reaches by OpenAI's API has one; so have "local", the embedded model, and the names, separated
by commas, in CATLITE_LLM_MODELS. Left out: schemas, tools, and servers that want headers of their own.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import llm
from llm.default_plugins.openai_models import Chat, Completion, Responses

import catlite


class _Cat:
    can_stream = True

    class Options(llm.Options):  # type: ignore[misc]
        n: int = 8
        answer_format: str | None = None
        temperature: float | None = None
        max_tokens: int | None = None

    def __init__(self, model: Chat | Responses) -> None:
        self.model, self.model_id, self.attachment_types = model, f"cat/{model.model_id}", model.attachment_types
        self.needs_key, self.key_env_var = model.needs_key, model.key_env_var

    def _call(self, prompt: Any, conversation: Any, key: str | None) -> dict[str, Any]:
        """Collect the arguments of `catlite.stream`; a server without a key in llm must not see OPENAI_API_KEY."""
        options = {name: value for name, value in prompt.options if value is not None}
        where = {"base_url": self.model.api_base, "api_key": key or (self.model.api_base and "none")}
        messages = Chat("").build_messages(prompt, conversation)
        return {"prompt": messages, "model": self.model.model_name or self.model.model_id, **where, **options}

    def _text(self, event: Any, response: Any) -> str:
        """Take the text of an event; the last one tells what llm logs beside the text."""
        if isinstance(event, catlite.Done):
            usage, known = event.reference.total_usage, ("answer", "support", "notes", "cost_usd")
            response.set_usage(input=usage.prompt_tokens, output=usage.completion_tokens)
            response.response_json = {"catlite": {name: getattr(event.reference, name) for name in known}}
        return event.delta if isinstance(event, catlite.ReferenceText) else ""


class Cat(_Cat, llm.KeyModel):  # type: ignore[misc]
    """A model of `llm`."""

    def execute(self, prompt: Any, response: Any, conversation: Any, key: Any = None, **_: Any) -> Iterator[str]:
        """Yield the synthesis as it is written."""
        for event in catlite.stream(**self._call(prompt, conversation, key)):
            yield self._text(event, response)


class AsyncCat(_Cat, llm.AsyncKeyModel):  # type: ignore[misc]
    """The same, to be awaited."""

    async def execute(
        self, prompt: Any, response: Any, conversation: Any, key: Any = None, **_: Any
    ) -> AsyncIterator[str]:
        """Yield the synthesis as it is written."""
        async for event in catlite.astream(**self._call(prompt, conversation, key)):
            yield self._text(event, response)


@llm.hookimpl(trylast=True)  # type: ignore[untyped-decorator]
def register_models(register: Any, model_aliases: list[Any]) -> None:
    """Add a "cat/" to the models that other plugins have registered, and to those that catlite names."""
    own = os.environ.get("CATLITE_LLM_MODELS", "").split(",")
    models: list[Any] = [Chat(name.strip()) for name in ["local", *own] if name.strip()]
    for model in models:
        model.needs_key = None
    known = [entry.model for entry in model_aliases if isinstance(entry.model, Chat | Responses)]
    models += [model for model in known if not isinstance(model, Completion) and not model.headers]
    for model in models:
        register(Cat(model), AsyncCat(model))
