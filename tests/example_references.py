"""References made by hand: one whose answer two of three rollouts have, one without an answer, one that failed."""

import dataclasses

from catlite import Example, Group, Reference, Rollout


def reference(prompt="What is 6 times 7?", text=r"It is \boxed{42}.", answer="42", **fields):
    rollouts = (Rollout(text, answer), Rollout("no", "41"), Rollout(text, answer))
    made = Reference(text, answer, "Synthesis", Group(Example(prompt, answer_format="boxed"), rollouts, "policy-1"))
    return dataclasses.replace(made, **fields)


def open_ended(prompt="Why?", text="Because.", **fields):
    return Reference(text, None, "Synthesis", Group(Example(prompt), (Rollout(text),), "policy-1"), **fields)


FAILED = reference(text="", answer=None, error="the server is down")
