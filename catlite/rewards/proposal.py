"""Self-proposed rubrics (arXiv 2509.14234 §3.2.2): a pseudo-reference becomes yes/no criteria for other responses.

The proposer, in the paper the anchor, sees the reference alone; the question in its place is the ablation of App. A.2,
and rollouts beside it show what the criteria have to tell apart (as in RLCF and OpenRubrics).
Its reply is read from JSON, tags or a list, and checked: criteria that ask for more than yes or no, point to a text
that the judge will not see, or copy one are dropped and asked for again, a bounded number of times. Left out: weights,
which the paper's rubrics do not have, and refining a rubric by how it judges.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from catlite import answers
from catlite.checks import whole_number
from catlite.coerce import as_model
from catlite.criteria import Criterion, Rubric
from catlite.data import Message, Prompt, Rollout, as_messages, text_of
from catlite.errors import ConfigError, RubricError
from catlite.models.base import Models, json_schema
from catlite.models.preferring import sample_preferring
from catlite.parsing import parse_values
from catlite.prompts.fence import disarm, with_media
from catlite.rewards import asking
from catlite.usage import Usage

Worked = tuple[tuple[str, tuple[str, ...]], ...]
MOST = 20  # criteria of a rubric; each costs a judge call per rollout
ATTEMPTS = 3
_LONGEST = 400  # characters of a criterion; a longer one checks more than one thing
_COPIED = 12  # words in a row out of the material
_LISTS = ("criteria", "rubric", "rubrics", "criterion", "items", "checklist", "questions")
_TEXTS = ("criterion", "text", "description", "question", "requirement", "name")
_BULLET = re.compile(
    r"^[ \t>]{0,8}(?:\*\*)?(?:(?:criterion )?\d{1,3}[.):]|[-*•–])(?:\*\*)?[ \t]+(.+)$", re.MULTILINE | re.IGNORECASE
)
_DECORATION = re.compile(r"\A\s*(?:(?:criterion )?\d{1,3}[.):]\s+|\[[ x]\]\s*)|\*\*", re.IGNORECASE)
# A question that wants more than yes or no, or an order to do so.
_OPEN = re.compile(
    r"\W*(?:how|what|which|why|who|whom|where|when|to what extent)\b.*\?\W*\Z"
    r"|\W*(?:list|describe|explain|rate|score|rank|compare)\b|.*\bon a scale (?:of|from)\b",
    re.IGNORECASE | re.DOTALL,
)
_POINTING = re.compile(
    r"\b(?:the|this|that) (?:(?:pseudo-?)?reference(?! (?:range|value|interval|dose|list))|good response|"
    r"original (?:text|response|answer)|given text|text above|response above|other responses?|response number \d+)\b"
    r"|\b(?:as|mentioned|stated|described) above\b"
    r"|\b(?:than|to|from|as|like|unlike|with) (?:(?:most|all) )?"
    r"(?:other responses?|responses? (?:number |no\. ?|#)?\d+)\b",
    re.IGNORECASE,
)
# A fault that the response avoids.
_NEGATIVE = re.compile(
    r"\W*(?:the )?response (?:does not|do not|doesn't|never|avoids?|omits?|refrains?|lacks?|is not|isn't|has no|"
    r"contains no|makes no|gives no|is free)\b",
    re.IGNORECASE,
)


def check_bounds(fewest: int, most: int) -> None:
    """Raise ConfigError unless a rubric can have between `fewest` and `most` criteria."""
    if whole_number("fewest", fewest) > whole_number("most", most):
        raise ConfigError(f"fewest={fewest} is more than most={most}: raise most, or lower fewest")


async def propose_rubric(
    reference: str,
    proposer: Models,
    *,
    question: Prompt | None = None,
    rollouts: Sequence[str] = (),
    positive_only: bool = False,
    fewest: int = 5,
    most: int = MOST,
    worked: Worked = (),
    temperature: float | None = 0.0,
    max_tokens: int | None = None,
) -> tuple[Rubric, Usage]:
    """Ask a model for the criteria of a rubric by which other responses can be judged (arXiv 2509.14234 §3.2.2).

    Args:
        reference: the text of a pseudo-reference.
        proposer: the model that writes the criteria, or its name, as in `synthesize`.
        question: proposes from the question instead, and then `reference` is not shown (App. A.2); None.
        rollouts: texts of other responses to the same task, shown beside the reference so that the criteria tell good
            ones from bad ones; none.
        positive_only: asks for what a good response does, never for what it avoids; False.
        fewest: criteria there have to be; 5, as in the paper.
        most: criteria there may be; 20. Further ones are dropped; proposers are told to put the least important last.
        worked: (reference, criteria) pairs shown as earlier turns, for a proposer that is very small; none.
        temperature: of the first reply, dropped where the proposer refuses it; 0.0.
        max_tokens: of each reply; None leaves the proposer's own limit.

    Returns:
        The rubric, and the usage of all replies it took.

    Raises:
        RubricError: when three replies leave fewer than `fewest` usable criteria; it keeps the raw texts.
        ConfigError: for an empty reference or question, `fewest` above `most`, and rollouts that are not texts, or
            beside a question.
        ModelError: what `proposer.sample` raises.

    Example:
        >>> rubric, usage = await propose_rubric("Zinc competes with iron: take them apart.", anchor)
        >>> len(rubric)
        6
    """
    proposer = as_model(proposer, "proposer")
    check_bounds(fewest, most)
    if isinstance(rollouts, str) or not all(isinstance(rollout, str) for rollout in rollouts):
        raise ConfigError(f"rollouts={rollouts!r:.60}: want a list of the texts of other responses")
    if question is None and not isinstance(reference, str):
        raise ConfigError(f"the reference is {type(reference).__name__}: give its text, or a question")
    if question is None:
        name, material = "rubric", answers.without_thinking(reference).strip() or reference.strip()
    else:
        name, material = "rubric_question", "\n\n".join(map(text_of, as_messages(question)))
    texts = [material, *(text for rollout in rollouts if (text := answers.without_thinking(rollout).strip()))]
    if len(texts) > 1:
        if question is not None:
            raise ConfigError("rollouts go with a reference: leave question out, or rollouts")
        name = "rubric_contrast"
    if not material:
        raise ConfigError("the reference is empty: there is nothing to propose a rubric from")
    messages: list[Message] = []
    bounds = {"fewest": str(fewest), "most": str(most)}
    for text, criteria in worked:
        listing = json.dumps({"criteria": list(criteria)}, ensure_ascii=False)
        earlier = asking.for_rubric("rubric" if rollouts else name, [text], bounds, positive_only)[1]
        messages += [earlier, {"role": "assistant", "content": listing}]
    tag, request = asking.for_rubric(name, texts, bounds, positive_only)
    if question is not None:
        request["content"] = with_media(request["content"], as_messages(question))
    messages.append(request)
    turns = list(messages)  # up to the request, from which every further attempt goes on
    shown = {_likeness(text) for _, criteria in worked for text in criteria}
    listed = {"type": "array", "items": {"type": "string"}, "minItems": fewest, "maxItems": most}
    preferred = {"response_format": json_schema("rubric", {"criteria": listed}), "temperature": temperature}
    kept: dict[str, str] = {}  # by what makes two of them the same
    raw: list[str] = []
    spent = Usage()
    faults: list[str] = []
    for attempt in range(ATTEMPTS):
        if attempt:
            preferred = {**preferred, "temperature": None}  # a greedy model would repeat itself
        reply = await sample_preferring(proposer, messages, preferred, max_tokens=max_tokens)
        spent += Usage.total([reply.usage])
        raw.append(reply.error or reply.text)
        faults = []
        for text in _criteria(reply):
            fault = _fault(text, texts, tag) if _likeness(text) not in shown else "a copy of an earlier rubric"
            if positive_only and _NEGATIVE.match(text):
                fault = "about what the response avoids, not about what it does"
            if fault is None:
                kept.setdefault(_likeness(text), text)
            else:
                faults.append(fault)
        if len(kept) >= fewest:
            return Rubric(tuple(Criterion(text) for text in list(kept.values())[:most])), spent
        if reply.error is not None:
            break
        more = asking.for_more_criteria(list(kept.values()), _counted(faults), fewest - len(kept))
        messages = asking.ask_again(turns, reply, more)
    why = f" ({_counted(faults)})" if faults else ""
    if reply.error is not None:
        raise RubricError(f"{proposer.name!r} gave no rubric: {reply.error}", tuple(raw), spent)
    raise RubricError(
        f"{proposer.name!r} proposed {len(kept)} usable criteria in {len(raw)} replies, and at least {fewest} are "
        f"wanted{why}. The last reply: {raw[-1][:200]!r}. Use a stronger proposer, or a smaller fewest=",
        tuple(raw),
        spent,
    )


def _counted(faults: Iterable[str]) -> str:
    listed = list(faults)
    return "; ".join(f"{listed.count(fault)} {fault}" for fault in dict.fromkeys(listed))


def _criteria(reply: Rollout) -> list[str]:
    """The texts of the criteria in a reply: of its JSON or tags, else of its list; without one that was cut off."""
    if reply.error is not None:
        return []
    listed = list(_texts(parse_values(reply.text)))
    # A text of several lines may be a list in turn.
    texts = [item for text in listed for item in (_bullets(text) if "\n" in text else []) or [text]]
    visible = answers.without_thinking(reply.text)
    texts = texts or _bullets(visible)
    whole = reply.defect is None and visible.count("{") <= visible.count("}")
    bare = [" ".join(_DECORATION.sub("", text).split()) for text in (texts if whole else texts[:-1])]
    return [text for text in bare if text]


def _bullets(text: str) -> list[str]:
    return [line.strip(' *_`"') for line in _BULLET.findall(text)]


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """Criteria out of {"criteria": ["…"]}, [{"criterion": "…"}], {"criterion 1": "…"} and the like."""
    if isinstance(value, list) and depth < 6:
        for item in value:
            if isinstance(item, str):
                yield item
            else:
                yield from _texts(item, depth + 1)
    elif isinstance(value, dict) and depth < 6:
        lists = [value[name] for name in _LISTS if isinstance(value.get(name), list | dict)]
        lists += [[value[name]] for name in _LISTS if isinstance(value.get(name), str) and "\n" in value[name]]
        texts = [value[name] for name in _TEXTS if isinstance(value.get(name), str)]
        if lists:
            yield from _texts(lists[0], depth + 1)
        elif texts:
            # What costs points is a fault, and every criterion here is worth one.
            if not any(isinstance(item, int | float) and item < 0 for item in value.values()):
                yield texts[0]
        else:
            yield from _texts(list(value.values()), depth + 1)


def _fault(text: str, texts: Sequence[str], tag: str) -> str | None:
    """What is wrong with a criterion, in words for the proposer; None when nothing is."""
    words = text.split()
    if len(words) < 3:
        return "too short to say what is checked"
    if len(text) > _LONGEST:
        return f"longer than {_LONGEST} characters"
    if _OPEN.match(text):
        return "not answered by yes or no"
    if tag in text or _POINTING.search(text):
        return "not understandable without the text above"
    if any(_copies(words, material) for material in texts):
        return f"a copy of {_COPIED} words or more of the text"
    return None


def _copies(words: Sequence[str], material: str) -> bool:
    plain = " " + " ".join(re.findall(r"\w+", material.lower())) + " "
    bare = re.findall(r"\w+", " ".join(words).lower())
    runs = (" ".join(bare[start : start + _COPIED]) for start in range(len(bare) - _COPIED + 1))
    return any(f" {run} " in plain for run in runs)


def _likeness(text: str) -> str:
    """A key that criteria share when they differ in case, punctuation and little words only."""
    words = [word.strip(".,;:!?\"'()*_`") for word in disarm(text).lower().split()]
    return " ".join(word for word in words if word not in {"the", "a", "an", "does", "is", "that", "response"})
