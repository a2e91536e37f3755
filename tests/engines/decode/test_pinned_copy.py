"""How a copy in the host's memory is cut, where there is no card. On one: benchmarks/swaps.py."""

from __future__ import annotations

from qwen_webui.engines.decode.cuda.host import ALIGNED, PART, SYSTEM_PAGE, within_parts


def test_no_copy_reaches_over_two_parts_and_none_is_forgotten() -> None:
    sizes = [1, ALIGNED, PART - 7, 3 * PART + 1, 2 * PART, 10_000, 0]
    at = 0
    for size in sizes:
        cuts = list(within_parts(at, size))
        assert sum(end - start for start, end in cuts) == size
        assert all(start // PART == (end - 1) // PART for start, end in cuts)
        edges = [at, *(end for _, end in cuts)]
        assert [start for start, _ in cuts] == edges[:-1], "one after another, from the first on"
        at += size


def test_parts_share_no_page_of_the_system() -> None:
    assert PART % SYSTEM_PAGE == 0 and SYSTEM_PAGE % ALIGNED == 0
