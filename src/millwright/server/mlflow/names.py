"""Names for runs whose client gives none, as `calm-heron-417`."""

from __future__ import annotations

import secrets

_HOW = """
    amber bold brisk calm clear clever cosy crisp curious deft eager early fair fleet fond frank
    fresh gentle glad golden grand hardy honest humble keen kind lively loyal lucid mellow merry
    mild neat nimble noble patient placid polite proud quick quiet rapid ready robust rosy serene
    sharp silent sincere sleek smooth snug solid spry steady still sunny supple swift tidy trim
    upbeat valiant vivid warm wise witty
"""
_WHO = """
    adder alder ant ash aspen badger bass bat bear beaver bee beech birch bison boar bream carp
    cedar clam cod cove crab crane creek crow deer dove duck eagle eel elk elm falcon fern finch
    fir fjord fox frog gecko glen goose grove gull hare hawk hazel heron hill ibis jay kite lake
    lark linnet lynx maple marten mink mole moor moose moss moth newt oak otter owl perch pine
    plover pond poplar quail rail ram raven reed reef ridge robin rowan seal shoal shrew snipe
    spruce squid stoat stork swan teal tern thrush toad trout vale vole wasp willow wolf wren yew
"""


def new_name() -> str:
    """Return a name that people can say, and that few other runs have."""
    how, who = secrets.choice(_HOW.split()), secrets.choice(_WHO.split())
    return f"{how}-{who}-{secrets.randbelow(1000)}"
