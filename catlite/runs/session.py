"""What is in force where a model is asked: the run, its budget, which replies are meant, and who listens.

`Model.sample(prompt, n)` names none of these, so one context variable carries them, from `evaluate(run=…)` down through
an estimator of the user's own to the request. Read it with `current()`; the functions below change it for a block.
A connection keeps the context in which it was opened, and with it a Session, for as long as it is open: nothing large
may stay in one (`listening` empties its list). Not here: the place of a question in the queue and the thread that waits
for a result (concurrency.py), which exist without any run, and how often one call is retried (models/http/retry.py).
"""

from __future__ import annotations

import contextvars
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from catlite import checks
from catlite.data import Example, Progress, Rollout
from catlite.parts import folded
from catlite.runs.budget import Account, Budget, Ledger, Room
from catlite.runs.progress import reporting
from catlite.runs.store import Store
from catlite.usage import Usage


@dataclass(frozen=True, slots=True)
class Session:
    """What is in force at one moment.

    store: where replies are kept. ledger: the budget and its account. first_sample: the index of the first reply that a
    call of `sample` gives. copy: which of several rows that ask the very same is meant; "" is the first. begun: whether
    something was paid for before, so that an early end keeps what there is. notes, failures, costs: lists of whoever
    listens (see `noting`, `listening`, `metered`). found: takes what replies did cost that the run had. tally: a
    rehearsal.Tally, which counts the calls to models, and in a rehearsal answers them. room: what is held in the budget
    for a model of the user's own, while it works. arrive: takes the place of each reply in the call that is made, and
    the reply, as it arrives. write: takes the text of a reply that is asked for alone, piece by piece as it is written.
    """

    store: Store | None = None
    ledger: Ledger | None = None
    first_sample: int = 0
    copy: str = ""
    begun: bool = False
    notes: list[str] | None = None
    failures: list[Exception] | None = None
    costs: list[Usage | None] | None = None
    found: list[Usage | None] | None = None
    tally: Any = None
    room: Room | None = None
    arrive: Callable[[int, Rollout], None] | None = None
    write: Callable[[str], None] | None = None


_NOTHING = Session()
_session: contextvars.ContextVar[Session] = contextvars.ContextVar("catlite_session", default=_NOTHING)
current = _session.get


@contextmanager
def changed(**fields: Any) -> Iterator[Session]:
    """Put a Session with these fields in force for the block; the others stay as they are."""
    session = replace(_session.get(), **fields)
    token = _session.set(session)
    try:
        yield session
    finally:
        _session.reset(token)


# --- the run and its budget ---

_open: dict[Path, tuple[Store, int]] = {}  # by folder, with the number of blocks that use it
_open_lock = threading.Lock()


@contextmanager
def open_run(run: str | Path | None, budget: Budget | None = None) -> Iterator[Store | None]:
    """Put the store of `run` in force for every model call in the block, held within `budget`.

    Blocks of one process may overlap on the same run.

    Args:
        run: the folder; None leaves the store that is in force.
        budget: a cap on the whole run, earlier processes included; None leaves the one that is in force.

    Raises:
        StoreError: when the folder cannot be used, is held by another process, or was written by another version.
        ConfigError: for a cap on what is not known of the run.
    """
    if run is None:
        with capped(budget, current().store):
            yield current().store
        return
    folder = checks.folder("run", run)
    with _open_lock:
        store, users = _open.get(folder, (None, 0))
        store = store or Store(folder)
        _open[folder] = (store, users + 1)
    try:
        with changed(store=store), capped(budget, store):
            yield store
    finally:
        with _open_lock:
            users = _open[folder][1] - 1
            _open[folder] = (store, users)
            if users == 0:
                del _open[folder]
                store.close()


@contextmanager
def working(
    run: str | Path | None, budget: Budget | None, progress: bool | Progress | None, questions: int
) -> Iterator[tuple[Store | None, Callable[[Usage], None]]]:
    """Work on many questions in the block, in one run and under one budget, with a line that shows how far it is.

    Args:
        run: as in `open_run`.
        budget: as in `open_run`.
        progress: as in `reporting`.
        questions: how many there are.

    Yields:
        (the run's store or None, what is to be called after each question with what it cost)
    """
    with open_run(run, budget) as store, reporting(progress, questions, run) as tell:
        yield store, tell


