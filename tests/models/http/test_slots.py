"""Slots let no more in than their limit, older questions first, and lose none when waiters are cancelled."""

import asyncio

import pytest

from catlite.concurrency import Slots, each


def test_no_more_are_inside_than_the_limit():
    async def work():
        slots, inside, most = Slots(3), 0, 0

        async def one():
            nonlocal inside, most
            async with slots:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(one() for _ in range(20)))
        return most

    assert asyncio.run(work()) == 3


def test_a_later_stage_of_an_older_question_goes_before_a_newer_question():
    order = []

    async def work():
        slots = Slots(1)

        async def question(number):
            for stage in "ab":
                async with slots:
                    order.append(f"{number}{stage}")
                    await asyncio.sleep(0)

        await each(question, range(4), workers=2)

    asyncio.run(work())
    # 1 was waiting when 0 left for the first time; then the older question goes first, until the last two.
    assert order == ["0a", "1a", "0b", "1b", "2a", "3a", "2b", "3b"]


def test_of_the_last_questions_the_one_with_more_stages_to_come_goes_first():
    order = []

    async def work():
        slots = Slots(1)

        async def question(number):
            for stage in "abc":
                async with slots:
                    order.append(f"{number}{stage}")
                    await asyncio.sleep(0)

        await each(question, range(3), workers=3)

    asyncio.run(work())
    assert order == ["0a", "1a", "2a", "0b", "1b", "2b", "0c", "1c", "2c"]


@pytest.mark.parametrize("granted_first", [False, True])
def test_a_cancelled_waiter_takes_no_slot_with_it(granted_first):
    async def work():
        slots = Slots(1)
        await slots.__aenter__()
        waiter = asyncio.create_task(slots.__aenter__())
        await asyncio.sleep(0)
        if granted_first:
            await slots.__aexit__()
            waiter.cancel()
        else:
            waiter.cancel()
            await asyncio.sleep(0)
            await slots.__aexit__()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await asyncio.wait_for(slots.__aenter__(), 1)

    asyncio.run(work())


def test_results_come_in_the_order_of_the_items_with_bounded_workers():
    under_way, most = 0, 0

    async def work(item):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001 * (5 - item % 5))
        under_way -= 1
        return -item

    assert asyncio.run(each(work, range(30), workers=4)) == [-item for item in range(30)]
    assert most == 4


def test_the_first_failure_stops_the_rest():
    begun = []

    async def work(item):
        begun.append(item)
        await asyncio.sleep(0.01)
        if item == 1:
            raise ValueError("one")

    with pytest.raises(ValueError, match="one"):
        asyncio.run(each(work, range(100), workers=2))
    assert len(begun) <= 4
