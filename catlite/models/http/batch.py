"""A provider's batch API as a Model: half the price, and replies within a day in place of seconds.

Calls that arrive while others are being prepared go into one batch together, so `estimate` makes two of all its
questions: the rollouts, then their syntheses. What is asked, booked and read is as for an Endpoint, whose replies it
shares in a run. Left out: batch APIs that are unlike OpenAI's (Anthropic's and Gemini's own), and log-probabilities of
a given text.
"""

from __future__ import annotations

from typing import Any

from catlite.checks import positive, whole_number
from catlite.data import Prompt, Rollout, as_messages
from catlite.errors import ConfigError
from catlite.models.base import check_n, check_sampling, combined, sendable
from catlite.models.http import wire
from catlite.models.http.batch_calls import BatchCall, BatchService
from catlite.models.http.batches import Batching
from catlite.models.http.endpoint import Endpoint
from catlite.models.http.keys import Secret, sealed
from catlite.models.http.prices import Price
from catlite.models.kept import kept, wanted

_CONNECTIONS = 4  # for files, and for looks at batches


class BatchEndpoint(Endpoint):
    """A model behind an OpenAI-compatible batch API (`/files`, `/batches`): half the price, an answer within 24 hours.

    With `run=` a process that ends is no loss: the batch goes on at the provider, and the same call finds it again and
    pays nothing twice. Without a run, Ctrl-C cancels the batch there. See docs/batch.md.

    Args:
        model: the server's name for it.
        base_url: the address up to `/v1`; None is OPENAI_BASE_URL, or OpenAI's own.
        api_key: None is OPENAI_API_KEY. A key is never shown, logged, pickled or written to a file; see Endpoint.
        timeout: seconds for one upload, download or look at a batch; 600.
        retry_seconds: how long transient failures of those are retried, in seconds; 300.
        price: US dollars per million tokens outside of batches; None is the published price on OpenAI's own endpoint,
            unknown elsewhere.
        discount: what a batch costs, as a part of `price`; 0.5.
        poll_seconds: seconds between the first looks at a batch, which grow by half to 300; 30.
        gather_seconds: a batch is submitted when no call has arrived for so many seconds; 2.
        max_requests: requests in one batch; 50,000, OpenAI's limit. Twice as many questions are under way at once.
        max_bytes: bytes of one batch file; 200,000,000, OpenAI's limit.
        **sampling: defaults of every call: temperature, top_p, max_tokens, …

    Raises:
        ConfigError: for a setting that is wrong.

    Example:
        >>> model = catlite.BatchEndpoint("gpt-4o-mini", max_tokens=1024)
        >>> references = catlite.estimate("gsm8k", model, run="runs/gsm8k")  # submits, waits, and can be run again
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | Secret | None = None,
        api_key: str | Secret | None = None,
        timeout: float = 600.0,
        retry_seconds: float = 300.0,
        price: Price | None = None,
        discount: float = 0.5,
        poll_seconds: float = 30.0,
        gather_seconds: float = 2.0,
        max_requests: int = 50_000,
        max_bytes: int = 200_000_000,
        **sampling: Any,
    ) -> None:
        api_key = sealed(api_key)
        if isinstance(base_url, list | tuple):
            raise ConfigError("base_url=[…]: a batch API has one address; a list is for Endpoint")
        base_url = sealed(base_url)
        positive("discount", discount)
        positive("poll_seconds", poll_seconds, "seconds")
        positive("gather_seconds", gather_seconds, "seconds")
        whole_number("max_requests", max_requests)
        whole_number("max_bytes", max_bytes)
        if "max_connections" in sampling:
            raise ConfigError("max_connections=…: a batch has requests, not connections: write max_requests=")
        self._discount = discount
        self._batching = Batching(poll_seconds, gather_seconds, max_requests, max_bytes)
        super().__init__(
            model,
            base_url=base_url,
            api_key=api_key,
            max_connections=_CONNECTIONS,
            timeout=timeout,
            retry_seconds=retry_seconds,
            price=price,
            **sampling,
        )
        _check(self.sampling)
        if self._service.via_litellm:
            raise ConfigError(
                f"model={model!r}: a batch API is asked at its address, and not through litellm: pass base_url=, and "
                "the model as that server names it"
            )

    def _served(self, *settings: Any) -> BatchService:
        service = BatchService(*settings)
        service.batching, service.discount = self._batching, self._discount
        return service

    @property
    def max_connections(self) -> int:
        """Requests under way at once: those of one batch."""
        return self._batching.max_requests

    async def sample(self, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
        """`n` replies to `prompt`, in order, once the batch that asks for them has ended.

        They are one line of the batch, where the server takes `n` (the prompt is then billed once).

        Args:
            prompt: a question, or chat messages.
            n: replies; 1.
            **sampling: parameters of this call, over the defaults of the endpoint.

        Returns:
            The rollouts; one that failed in three batches has `.error`, the others are kept.

        Raises:
            ConfigError: for a bad argument.
            ModelError: (with its kinds) as `Endpoint.sample`; RequestRejected also for a batch that did not pass the
                provider's validation or was cancelled there, EndpointDown when the batch API cannot be reached.
            BudgetReached: when a request could exceed the budget in force.
            StoreError: when the run's record of a batch cannot be written or read.

        Example:
            >>> rollouts = await endpoint.sample("What is 6 times 7?", n=8, temperature=1.0)
        """
        messages = [sendable(message) for message in as_messages(prompt)]
        request = combined(self.sampling, check_sampling(sampling))
        _check(request)
        samples, service = wanted(check_n(n)), self._service
        assert isinstance(service, BatchService)
        async with kept(self.model, service.kept_address, messages, request, samples) as replies:
            if len(replies.kept) < n:
                await BatchCall(service, messages, request, replies).draw()
            return wire.remarked(replies.in_order(), messages, request)

    async def logprobs(self, prompt: Prompt, text: str) -> list[float]:  # noqa: ARG002
        """Raise ConfigError: no batch API scores a text that is given."""
        raise ConfigError(
            f"{self.name!r} cannot score given text in a batch: take Endpoint(…) at a llama.cpp or vLLM server, or a "
            "LocalModel"
        )


def _check(sampling: dict[str, Any]) -> None:
    """Raise ConfigError for what a line of a batch cannot carry."""
    if sampling.get("extra_headers"):
        raise ConfigError("extra_headers=…: the requests of a batch have no headers of their own; leave it out")
