"""A model behind an OpenAI-compatible chat API, through `openai`, or any provider's, through `litellm`.

One request carries a whole group where the server takes `n` (its prompt is then evaluated once, not G times);
what a server takes is learned from its answers and kept for the process. Left out: streaming, tools, images.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, NoReturn, Self, cast

from catlite import concurrency
from catlite.data import Prompt, Rollout, as_messages
from catlite.errors import (
    AuthenticationFailed,
    BadReply,
    BudgetReached,
    ConfigError,
    ContextOverflow,
    EndpointDown,
    EndpointUnavailable,
    ModelError,
    QuotaExhausted,
    RequestRejected,
)
from catlite.models import failures
from catlite.models.base import TOKEN_LIMITS, check_n, check_sampling, combined, renamed, sendable, token_limit
from catlite.models.http import likelihood, wire, words
from catlite.models.http.booking import Books
from catlite.models.http.calls import Call
from catlite.models.http.clients import Client, OpenAIClient
from catlite.models.http.connections import Connections
from catlite.models.http.keys import OPENAI_URL, Address, Secret, address, check_key, hide_login, sealed
from catlite.models.http.learned import Learned
from catlite.models.http.litellm_client import LiteLLMClient
from catlite.models.http.prices import Price, published
from catlite.models.http.refusals import prompt_text
from catlite.models.http.remarks import remarked
from catlite.models.http.retry import retrying
from catlite.models.http.traffic import Traffic, traffic_here
from catlite.runs.budget import choices
from catlite.runs.store import Asked, current_run, first_sample
from catlite.usage import Usage

# Per (address as shown, model), for the process: a model named by a string is a new Endpoint at every call.
_known_servers: dict[tuple[str, str], Learned] = {}


class Endpoint:
    """A model served over HTTP.

    model: the server's name for it, or litellm's "provider/name" (when no base_url is given).
    base_url, api_key: by default OPENAI_BASE_URL and OPENAI_API_KEY; never shown, logged or pickled.
    max_connections: requests in flight per event loop; further ones wait.
    timeout: seconds for one whole reply. retry_seconds: how long transient failures are retried.
    price: US dollars per million tokens; by default the published price on OpenAI's own endpoint and through
    litellm, unknown elsewhere. sampling: defaults of every call (temperature, top_p, max_tokens, …).

    Raises ConfigError for a setting that is wrong. Usable as a context manager, which closes its connections.
    """

    # How many choices to ask for in the first request; None is all. Only the embedded server's limit is known.
    _first_guess: int | None = None

    def __init__(
        self,
        model: str,
        *,
        base_url: str | Secret | None = None,
        api_key: str | Secret | None = None,
        max_connections: int = 32,
        timeout: float = 600.0,
        retry_seconds: float = 300.0,
        price: Price | None = None,
        **sampling: Any,
    ) -> None:
        # First of all: from here on no frame of ours has a key among its locals.
        base_url, api_key = sealed(base_url), sealed(api_key)
        if not isinstance(model, str) or not model.strip():
            raise ConfigError(f"model={model!r}: give the name the endpoint serves the model under")
        if not isinstance(max_connections, int) or max_connections < 1:
            raise ConfigError(f"max_connections={max_connections!r}: want a whole number of at least 1")
        for name, value in (("timeout", timeout), ("retry_seconds", retry_seconds)):
            if not isinstance(value, int | float) or not value > 0:
                raise ConfigError(f"{name}={value!r}: want a positive number of seconds")
        self.model = model
        self.via_litellm = "/" in model and base_url is None
        self.max_connections = max_connections
        self.timeout = timeout
        self.retry_seconds = retry_seconds
        self.sampling = check_sampling(sampling)
        self._base_url = base_url
        self._api_key = api_key
        self._price = price
        self._connections = Connections(max_connections)
        self._fixed: Address | None = None  # unless the environment has a part in it, which may change
        if self.via_litellm:
            check_key(api_key)
        else:
            where = address(base_url, api_key)
            self._fixed = where if base_url and api_key else None

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model

    @property
    def price(self) -> Price | None:
        """US dollars per million tokens, None when unknown."""
        if self._price is not None:
            return self._price
        if self.via_litellm:
            # litellm's "openai/…" follows these to whatever server they name.
            moved = any(os.environ.get(name) for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"))
            own = not (moved and self.model.startswith("openai/"))
        else:
            own = self._url() == OPENAI_URL
        return published(self.model) if own else None

    async def sample(self, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
        """`n` replies to `prompt`, in order, from as few requests as the server allows.

        A reply that failed after all retries is a Rollout with `.error`; the others are kept. Raises ConfigError
        for a bad argument, AuthenticationFailed, QuotaExhausted or RequestRejected (ContextOverflow) when asking
        again would not help; then nothing further is sent.
        """
        messages = [sendable(message) for message in as_messages(prompt)]
        request = combined(self.sampling, check_sampling(sampling))
        samples = range(first_sample(), first_sample() + check_n(n))
        call = Call(messages, request, samples, current_run(), Books(self.model, self.price))
        if call.store is None:
            return remarked(await self._draw(call), messages, request)
        call.asked = Asked(self.model, await self._kept_address(), messages, request)
        async with call.store.turn(call.asked):
            call.found = call.store.find(call.asked, n, samples.start)
            return remarked(call.in_order() if len(call.found) == n else await self._draw(call), messages, request)

    async def logprobs(self, prompt: Prompt, text: str) -> list[float]:
        """The natural log of the probability of each token of `text`, as the assistant's reply to `prompt`.

        The end of the reply is not among them, as it is among a rollout's own. Needs a llama.cpp or vLLM server, else
        ConfigError. Booked in a budget (a llama.cpp server takes four requests), kept by a run. Raises as `sample`
        does, and EndpointUnavailable or BadReply when retries are used up.
        """
        messages = [sendable(message) for message in as_messages(prompt)]
        text = sendable({"content": likelihood.check_text(text)})["content"]
        if self.via_litellm:
            raise likelihood.unable(f"model {self.model!r} through litellm")
        client, learned = await self._client(), self._learned
        limits = (Books(self.model, self.price), self.timeout, self.retry_seconds)
        scorer = likelihood.Scorer(
            client.who,
            self._client,
            learned.scores,
            self._connections.mine.slots,
            self._traffic,
            *limits,
            self.sampling,
        )
        try:
            return await scorer.stored(self.model, await self._kept_address(), messages, text)
        except (EndpointUnavailable, BadReply) as error:
            failures.tell(error)
            raise

    async def _draw(self, call: Call) -> list[Rollout]:
        """Asks for what `call` still lacks."""
        call.learned = self._learned
        await self._client()  # before the clock of `retry_seconds` runs: a first import takes seconds, weights minutes
        while missing := call.missing:
            size = call.learned.most_choices or len(missing)
            await concurrency.together(self._ask(call, missing[i : i + size]) for i in range(0, len(missing), size))
            if call.hopeless:
                raise cast(RequestRejected, call.rejected)
        if call.refused is not None:
            call.refused.rollouts = tuple(call.in_order()) if call.found else ()
            raise call.refused
        return call.in_order()

    async def _ask(self, call: Call, wanted: Sequence[int]) -> int:
        """The replies at these indices from one request, and how many came; learns when the server gives fewer."""
        k = len(wanted)
        learned, started = call.learned, 0.0

        async def once() -> list[Rollout]:
            nonlocal started
            if call.hopeless:
                raise cast(RequestRejected, call.rejected)
            if isinstance(call.refused, ModelError):
                raise call.refused
            started = started or time.monotonic()
            rollouts = await self._once(call, k, wanted[0], started)
            # While the connection is still taken: what is killed then asks again for no more than was under way.
            await call.keep(dict(zip(wanted, rollouts, strict=False)))
            return rollouts

        try:
            rollouts = await retrying(once, self.retry_seconds, self._connections.mine.slots, self._traffic)
        except (BudgetReached, EndpointDown, QuotaExhausted, AuthenticationFailed) as error:
            # Not raised here: that would cancel requests under way, whose replies are being paid for.
            call.refused = error
            call.lose(wanted, error)
            return 0
        except (EndpointUnavailable, BadReply) as error:
            call.lose(wanted, error)
            return 0
        except ContextOverflow:
            raise
        except RequestRejected as error:
            if error.for_every_prompt:
                call.refused = error
                call.lose(wanted, error)
                return 0
            if k == 1:
                # Not raised while others, of the same request, may be answered: a filter can refuse one of eight.
                call.rejected = error
                call.lose(wanted, error)
                return 0
            rollouts = []
        # Perhaps it is n that was refused. A single answer tells, and if it comes it is kept.
        came = len(rollouts) or await self._ask(call, wanted[:1])
        if 0 < came < k:
            learned.most_choices = max(1, min(came, learned.most_choices or k))
        return came

    async def _once(self, call: Call, k: int, start: int, started: float) -> list[Rollout]:
        """`k` replies from one HTTP exchange; from two when the server's name for the token limit has to be learned."""
        request = call.request if k == 1 else {**call.request, "n": k}
        if start and "seed" in request:
            # The same seed again would bring the same replies again.
            request = {**request, "seed": request["seed"] + start}
        limit, learned = token_limit(call.request), call.learned
        if limit is None:
            return await self._exchange(call, request, k, started)
        if learned.no_limit is not None:
            raise RequestRejected(learned.no_limit)
        ours = learned.tokens_name or next(name for name in TOKEN_LIMITS if name in request)
        other = next(name for name in TOKEN_LIMITS if name != ours)
        try:
            rollouts = await self._exchange(call, renamed(request, ours), k, started)
        except ContextOverflow:
            raise
        except RequestRejected as error:
            if not words.refuses_name(error, ours, other):
                raise
            rollouts = await self._exchange(call, renamed(request, other), k, started)
            learned.tokens_name = ours = other
        if learned.tokens_name == ours:
            learned.check_limit(self._traffic.who, ours, k * limit, Usage.total(one.usage for one in rollouts))
        return rollouts

    async def _exchange(self, call: Call, request: dict[str, Any], k: int, started: float) -> list[Rollout]:
        """One HTTP exchange, booked whatever comes of it."""
        # Anew at each attempt: meanwhile the connections may have been closed, or the server have moved.
        client = await self._client()
        limit, most = token_limit(call.request), choices(call.request, k)
        async with call.books.request(lambda ledger: ledger.most(call.messages, most, limit)) as book:
            answer = await client.send(call.messages, request, self.timeout)
            if answer is None:
                return [Rollout("", finish_reason="content_filter")] * k
            self._traffic.heard(answer.headers)
            try:
                reply = wire.parse(answer.body, client.who, answer.headers, prompt_text(call.messages))
                rollouts = wire.rollouts(reply, client.who, self.price, time.monotonic() - started)
            except ModelError as error:
                if error.usage is not None:
                    book(error.usage)
                raise
            book(Usage.total(rollout.usage for rollout in rollouts))
            return rollouts

    @property
    def refused(self) -> set[str]:
        """Settings this model was seen to refuse, as "temperature=0.0"; see `sample_preferring`."""
        return self._learned.refused

    @property
    def taken(self) -> set[str]:
        """Settings under which this model has replied; see `sample_preferring`."""
        return self._learned.taken

    @property
    def _learned(self) -> Learned:
        known = (self._shown_address(), self.model)
        return _known_servers.setdefault(known, Learned(self._first_guess))

    @property
    def _traffic(self) -> Traffic:
        learned = self._learned
        return traffic_here(learned.traffic, f"{self._shown_address()} ({self.model})", learned.contact)

    def _shown_address(self) -> str:
        """What stands for the server in a run store: its URL without login, "litellm", or the embedded model."""
        return "litellm" if self.via_litellm else self._url()

    async def _kept_address(self) -> str:
        """The same for a run store, where it has to tell apart whatever gives other replies."""
        return self._shown_address()

    def _url(self) -> str:
        return self._fixed.url if self._fixed else address(self._base_url, Secret("unused")).url

    async def _address(self) -> Address:
        """Where the server is now; the embedded one has to be started first."""
        return self._fixed or address(self._base_url, self._api_key)

    async def _client(self) -> Client:
        """The running loop's client."""
        where = Address("litellm", self._api_key or Secret("")) if self.via_litellm else await self._address()
        return await self._connections.client(where, self._make)

    def _make(self, where: Address) -> Client:
        _ = self.price  # reads a large file, once
        kind: type[Client] = LiteLLMClient if self.via_litellm else OpenAIClient
        return kind(self.model, where, self.max_connections)

    async def aclose(self) -> None:
        """Closes the connections of the running loop; the next call opens new ones, as do calls in flight."""
        await self._connections.close()

    def close(self) -> None:
        """Closes the connections that blocking calls have opened."""
        concurrency.run(self.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> NoReturn:
        raise ConfigError(
            f"{self!r} is not pickled or copied: it holds connections and a key. Make it anew where it is needed, "
            "with the key from the environment"
        )

    def __repr__(self) -> str:
        # Half-built, too: a traceback with locals shows the endpoint whose settings were refused.
        known = vars(self)
        shown = {name: value for name, value in known.get("sampling", {}).items() if not name.startswith("extra_")}
        settings = "".join(f", {name}={value!r}" for name, value in shown.items())
        where = f", base_url={hide_login(known['_base_url'])!r}" if known.get("_base_url") else ""
        return f"{type(self).__name__}({known.get('model')!r}{where}{settings})"
