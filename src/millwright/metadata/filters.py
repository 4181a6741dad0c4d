"""The filter and order language: `metrics.auc > 0.9 and params.max_depth = '3'`.

It is the language of MLflow's search, parsed by hand: comparisons joined by AND. What may be
compared is a `Vocabulary`; the SQL of each lies with its table. An error says at which character
it stands. Nothing of the text ever becomes part of a statement: keys and values are parameters.

    comparison  field operator value | field [NOT] IN (value, ...) | field IS [NOT] NULL
    field       key | entity.key; a key with other letters stands in `backticks` or "quotes"
    operator    = != < <= > >= LIKE ILIKE
    value       a number, or a text in 'single' or "double" quotes
    order       field [ASC | DESC]
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NoReturn, TypeAlias

from millwright.core.errors import Invalid
from millwright.core.refs import did_you_mean

Operator: TypeAlias = Literal[
    "=", "!=", "<", "<=", ">", ">=", "LIKE", "ILIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL"
]
Scalar: TypeAlias = "float | int | str"

MAX_CLAUSES = 200
MAX_CHARS = 100_000
MAX_LISTED = 1000
"""Values behind one IN."""
MAX_TERMS = 100
"""Terms of an order."""
MAX_PATTERN_BYTES = 50_000
"""SQLite takes no longer pattern behind LIKE."""

_NUMERIC: frozenset[str] = frozenset({"=", "!=", "<", "<=", ">", ">="})
_TEXT: frozenset[str] = frozenset({"=", "!=", "LIKE", "ILIKE", "IN", "NOT IN"})
_PRESENCE: frozenset[str] = frozenset({"IS NULL", "IS NOT NULL"})

_TOKEN = re.compile(
    r"""
    \s*(?:
        (?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
      | (?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`)
      | (?P<operator><=|>=|!=|<>|==|=|<|>)
      | (?P<mark>[(),])
      | (?P<dot>\.)
      | (?P<word>[^\s'"`=!<>(),.][^\s'"`=!<>(),.]*)
    )
    """,
    re.VERBOSE,
)


class FilterError(Invalid):
    """A filter or an order cannot be read; `at` is where, counted from 0."""

    def __init__(self, what: str, *, why: str = "", fix: str = "", at: int | None = None) -> None:
        super().__init__(what, why=why, fix=fix)
        self.at = at

    def __reduce__(self) -> tuple[object, ...]:
        return _revive, (self.what, self.why, self.fix, self.at)


def _revive(what: str, why: str, fix: str, at: int | None) -> FilterError:
    return FilterError(what, why=why, fix=fix, at=at)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What one kind of thing can be found by."""

    entities: Mapping[str, str]
    """What a filter may call an entity -> its one name: `metric`, `param`, `tag`, `attribute`…"""
    numbers: frozenset[str] = frozenset()
    """Attributes that are numbers."""
    texts: frozenset[str] = frozenset()
    """Attributes that are texts."""
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    """Other names of attributes."""
    keys: Mapping[str, frozenset[str]] = field(default_factory=dict[str, "frozenset[str]"])
    """The keys of an entity that has only these, as `dataset`."""
    orderable: frozenset[str] = frozenset({"metric", "param", "tag", "attribute"})
    """Entities by which one may order."""

    def is_number(self, entity: str, key: str) -> bool:
        """Tell whether what is compared is a number."""
        return entity == "metric" or (entity == "attribute" and key in self.numbers)


@dataclass(frozen=True, slots=True)
class Field:
    """What is compared or ordered by."""

    entity: str
    key: str


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison."""

    field: Field
    op: Operator
    value: float | int | str | tuple[str, ...] | None
    at: int
    """Where in the text it begins."""


@dataclass(frozen=True, slots=True)
class Order:
    """One term of an order."""

    field: Field
    descending: bool
    rows: str | None = None
    """The SQL of the rows that it looks into, where not into all of the entity's."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int

    @property
    def upper(self) -> str:
        return self.text.upper() if self.kind == "word" else ""


def parse_filter(text: str, vocabulary: Vocabulary) -> list[Clause]:
    """Return the comparisons that all must hold; an empty text holds for everything.

    Raises FilterError, naming what cannot be read and where.
    """
    if len(text) > MAX_CHARS:
        raise FilterError(f"a filter has at most {MAX_CHARS} characters, not {len(text)}")
    tokens = _tokens(text, "filter")
    reader = _Reader(text, tokens, vocabulary)
    clauses: list[Clause] = []
    while reader.more():
        if clauses:
            reader.expect_and()
        clauses.append(reader.clause())
        if len(clauses) > MAX_CLAUSES:
            raise FilterError(f"a filter has at most {MAX_CLAUSES} comparisons")
    return clauses


def parse_order(terms: Sequence[str], vocabulary: Vocabulary) -> list[Order]:
    """Return the terms of an order; raises FilterError for one that cannot be or comes twice."""
    check_terms(len(terms))
    found: list[Order] = []
    for text in terms:
        reader = _Reader(text, _tokens(text, "order"), vocabulary)
        order = reader.order()
        if any(order.field == other.field for other in found):
            raise FilterError(f"`order_by` contains duplicate fields: {list(terms)}")
        found.append(order)
    return found


def check_terms(count: int) -> None:
    """Raise FilterError when an order has too many terms."""
    if count > MAX_TERMS:
        raise FilterError(f"an order has at most {MAX_TERMS} terms, not {count}")


def _tokens(text: str, noun: str) -> list[_Token]:
    tokens: list[_Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            place = position + len(text[position:]) - len(text[position:].lstrip())
            raise FilterError(
                f"the {noun} {text[:200]!r} cannot be read",
                why=f"at character {place + 1}: {text[place : place + 40]!r}",
                fix="close the quotes" if text[place] in "'\"`" else "",
                at=place,
            )
        tokens.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    return tokens


class _Reader:
    def __init__(self, text: str, tokens: list[_Token], vocabulary: Vocabulary) -> None:
        self._text = text
        self._tokens = tokens
        self._next = 0
        self._vocabulary = vocabulary

    def more(self) -> bool:
        return self._next < len(self._tokens)

    def expect_and(self) -> None:
        token = self._take("AND")
        if token.upper != "AND":
            self._refuse(
                f"Invalid clause(s) in filter string: {token.text!r}",
                token.at,
                fix="join comparisons by AND; OR is not part of the language",
            )

    def clause(self) -> Clause:
        began = self._peek_at()
        found = self.field()
        op = self._operator(found)
        if op in _PRESENCE:
            return Clause(found, op, None, began)
        value = self._list(found) if op in {"IN", "NOT IN"} else self._value(found)
        if op in {"LIKE", "ILIKE"}:
            size = len(str(value).encode(errors="surrogatepass"))
            if size > MAX_PATTERN_BYTES:
                self._refuse(
                    f"a pattern has at most {MAX_PATTERN_BYTES:,} bytes, not {size:,}", began
                )
        return Clause(found, op, value, began)

    def order(self) -> Order:
        if not self.more():
            raise FilterError("an order names what to order by, and this one is empty")
        found = self.field()
        if found.entity not in self._vocabulary.orderable:
            raise FilterError(
                f"Invalid order_by entity {found.entity!r}",
                why=f"one may order by: {', '.join(sorted(self._vocabulary.orderable))}",
            )
        descending = False
        if self.more():
            token = self._take("ASC or DESC")
            if token.upper not in {"ASC", "DESC"}:
                self._refuse(f"Invalid order_by clause {self._text!r}", token.at)
            descending = token.upper == "DESC"
        if self.more():
            self._refuse(f"Invalid order_by clause {self._text!r}", self._peek_at())
        return Order(found, descending)

    def field(self) -> Field:
        first = self._take("what to compare")
        if first.kind not in {"word", "quoted"} or first.text.startswith("'"):
            self._refuse(
                f"Invalid clause(s) in filter string: {first.text!r}",
                first.at,
                fix="begin a comparison with what is compared, as in metrics.auc > 0.9",
            )
        name = _unquoted(first)
        if not (self.more() and self._tokens[self._next].kind == "dot"):
            return self._attribute(name, first.at)
        entity = self._vocabulary.entities.get(name)
        if entity is None:
            known = sorted(set(self._vocabulary.entities.values()))
            self._refuse(
                f"Invalid entity type '{name}'. Valid values are {known}",
                first.at,
                fix=did_you_mean(name, self._vocabulary.entities),
            )
        self._next += 1
        key, at = self._key()
        if entity == "attribute":
            return self._attribute(key, at)
        allowed = self._vocabulary.keys.get(entity)
        if allowed is not None and key not in allowed:
            self._refuse(
                f"Invalid {entity} key '{key}' specified. Valid keys are {sorted(allowed)}",
                at,
                fix=did_you_mean(key, allowed),
            )
        return Field(entity, key)

    def _key(self) -> tuple[str, int]:
        first = self._take("a key")
        if first.kind == "quoted" and not first.text.startswith("'"):
            return _unquoted(first), first.at
        # A plain key may have dots in it; it ends where something else than a key begins.
        end = first.at
        while self._next <= len(self._tokens):
            token = self._tokens[self._next - 1]
            if token.at != end or token.kind not in {"word", "dot", "number"}:
                self._next -= 1
                break
            end = token.at + len(token.text)
            self._next += 1
        else:
            self._next -= 1
        if end == first.at:
            self._refuse("a key is missing behind the dot", first.at)
        return self._text[first.at : end], first.at

    def _attribute(self, name: str, at: int) -> Field:
        key = self._vocabulary.aliases.get(name, name)
        known = self._vocabulary.numbers | self._vocabulary.texts
        if key not in known:
            self._refuse(
                f"Invalid attribute key '{name}' specified. Valid keys are {sorted(known)}",
                at,
                fix=did_you_mean(name, known),
            )
        return Field("attribute", key)

    def _operator(self, found: Field) -> Operator:
        token = self._take("a comparison")
        text = token.upper or token.text
        if text == "NOT":
            text = f"NOT {self._take('IN').upper}"
        if text == "IS":
            text = f"IS {self._take('NULL').upper}"
            if text == "IS NOT":
                text = f"IS NOT {self._take('NULL').upper}"
        spelled = {"==": "=", "<>": "!="}.get(text, text)
        allowed = _TEXT
        if self._vocabulary.is_number(found.entity, found.key):
            allowed = _NUMERIC
        elif found.entity in {"param", "tag"}:
            allowed = _TEXT | _PRESENCE
        if spelled not in allowed:
            self._refuse(
                f"Invalid comparator '{text}' not one of {sorted(allowed)}",
                token.at,
                why=f"{found.entity} {found.key!r} is compared",
            )
        return spelled  # pyright: ignore[reportReturnType] (one of the allowed, all Operators)

    def _value(self, found: Field) -> Scalar:
        token = self._take("a value")
        if self._vocabulary.is_number(found.entity, found.key):
            if token.kind != "number":
                self._refuse(
                    f"Expected numeric value type for {found.entity}. Found {token.text}", token.at
                )
            if found.entity != "attribute" or re.fullmatch(r"[-+]?\d+", token.text) is None:
                return float(token.text)
            # By its length first: Python makes no number of thousands of digits.
            if len(token.text) > 40 or not -(2**63) <= int(token.text) < 2**63:
                self._refuse("a whole number in a filter has at most 64 bits", token.at)
            return int(token.text)
        return self._text_of(token, found)

    def _list(self, found: Field) -> tuple[str, ...]:
        opening = self._take("(")
        if opening.text != "(":
            self._refuse(f"Expected a list in parentheses. Found {opening.text}", opening.at)
        values: list[str] = []
        while True:
            value = self._take("a value")
            values.append(self._text_of(value, found))
            if len(values) > MAX_LISTED:
                self._refuse(f"a list in a filter has at most {MAX_LISTED} values", value.at)
            token = self._take(", or )")
            if token.text == ")":
                return tuple(values)
            if token.text != ",":
                self._refuse(f"Expected ',' or ')' in a list. Found {token.text}", token.at)

    def _text_of(self, token: _Token, found: Field) -> str:
        if token.kind != "quoted" or token.text.startswith("`"):
            self._refuse(
                f"Expected a quoted string value for {found.entity} (e.g. 'my-value'). "
                f"Got value {token.text}",
                token.at,
            )
        return _unquoted(token)

    def _peek_at(self) -> int:
        return self._tokens[self._next].at if self.more() else len(self._text)

    def _take(self, wanted: str) -> _Token:
        if not self.more():
            self._refuse(
                f"the filter {self._text[:200]!r} ends where {wanted} should stand", len(self._text)
            )
        self._next += 1
        return self._tokens[self._next - 1]

    def _refuse(self, what: str, at: int, *, why: str = "", fix: str = "") -> NoReturn:
        place = f"at character {at + 1} of {self._text[:200]!r}"
        raise FilterError(what, why=f"{why}; {place}" if why else place, fix=fix, at=at)


def _unquoted(token: _Token) -> str:
    if token.kind != "quoted":
        return token.text
    quote = token.text[0]
    return token.text[1:-1].replace(quote * 2, quote)