@contextmanager
def capped(budget: Budget | Ledger | None, spent: Usage | Store | None = None) -> Iterator[Ledger | None]:
    """Hold every model call in the block within `budget`; None changes nothing.

    Args:
        budget: the caps, or a Ledger on which other blocks draw as well.
        spent: what is gone of the caps already, or the run whose account they are on.

    Raises:
        ConfigError: for a cap on what is not known of `spent`.
    """
    if budget is None:
        yield current().ledger
        return
    if not isinstance(budget, Ledger):
        budget = Ledger(budget, spent.account if isinstance(spent, Store) else Account(spent or Usage()))
    with changed(ledger=budget):
        yield budget


# --- which replies are meant ---


@contextmanager
def samples_from(first: int) -> Iterator[None]:
    """Let models sampled in the block give the replies from index `first` on: fresh ones, beside those before them."""
    with changed(first_sample=first):
        yield


@contextmanager
def copy_of(row: int, repeat: int = 0) -> Iterator[None]:
    """Let models asked in the block answer for themselves, though others ask the very same.

    A run keeps the replies of each apart, as without a run each would have its own.

    Args:
        row: how many rows of the task before this one have its prompt.
        repeat: how often it was done before.
    """
    with changed(copy=f"{row}.{repeat}" if row or repeat else ""):
        yield


def copies(examples: Iterable[Example]) -> list[int]:
    """Count, for each example, how many before it have the same prompt."""
    seen: Counter[str] = Counter()
    numbers = []
    for example in examples:
        text = json.dumps(folded(example.messages), sort_keys=True)
        numbers.append(seen[text])
        seen[text] += 1
    return numbers


# --- calls that are counted before they are made ---


def rehearsing() -> bool:
    """Tell whether replies are made up in the block, so that nothing may be learned from them."""
    tally = current().tally
    return tally is not None and not tally.asks


def memory(owner: object, own: dict[str, Any]) -> dict[str, Any]:
    """Give what `owner` remembers: its `own`, or something apart for each question whose cost is told in advance."""
    tally = current().tally
    return own if tally is None else tally.memories.setdefault(id(owner), (owner, {}))[1]


# --- who listens ---


@contextmanager
def noting() -> Iterator[list[str]]:
    """Collect notes on the requests made in the block: what they were sent without, and what is odd about the replies.

    For the notes of a Reference, a Judgement or a Row; a `noting` around this one gets them as well.
    """
    notes: list[str] = []
    outer = current().notes
    try:
        with changed(notes=notes):
            yield notes
    finally:
        if outer is not None:
            outer[:] = distinct([*outer, *notes])


def distinct(notes: Iterable[str]) -> list[str]:
    """Leave out each note that differs from an earlier one in figures alone: a hundred cut prompts are one note."""
    known: dict[str, str] = {}
    for note in notes:
        known.setdefault(re.sub(r"\d+", "", note), note)
    return list(known.values())


@contextmanager
def listening() -> Iterator[list[Exception]]:
    """Collect the failures of the calls made in the block; the list is emptied at its end.

    A reward may turn the silence of its judge into None. Whoever asked for the reward still has to know whether the
    same call may bring one later. Clients other than those of catlite/models/ tell of no failures.
    """
    failures: list[Exception] = []
    try:
        with changed(failures=failures):
            yield failures
    finally:
        failures.clear()  # their tracebacks hold all that was under way


def tell(failure: Exception) -> None:
    """Add `failure` to the list of whoever listens."""
    failures = current().failures
    if failures is not None:
        failures.append(failure)


@contextmanager
def metered() -> Iterator[list[Usage | None]]:
    """Collect what each reply and each score asked for in the block has cost, those a run has kept included.

    A `metered` around this one gets it as well.
    """
    costs: list[Usage | None] = []
    try:
        with changed(costs=costs):
            yield costs
    finally:
        meter(*costs)


def meter(*usages: Usage | None) -> None:
    """Add the cost of replies or of a score to the list of whoever meters; None is an unknown cost."""
    costs = current().costs
    if costs is not None:
        costs.extend(usages)
