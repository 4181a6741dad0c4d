from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millwright.metadata.filters import (
    MAX_CLAUSES,
    Clause,
    Field,
    FilterError,
    Order,
    Vocabulary,
    parse_filter,
    parse_order,
)

WORDS = Vocabulary(
    entities={
        "metric": "metric",
        "metrics": "metric",
        "params": "param",
        "tags": "tag",
        "attributes": "attribute",
        "dataset": "dataset",
    },
    numbers=frozenset({"start_time"}),
    texts=frozenset({"status", "name"}),
    aliases={"created": "start_time", "Run name": "name"},
    keys={"dataset": frozenset({"name"})},
)


def said(text: str) -> list[tuple[str, str, str, object]]:
    """Return what a filter says, without where."""
    return [
        (one.field.entity, one.field.key, one.op, one.value) for one in parse_filter(text, WORDS)
    ]


class TestFilters:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", []),
            ("metrics.auc > 0.9", [("metric", "auc", ">", 0.9)]),
            ("metric.`a b/c` >= -1e-3", [("metric", "a b/c", ">=", -0.001)]),
            ("metrics.m.2>3", [("metric", "m.2", ">", 3.0)]),
            ("metrics.1m = 2", [("metric", "1m", "=", 2.0)]),
            ('params."max depth" = "3"', [("param", "max depth", "=", "3")]),
            ("params.a-b = 'it''s'", [("param", "a-b", "=", "it's")]),
            ("tags.x LIKE '%y' and name ilike 'A%'", [
                ("tag", "x", "LIKE", "%y"), ("attribute", "name", "ILIKE", "A%"),
            ]),
            ("start_time>5", [("attribute", "start_time", ">", 5)]),
            ("attributes.`Run name` != 'x'", [("attribute", "name", "!=", "x")]),
            ("created <= 1.5", [("attribute", "start_time", "<=", 1.5)]),
            ("tags.a is null AND tags.a.b IS NOT NULL", [
                ("tag", "a", "IS NULL", None), ("tag", "a.b", "IS NOT NULL", None),
            ]),
            ("status in ('a', 'b')", [("attribute", "status", "IN", ("a", "b"))]),
            ("status NOT IN ('a')", [("attribute", "status", "NOT IN", ("a",))]),
            ("dataset.name = 'x'", [("dataset", "name", "=", "x")]),
        ],
    )  # fmt: skip
    def test_what_is_said_is_understood(self, text: str, expected: list[object]) -> None:
        assert said(text) == expected

    @pytest.mark.parametrize(
        ("text", "at", "words"),
        [
            ("metrics.auc >", 13, "ends where a value"),
            ("foo.x = 1", 0, "Invalid entity type 'foo'"),
            ("metrics.a = 'x'", 12, "Expected numeric value type"),
            ("params.a = 3", 11, "Expected a quoted string value"),
            ("metrics.a > 1 or metrics.b > 2", 14, "Invalid clause"),
            ("params.a = 'x", 11, "cannot be read"),
            ("status in ('a' 'b')", 15, "Expected ',' or ')'"),
            ("dataset.foo = 'x'", 8, "Invalid dataset key"),
            ("statu = 'x'", 0, "Invalid attribute key 'statu'"),
            ("metrics. > 3", 9, "a key is missing"),
            ("metrics.a LIKE 'x'", 10, "Invalid comparator 'LIKE'"),
            ("params.a > 'x'", 9, "Invalid comparator '>'"),
            ("'x' = params.a", 0, "Invalid clause"),
            ("metrics.a > 1 metrics.b > 2", 14, "Invalid clause"),
            ("; DROP TABLE run", 0, "Invalid attribute key"),
        ],
    )
    def test_what_cannot_be_read_is_named_with_its_place(
        self, text: str, at: int, words: str
    ) -> None:
        with pytest.raises(FilterError) as raised:
            parse_filter(text, WORDS)
        assert (raised.value.at, words in raised.value.what) == (at, True), raised.value.what

    def test_the_nearest_word_is_offered(self) -> None:
        with pytest.raises(FilterError, match="did you mean 'status'"):
            parse_filter("statu = 'x'", WORDS)

    def test_a_filter_has_an_end(self) -> None:
        with pytest.raises(FilterError, match="at most 200 comparisons"):
            parse_filter(" and ".join(["metrics.a > 1"] * (MAX_CLAUSES + 1)), WORDS)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (f"name IN ({', '.join(['%r'] * 1001) % tuple(map(str, range(1001)))})", "1000 values"),
            (f"params.a LIKE '{'%' * 50_001}'", "50,000 bytes"),
            (f"params.a ILIKE '{'ż' * 25_001}'", "50,000 bytes"),
            (f"start_time > {'9' * 5000}", "64 bits"),
            ("start_time > 9223372036854775808", "64 bits"),
        ],
    )
    def test_what_no_database_takes_is_refused_here(self, text: str, words: str) -> None:
        with pytest.raises(FilterError, match=words):
            parse_filter(text, WORDS)

    def test_what_a_database_just_takes_is_read(self) -> None:
        names = tuple(str(number) for number in range(1000))
        listed = ", ".join(f"'{name}'" for name in names)
        assert said(f"name IN ({listed})") == [("attribute", "name", "IN", names)]
        assert said(f"params.a LIKE '{'%' * 50_000}'") == [("param", "a", "LIKE", "%" * 50_000)]
        largest = 2**63 - 1
        assert said(f"start_time < {largest}") == [("attribute", "start_time", "<", largest)]
        assert said(f"metrics.a < {'9' * 5000}") == [("metric", "a", "<", float("inf"))]

    @given(st.text(alphabet="metricspartagsAND .`'\"()<>=!,0123456789-xyz\\;\n", max_size=60))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        with suppress(FilterError):
            parse_filter(text, WORDS)

    @given(
        st.text(st.characters(exclude_characters="`", exclude_categories=("Cs",)), min_size=1),
        st.text(st.characters(exclude_categories=("Cs",))),
    )
    def test_any_key_and_value_come_back(self, key: str, value: str) -> None:
        quoted = value.replace("'", "''")
        [clause] = parse_filter(f"params.`{key}` = '{quoted}'", WORDS)
        assert clause == Clause(Field("param", key), "=", value, 0)


class TestOrders:
    def test_an_order_has_an_end(self) -> None:
        assert len(parse_order([f"metrics.m{number}" for number in range(100)], WORDS)) == 100
        with pytest.raises(FilterError, match="at most 100 terms, not 101"):
            parse_order([f"metrics.m{number}" for number in range(101)], WORDS)

    def test_terms_are_read(self) -> None:
        assert parse_order(["metrics.`x` DESC", "start_time", "params.a asc"], WORDS) == [
            Order(Field("metric", "x"), descending=True),
            Order(Field("attribute", "start_time"), descending=False),
            Order(Field("param", "a"), descending=False),
        ]

    @pytest.mark.parametrize(
        ("terms", "words"),
        [
            ([""], "empty"),
            (["metrics.a sideways"], "Invalid order_by clause"),
            (["metrics.a DESC, params.b"], "Invalid order_by clause"),
            (["metrics.a", "metric.a DESC"], "duplicate"),
            (["dataset.name"], "Invalid order_by entity"),
        ],
    )
    def test_what_is_no_order_is_refused(self, terms: list[str], words: str) -> None:
        with pytest.raises(FilterError, match=words):
            parse_order(terms, WORDS)
