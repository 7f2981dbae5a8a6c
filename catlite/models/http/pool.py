"""The replicas of a fleet on one event loop: which of them gets a request, and which is left out.

A request goes to the replica with the fewest in flight; among equals the prompt decides, by rendezvous hashing, so that
separate programs agree. The prompt's later requests go where its first one did, for the sake of the prefix cache, as
long as that replica has no more than 8 requests in flight beyond the least busy one (a bound on the imbalance, as in
consistent hashing with bounded loads, arXiv 1608.01350, and in the routers of SGLang, vLLM and Ray).

A replica is left out when a connection to it is refused, and after three failures in a row (429, which is about its
pace, is none). While it fails it gets one request at a time, so that a server that is quick to fail attracts no
traffic. GET /models is asked where an answer is lost, since it may be another server by now, and where nothing was
answered for 30 seconds with requests in flight; when nothing comes of that for 30 more, the replica hangs, and its
requests go to others. What is left out is asked for GET /models after 1, 2, 4, … 30 seconds, as long as there are
calls, and taken back when it answers.

Left out: an account shared with other endpoints, loops or processes that ask the same replicas.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time

from catlite import concurrency
from catlite.errors import BadReply, CatliteError, EndpointDown, EndpointUnavailable
from catlite.models.http.replicas import OtherModel, Replica
from catlite.models.http.retry import FIRST_CONTACT
from catlite.models.http.traffic import Contact, Traffic

_SLACK = 8  # requests: a group that a server takes one by one
_HOMES = 4096  # prompts whose replica is remembered
_FAILURES = 3  # in a row
_SILENCE = 30.0  # seconds
_PAUSES = 1.0, 30.0  # seconds before the first look at a replica that is left out, and at most
_logger = logging.getLogger("catlite")


class Pool(Traffic):
    """A fleet on one event loop: the account of all its replicas together, and who waits for one of them."""

    def __init__(self, who: str, replicas: tuple[Replica, ...], contact: Contact) -> None:
        super().__init__(who, contact)
        # Who was at a replica in vain waits for another one, and lets others pass.
        self.line = concurrency.Line(lambda: any(member.has_room for member in self.members))
        self.members = tuple(Member(replica, self) for replica in replicas)
        self.refusal: CatliteError | None = None  # what is raised to every call
        self.weights = ""  # as the first replica tells them that does
        self.contexts: set[int] = set()  # tokens, as the replicas tell them
        self._homes: dict[bytes, Member] = {}  # by prompt
        self._settled = False  # whether the first looks are over

    async def ready(self) -> None:
        """Start the looks that are due; wait for the first ones, some seconds at most.

        Raises:
            OtherModel: a replica serves another model.
            ConfigError: a replica cannot be asked at all.
        """
        if not self._settled:
            await self.members[0].replica.client()  # a first import takes seconds
        for member in self.members:
            member.look_if_due()
        if not self._settled:
            await self.looked(FIRST_CONTACT)
            self._settled = True
        if self.refusal is not None:
            raise self.refusal

    async def looked(self, timeout: float | None = None) -> None:
        """Wait for the looks that are under way, so many seconds at most."""
        if looks := [member.looking for member in self.members if member.looking is not None]:
            await asyncio.wait(looks, timeout=timeout)

    def take(self, prompt: bytes, tried: set[Member]) -> Member | None:
        """Take a connection of the replica that is best for a prompt, one that was not tried if there is one.

        Returns:
            The replica; None while all are busy.

        Raises:
            EndpointUnavailable: all are left out.
        """
        for member in self.members:
            member.look_if_due()  # here as well: those who wait in line may be all the calls there are
        usable = [member for member in self.members if member.is_open]
        if not usable and not any(member.looking for member in self.members):
            raise EndpointUnavailable(f"no replica of {self.who} answers{self.troubles()}", sent=False)
        if tried.issuperset(usable):
            tried.clear()
        free = [member for member in usable if member.has_room and member not in tried]
        if not free:
            return None
        member = self._choose(prompt, free)
        tried.add(member)
        member.enter()
        return member

    def _choose(self, prompt: bytes, members: list[Member]) -> Member:
        home = self._homes.get(prompt)
        least = min(member.in_flight for member in members)
        if home in members and home is not None and home.in_flight <= least + _SLACK:
            return home
        chosen = min(members, key=lambda member: (member.in_flight, member.rank(prompt)))
        if home is None or not home.is_open:
            self._homes[prompt] = chosen
            if len(self._homes) > _HOMES:
                del self._homes[next(iter(self._homes))]
        return chosen

    def refuse(self, error: CatliteError) -> None:
        """End every call with an error of the first looks; a replica that fails later is only left out."""
        if not self._settled:
            self.refusal = error

    def troubles(self) -> str:
        """Say of each replica that is left out why it is."""
        troubles = [f"; {member.trouble}" for member in self.members if not member.is_open and member.trouble]
        return "".join(troubles)

    def silent(self, began: float) -> bool:
        """See Traffic; requests are under way where a replica has them."""
        return not any(member.in_flight for member in self.members) and super().silent(began)

    def check(self, began: float) -> None:
        """See Traffic; the error names each replica."""
        try:
            super().check(began)
        except EndpointDown as error:
            down = EndpointDown(f"{error}{self.troubles()}")
        else:
            return
        raise down


class Member(Traffic):
    """A replica on one event loop: its pace, what is in flight there, and whether it answers."""

    def __init__(self, replica: Replica, pool: Pool) -> None:
        super().__init__(f"{replica.shown_address()} ({replica.model})", pool.contact)
        self.replica, self.pool = replica, pool
        for ended in [loop for loop in replica.accounts if loop.is_closed()]:
            replica.accounts.pop(ended, None)
        replica.accounts[asyncio.get_running_loop()] = self
        self.is_open = False
        self.in_flight = 0  # requests that have a connection, with those that wait for their turn
        self.in_line = 0  # these
        self.failures = 0  # in a row
        self.trouble = ""  # the last one
        self.looking: asyncio.Task[None] | None = None
        self._gone = True  # whether only a look takes it back; else an answer does
        self._due, self._pause = -math.inf, _PAUSES[0]  # of the next look
        self._sign = -math.inf  # the time of the last sign of life
        self._watched = False

    @property
    def has_room(self) -> bool:
        """Whether it takes one more request now: only so many wait for their turn as go out in a second."""
        most = 1 if self.failures else self.replica.max_connections
        return self.is_open and self.in_flight < most and self.in_line < max(1.0, self.pace or math.inf)

    def rank(self, prompt: bytes) -> bytes:
        """Where it stands among the replicas for a prompt."""
        return hashlib.blake2b(prompt + self.who.encode(), digest_size=8).digest()

    def enter(self) -> None:
        """Count a request that has a connection from here on, and waits for its turn."""
        self.in_flight, self.in_line = self.in_flight + 1, self.in_line + 1
        if not self._watched:
            self._watched, self._sign = True, time.monotonic()
            asyncio.get_running_loop().call_later(_SILENCE, self._watch)

    def give_back(self) -> None:
        """Undo `enter`."""
        self.in_flight, self.in_line = self.in_flight - 1, self.in_line - 1

    def _watch(self) -> None:
        """Look after a replica that is silent with requests in flight."""
        self._watched = self.in_flight > 0
        if self._watched:
            quiet = time.monotonic() - self._sign
            if quiet >= _SILENCE:
                self._look_now()
            wait = _SILENCE if quiet >= _SILENCE else _SILENCE - quiet
            asyncio.get_running_loop().call_later(wait, self._watch)

    async def turn(self, began: float) -> float:
        """See Traffic."""
        try:
            return await super().turn(began)
        finally:
            self.in_line -= 1
            self.pool.line.serve()

    def check(self, began: float) -> None:
        """See Traffic; it is the fleet that is down, or not."""
        self.pool.check(began)

    def answered(self, sent: float) -> None:
        """See Traffic; a replica that answers is not left out."""
        super().answered(sent)
        self.pool.answered(sent)
        self.failures, self._pause, self._sign = 0, _PAUSES[0], time.monotonic()
        self.is_open |= not self._gone
        if self.is_open and self.trouble:
            _logger.warning("%s answers again", self.who)
            self.trouble = ""
        self.pool.line.serve()

    def failed(self, error: EndpointUnavailable | BadReply, sent: float) -> None:
        """See Traffic."""
        super().failed(error, sent)
        if error.status != 429:
            self.failures += 1
            refused = isinstance(error, EndpointUnavailable) and not error.sent
            if refused or self.failures >= _FAILURES:
                self._leave_out(str(error), gone=refused)
            elif isinstance(error, EndpointUnavailable) and error.status is None:
                self._look_now()  # it may have been started again, with another model

    def _leave_out(self, trouble: str, *, gone: bool) -> None:
        if not self.trouble:
            _logger.warning("%s; this replica is left out until it answers", trouble)
        self.trouble, self.is_open, self._gone = trouble, False, gone or self._gone
        self._due = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _PAUSES[1])
        self.pool.line.serve()

    # What it serves

    def look_if_due(self) -> None:
        """Start to look at it, where it is left out and the pause is over."""
        if not self.is_open and time.monotonic() >= self._due:
            self._look_now()

    def _look_now(self) -> None:
        if self.looking is None:
            self.looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        try:
            await self.replica.client()
            async with asyncio.timeout(_SILENCE):
                await self._check_model()
        except TimeoutError:
            self._leave_out(f"{self.who} has not answered GET /models for {_SILENCE:g} s", gone=True)
            self.replica.cut()
        except CatliteError as error:
            if not isinstance(error, EndpointUnavailable):
                self.pool.refuse(error)
                if self.trouble != str(error):  # then it is told, unless every call is
                    self.trouble = "" if self.pool.refusal is None else str(error)
            self._leave_out(str(error), gone=True)
        else:
            self._take_back()
        finally:
            self.looking = None
            self.pool.line.serve()  # those who wait are told where this was the last hope

    def _take_back(self) -> None:
        self._sign, self.contact.made = time.monotonic(), True
        if not self.is_open:
            # One more failure and it is left out again.
            self.is_open, self._gone, self.failures = True, False, _FAILURES - 1 if self.trouble else 0

    async def _check_model(self) -> None:
        """Raise OtherModel where the replica has another model than the others; warn where it has another context."""
        served = await self.replica.served(2 * _SILENCE)
        if not served.listed:
            _logger.info("%s has no list of models: it is taken to serve this one", self.who)
        if served.weights and self.pool.weights and served.weights != self.pool.weights:
            raise OtherModel(
                f"{self.who} serves {served.weights} under this name, and another replica, or the run, has "
                f"{self.pool.weights}: serve the same weights at all addresses of base_url"
            )
        self.pool.weights = self.pool.weights or served.weights
        if served.context is not None and served.context not in self.pool.contexts:
            self.pool.contexts.add(served.context)
            if len(self.pool.contexts) > 1:
                _logger.warning(
                    "%s has a context of %d tokens, and other replicas have %s: a prompt that is too long for the one "
                    "it goes to fails, though another could take it. Serve all with the same --max-model-len",
                    self.who,
                    served.context,
                    " and ".join(map(str, sorted(self.pool.contexts - {served.context}))),
                )
