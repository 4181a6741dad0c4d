from __future__ import annotations

from fixtures.cards import approval, digest, history, model, report, run, version
from millwright.records.runs import RunSource
from millwright.registry.card import NOTES, CardFacts, draft_card


def card(**changes: object) -> str:
    fields: dict[str, object] = {
        "model": model(),
        "version": version(),
        "run": run(),
        "reports": [report()],
        "approvals": [approval()],
        "history": history(),
        "requirements": "numpy==2.0.0\n```\n# injected\n",
        "notes": {"limits": "Only for customers in the north."},
    }
    return draft_card(CardFacts(**(fields | changes)))  # pyright: ignore[reportArgumentType] (checked below)


def test_what_the_system_knows_stands_in_it() -> None:
    text = card()
    for words in (
        "# churn v2",
        "| Risk | high |",
        "| Aliases | champion |",
        f"| Model digest | `{digest('a')}` |",
        "| age | integer | no |",
        "| region | text | yes |",
        "| customers | dataset version | `b3:1111",
        "| depth | 3 |",
        "| auc | 0.875 |",
        "| best | Infinity |",
        "### Gate: pass, against v1",
        "| auc-not-worse | pass | 0.871 | 0.86 to 0.882 | 1200 |",
        "- champion: used, asked for by `act_ada`, decided by `act_bo`: agreed",
        "changes that were not committed",
        "numpy==2.0.0",
    ):
        assert words in text, words


def test_what_only_people_can_say_is_taken_or_missed_in_plain_words() -> None:
    text = card()
    assert "## Limits\n\nOnly for customers in the north." in text
    assert "## Intended use\n\nNobody has written this yet." in text
    assert all(f"## {name.capitalize()}" in text for name in NOTES)


def test_the_same_records_give_the_same_text() -> None:
    assert card() == card()


def test_what_a_user_wrote_is_shown_and_not_obeyed() -> None:
    text = card(run=run(params={"a|b": "<script>*x*\n# head"}))
    assert r"| a\|b | \<script\>\*x\* \# head |" in text
    assert "\n# injected\n```" in text
    assert text.count("```") == 2


def test_what_is_not_there_is_said() -> None:
    bare = card(
        run=None, reports=[], approvals=[], history=[], requirements="", version=version(flavors=[])
    )
    for words in (
        "No run of this system trained it.",
        "No gate has judged it",
        "No alias has pointed at it.",
        "Its package names none.",
        "none that is loaded here",
    ):
        assert words in bare
    source = RunSource(command=[], python="3.11", platform="x")
    assert "names no data that it read" in card(run=run(source=source, links=[]))
    assert "| Commit | not known |" in card(run=run(source=source))
