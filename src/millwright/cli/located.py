"""Where a filter or an order cannot be read, shown under the text itself."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from millwright.core.errors import Invalid

if TYPE_CHECKING:
    from millwright.metadata.filters import Vocabulary

WINDOW_CHARS = 100


@contextmanager
def located(
    filter_: str, order: Sequence[str], vocabulary: Callable[[], Vocabulary]
) -> Generator[None]:
    """Show in what is raised for a filter or an order at which character it cannot be read.

    Where it is does not travel: the text is read again here, by the rules of the door, which
    `vocabulary` imports. Most commands end well and need not wait for them.
    """
    try:
        yield
    except Invalid as error:
        from millwright.metadata.filters import FilterError, parse_filter, parse_order

        known = vocabulary()
        readings: list[tuple[str, Callable[[], object]]] = [
            (filter_, lambda: parse_filter(filter_, known))
        ]
        readings += [(one, lambda one=one: parse_order([one], known)) for one in order]
        for words, read in readings:
            try:
                read()
            except FilterError as found:
                if found.at is None:
                    raise error from found
                why = "\n".join([found.why, *pointed(words, found.at)])
                raise Invalid(found.what, why=why, fix=found.fix) from found
        raise


def pointed(words: str, at: int) -> list[str]:
    """Return a text, or what of a long one lies about there, with a caret under the character.

    >>> pointed("metrics.auc >> 1", 13)
    ['  metrics.auc >> 1', '               ^']
    """
    plain = "".join(char if char.isprintable() else " " for char in words)
    first = max(0, min(at - WINDOW_CHARS // 2, len(plain) - WINDOW_CHARS))
    shown = plain[first : first + WINDOW_CHARS]
    before = "…" if first else ""
    after = "…" if first + WINDOW_CHARS < len(plain) else ""
    return [f"  {before}{shown}{after}", " " * (2 + len(before) + at - first) + "^"]
