"""What the answers of a server have taught about it; one for each address and model, kept for the process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from catlite.models.http.traffic import Contact, Traffic
from catlite.usage import Usage

_SLACK = 16  # tokens, such as the end of a reply, that servers count beside it


@dataclass
class Learned:
    """What a server takes, as far as its answers have told.

    most_choices: the most choices of one request, None for as many as are asked for. tokens_name: the name under which
    it takes the token limit, once the other was refused. no_limit: why no token limit is in force, once that was seen.
    scoring: how it scores texts: "llama.cpp", "vLLM" or "not at all". refused, taken: settings that were seen to be
    refused, and to work; as "temperature=0.0". contact, traffic: whether it ever answered, and how fast it is asked on
    each event loop.
    """

    most_choices: int | None
    tokens_name: str | None = None
    no_limit: str | None = None
    scoring: str | None = None
    refused: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    contact: Contact = field(default_factory=Contact)
    traffic: dict[asyncio.AbstractEventLoop, Traffic] = field(default_factory=dict)

    def check_limit(self, who: str, name: str, most: int, usage: Usage) -> None:
        """Learn that there is no token limit where one sent as `name`, `most` tokens in all, does not hold."""
        written = usage.completion_tokens
        if written is not None and written > 2 * most + _SLACK:
            self.no_limit = (
                f"{who} takes no token limit: it refuses the one name for it, and under the other ({name}) it wrote "
                f"{written:,} tokens where {most:,} were allowed. Leave max_tokens out, or use another server"
            )
