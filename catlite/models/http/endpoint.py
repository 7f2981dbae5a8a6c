"""A model behind an OpenAI-compatible chat API, through `openai`, or any provider's, through `litellm`.

One request carries a whole group where the server takes `n` (its prompt is then evaluated once, not G times);
what a server takes is learned from its answers and kept for the process. Left out: tools.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from catlite.checks import positive, whole_number
from catlite.data import Prompt, Rollout, as_messages, text_only
from catlite.errors import ConfigError
from catlite.models.base import InBlocks, Traits, check_n, check_sampling, combined, sendable
from catlite.models.http import likelihood, wire
from catlite.models.http.calls import Call
from catlite.models.http.fleet import Fleet
from catlite.models.http.keys import BaseURL, Secret, may_hold_key, sealed, sealed_url, shown_url
from catlite.models.http.prices import Price
from catlite.models.http.service import Service
from catlite.models.kept import kept, streamed, wanted


class Endpoint(InBlocks):
    """A model served over HTTP; usable as a context manager, which closes its connections.

    Args:
        model: the server's name for it, or litellm's "provider/name", when no base_url is given.
        base_url: the address up to `/v1`; None is OPENAI_BASE_URL, or OpenAI's own. A list is a fleet: replicas of one
            model, among which calls are spread.
        api_key: None is OPENAI_API_KEY. A key is never shown, logged or pickled: without one here, a pickled Endpoint
            finds OPENAI_API_KEY where it arrives; with one it is not pickled.
        max_connections: requests in flight per event loop, to each replica, further ones wait; 32.
        timeout: seconds for one whole reply; 600.
        retry_seconds: how long transient failures are retried, in seconds; 300.
        price: US dollars per million tokens; None is the published price on OpenAI's own endpoint and through litellm,
            unknown elsewhere.
        **sampling: defaults of every call: temperature, top_p, max_tokens, …

    Raises:
        ConfigError: for a setting that is wrong.

    Example:
        >>> model = catlite.Endpoint("Qwen/Qwen3-4B", base_url="http://localhost:8000/v1", temperature=1.0)
        >>> catlite.synthesize("What is 6 times 7?", model)
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: BaseURL = None,
        api_key: str | Secret | None = None,
        max_connections: int = 32,
        timeout: float = 600.0,
        retry_seconds: float = 300.0,
        price: Price | None = None,
        **sampling: Any,
    ) -> None:
        # First of all: from here on no frame of ours has a key among its locals.
        base_url, api_key = sealed_url(base_url), sealed(api_key)
        if not isinstance(model, str) or not model.strip():
            raise ConfigError(f"model={model!r}: give the name the endpoint serves the model under")
        whole_number("max_connections", max_connections)
        positive("timeout", timeout, "seconds", infinite=True)
        positive("retry_seconds", retry_seconds, "seconds", infinite=True)
        if price is not None and not isinstance(price, Price):
            raise ConfigError(
                f"price={price!r:.60}: want Price(prompt, completion), in US dollars per million tokens, such as "
                "Price(0.15, 0.60), or None"
            )
        self.model, self._shown_url = model, shown_url(base_url) if base_url else None
        self.sampling = check_sampling(sampling)
        self._service = self._served(model, base_url, api_key, max_connections, timeout, retry_seconds, price)

    def _served(self, *settings: Any) -> Service:
        """Where the model is; the embedded one is served by a process of ours."""
        return Fleet(*settings) if isinstance(settings[1], tuple) else Service(*settings)

    @property
    def service(self) -> Service:
        """Where it is served, for what asks there beside `sample`."""
        return self._service

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model

    @property
    def max_connections(self) -> int:
        """Requests in flight per event loop, to all replicas together."""
        return self._service.max_connections

    @property
    def price(self) -> Price | None:
        """US dollars per million tokens, None when unknown."""
        return self._service.price

    @property
    def traits(self) -> Traits:
        """What the pipeline wants to know of it; see models/base.py."""
        learned = self._service.learned
        return Traits(
            max_connections=self.max_connections,
            price=self.price,
            sampling=self.sampling,
            version=self._service.shown_address(),
            keeps_books=True,
            refused=learned.refused,
            taken=learned.taken,
        )

    async def sample(self, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
        """`n` replies to `prompt`, in order, from as few requests as the server allows.

        Args:
            prompt: a question, or chat messages.
            n: replies; 1.
            **sampling: parameters of this call, over the defaults of the endpoint.

        Returns:
            The rollouts; one that failed after all retries has `.error`, the others are kept.

        Raises:
            ConfigError: for a bad argument.
            AuthenticationFailed, QuotaExhausted, RequestRejected: (ContextOverflow among them) when asking again would
                not help; then nothing further is sent.
            BudgetReached: when a request could exceed the budget in force.

        Example:
            >>> rollouts = await endpoint.sample("What is 6 times 7?", n=8, temperature=1.0)
        """
        messages = [sendable(message) for message in as_messages(prompt)]
        request = combined(self.sampling, check_sampling(sampling))
        samples = wanted(check_n(n))
        async with kept(self.model, self._service.kept_address, messages, request, samples) as replies:
            if len(replies.kept) < n:
                await Call(self._service, messages, request, replies).draw()
            return wire.remarked(replies.in_order(), messages, request)

    def stream(self, prompt: Prompt, **sampling: Any) -> AsyncGenerator[str | Rollout, None]:
        """Yield the text of one reply to `prompt` as it is written, and at the end the whole Rollout.

        A server that does not stream gives it in one piece, as does a run that has it. What breaks off after the first
        piece is not asked for again: the Rollout then has `.error`. Thinking is in `.reasoning` alone.

        Args:
            prompt: a question, or chat messages.
            **sampling: parameters of this call, over the defaults of the endpoint.

        Returns:
            The pieces, and the Rollout; closing it ends the request. It raises what `sample` raises.

        Example:
            >>> async for piece in endpoint.stream("What is 6 times 7?"):
            ...     print(piece if isinstance(piece, str) else "", end="")
        """
        return streamed(lambda: self.sample(prompt, 1, **sampling))

    async def logprobs(self, prompt: Prompt, text: str) -> list[float]:
        """The natural log of the probability of each token of `text`, as the assistant's reply to `prompt`.

        The end of the reply is not among them, as it is among a rollout's own. Needs a llama.cpp or vLLM server. Booked
        in a budget (a llama.cpp server takes four requests), kept by a run.

        Args:
            prompt: a question, or chat messages.
            text: the reply to score, of at least one token.

        Returns:
            One number per token of `text`.

        Raises:
            ConfigError: when the server cannot score, and for a prompt with images.
            EndpointUnavailable, BadReply: when retries are used up; otherwise as `sample` does.

        Example:
            >>> sum(await endpoint.logprobs("What is 6 times 7?", "42"))
        """
        messages = [sendable(message) for message in as_messages(text_only(prompt, f"scoring by {self.name!r}"))]
        text = sendable({"content": likelihood.check_text(text)})["content"]
        if self._service.via_litellm:
            raise likelihood.unable(f"model {self.model!r} through litellm")
        who = (await self._service.client()).who
        return await likelihood.Scorer(self._service, who, self.sampling, messages).stored(messages, text)

    async def aclose(self) -> None:
        """Closes the connections of the running loop; the next call opens new ones, as do calls in flight."""
        await self._service.close()

    def __getstate__(self) -> dict[str, Any]:
        if (name := may_hold_key(self.sampling)) is not None:
            raise ConfigError(
                f"Endpoint({self.model!r}) is not pickled or copied, since {name} may hold a key: leave it out here, "
                "or make the Endpoint where it is needed, in an estimator that is a function of your own module, say"
            )
        return vars(self)

    def __repr__(self) -> str:
        # Half-built as well: a traceback with locals shows the endpoint whose settings were refused.
        known = vars(self)
        shown = {name: value for name, value in known.get("sampling", {}).items() if not name.startswith("extra_")}
        settings = "".join(f", {name}={value!r}" for name, value in shown.items())
        where = f", base_url={known['_shown_url']!r}" if known.get("_shown_url") else ""
        return f"{type(self).__name__}({known.get('model')!r}{where}{settings})"
