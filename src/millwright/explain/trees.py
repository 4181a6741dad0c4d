"""Exact Shapley values of tree ensembles, with raw columns as players.

For one row x and one background row b, a coalition decides at each node whether x or b is
asked. A leaf is reached by exactly those coalitions that hold every player who leads only x
there and no player who leads only b there; a player who leads both does not matter, and one
who leads neither closes the leaf. With s players of the first kind and t of the second, the
leaf's value v gives each of the first v·(s-1)!·t!/(s+t)! and takes v·s!·(t-1)!/(s+t)! from each
of the second. Since the player of a node is the *raw* column behind its encoded one, a one-hot
encoded column is a single player, however many nodes ask about it.

All background rows are treated at once, one bit each: which of them take a path is a few
operations on bytes, and only the leaves that a row opens are then gone through.
Not chosen: path-dependent TreeSHAP, whose values depend on which rows reached which node in
training and do not answer "compared with whom?".

Source: Lundberg et al., Nature Machine Intelligence 2020 (interventional), here with grouped
players; Zern, Broelemann, Kasneci, AAAI 2023, on the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np
import numpy.typing as npt

from millwright.explain.columns import CONSTANT

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

LEAF = -1


@dataclass(frozen=True, slots=True)
class Tree:
    """One binary tree as flat arrays, one entry a node; node 0 is the root."""

    left: Ints
    """The child for a value of at most the threshold; LEAF in a leaf."""
    right: Ints
    feature: Ints
    """The encoded column a node asks about."""
    threshold: Floats
    missing_left: Mask
    """Whether a missing value goes left."""
    value: Floats
    """What a leaf adds to the ensemble's answer."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Trees whose leaves add up, and what is added to them."""

    trees: tuple[Tree, ...]
    intercept: float
    single: bool
    """Whether values are compared in single precision, as scikit-learn's forests do."""

    def answer(self, encoded: Floats) -> Floats:
        """Return the sum over the trees for each encoded row: (n, columns) -> (n,)."""
        rows = _rounded(encoded, single=self.single)
        out = np.full(len(rows), self.intercept)
        for tree in self.trees:
            out += tree.value[_leaf_of(tree, rows)]
        return out


@dataclass(frozen=True, slots=True)
class _Paths:
    """A tree's ways to its leaves: each (leaf, player) pair once, with the edges it stands for."""

    edge_node: Ints
    edge_goes_left: Mask
    edge_start: Ints
    """Where the edges of each pair begin; the edges of a pair lie together."""
    pair_player: Ints
    leaf_start: Ints
    """Where the pairs of each leaf begin."""
    leaf_pairs: Ints
    """How many pairs each leaf has."""
    leaf_value: Floats


class TreeExplainer:
    """Explains rows by one ensemble; its paths are laid out once.

    `players` (columns,) says which player stands behind each encoded column, CONSTANT where
    none does.
    """

    def __init__(self, ensemble: Ensemble, players: Ints, n_players: int) -> None:
        self._single = ensemble.single
        self._n_players = n_players
        # One player more for what nobody decides; row and background agree on it.
        known = np.where(players == CONSTANT, n_players, players)
        laid_out = ((tree, _paths(tree, known)) for tree in ensemble.trees)
        self._trees = [(tree, paths) for tree, paths in laid_out if paths is not None]

    def values(self, row: Floats, background: Floats) -> Floats:
        """Return each player's Shapley value (players,), averaged over the background rows.

        `row` (columns,) and `background` (n, columns) are encoded. The values add up to the
        ensemble's answer to the row minus its mean answer to the background.
        """
        x = _rounded(row[None, :], single=self._single)
        rows = _rounded(background, single=self._single)
        total = np.zeros(self._n_players + 1)
        for tree, paths in self._trees:
            total += _explain_tree(tree, paths, x, rows, len(total))
        return total[: self._n_players] / len(rows)


def _explain_tree(tree: Tree, paths: _Paths, x: Floats, rows: Floats, n_players: int) -> Floats:
    n = len(rows)
    x_takes = _taken(tree, paths, x)[:, 0] >> 7 == 1
    b_bits = _taken(tree, paths, rows)
    # Of many leaves each background row opens a few; only those are looked at one by one.
    open_bits = np.where(x_takes[:, None], np.uint8(255), b_bits)
    open_leaves = np.bitwise_and.reduceat(open_bits, paths.leaf_start, axis=0)
    leaf, row = np.nonzero(np.unpackbits(open_leaves, axis=1, count=n))
    size = paths.leaf_pairs[leaf]
    start = np.cumsum(size) - size
    pair = np.arange(int(size.sum())) + np.repeat(paths.leaf_start[leaf] - start, size)
    b_takes = np.unpackbits(b_bits, axis=1, count=n)[pair, np.repeat(row, size)] == 1
    only_x = x_takes[pair] & ~b_takes
    only_b = b_takes & ~x_takes[pair]
    s = np.add.reduceat(only_x, start, dtype=np.int64)
    t = np.add.reduceat(only_b, start, dtype=np.int64)
    gives, takes = _weights(int(max(s.max(), t.max())))
    value = paths.leaf_value[leaf]
    given, taken = np.repeat(value * gives[s, t], size), np.repeat(value * takes[s, t], size)
    change = np.where(only_x, given, 0.0) - np.where(only_b, taken, 0.0)
    total = np.bincount(paths.pair_player[pair], weights=change, minlength=n_players)
    return total.astype(np.float64, copy=False)


def _taken(tree: Tree, paths: _Paths, rows: Floats) -> npt.NDArray[np.uint8]:
    """Return (pairs, rows / 8) bits: whether a row takes every edge a pair stands for."""
    inner = np.flatnonzero(tree.left != LEAF)
    values = rows[:, tree.feature[inner]].T
    low = values <= tree.threshold[inner, None]
    goes_left = np.where(np.isnan(values), tree.missing_left[inner, None], low)
    bits = np.packbits(goes_left, axis=1)
    place = np.zeros(len(tree.left), dtype=np.int64)
    place[inner] = np.arange(len(inner))
    turned = np.where(paths.edge_goes_left, 0, 255).astype(np.uint8)
    edges = bits[place[paths.edge_node]] ^ turned[:, None]
    return np.bitwise_and.reduceat(edges, paths.edge_start, axis=0)


def _paths(tree: Tree, players: Ints) -> _Paths | None:
    """Return the tree's paths; None when it is a single leaf."""
    inner = np.flatnonzero(tree.left != LEAF)
    if not len(inner):
        return None
    parent = np.full(len(tree.left), LEAF)
    parent[tree.left[inner]] = parent[tree.right[inner]] = inner
    is_left = np.zeros(len(tree.left), dtype=np.bool_)
    is_left[tree.left[inner]] = True
    # A node nobody points at is no leaf of this tree.
    leaves = np.flatnonzero((tree.left == LEAF) & (parent != LEAF))
    ends: list[Ints] = []
    nodes: list[Ints] = []
    turns: list[Mask] = []
    end, at = np.arange(len(leaves)), leaves
    while len(at):
        above = parent[at]
        ends.append(end)
        nodes.append(above)
        turns.append(is_left[at])
        going_on = parent[above] != LEAF
        end, at = end[going_on], above[going_on]
    leaf, node, goes_left = np.concatenate(ends), np.concatenate(nodes), np.concatenate(turns)
    player = players[tree.feature[node]]
    order = np.lexsort((player, leaf))
    leaf, player = leaf[order], player[order]
    edge_start = np.flatnonzero(np.diff(leaf * (int(players.max()) + 1) + player, prepend=-1))
    pair_leaf = leaf[edge_start]
    leaf_start = np.flatnonzero(np.diff(pair_leaf, prepend=-1))
    return _Paths(
        edge_node=node[order],
        edge_goes_left=goes_left[order],
        edge_start=edge_start,
        pair_player=player[edge_start],
        leaf_start=leaf_start,
        leaf_pairs=np.diff(leaf_start, append=len(pair_leaf)),
        leaf_value=tree.value[leaves],
    )


def _weights(most: int) -> tuple[Floats, Floats]:
    """Return what a leaf gives to a player and takes from one, by (s, t)."""
    gives = np.zeros((most + 1, most + 1))
    takes = np.zeros((most + 1, most + 1))
    for s in range(most + 1):
        for t in range(most + 1):
            if s:
                gives[s, t] = factorial(s - 1) * factorial(t) / factorial(s + t)
            if t:
                takes[s, t] = factorial(s) * factorial(t - 1) / factorial(s + t)
    return gives, takes


def _leaf_of(tree: Tree, rows: Floats) -> Ints:
    at = np.zeros(len(rows), dtype=np.int64)
    inner = tree.left[at] != LEAF
    while inner.any():
        moving = np.flatnonzero(inner)
        nodes = at[moving]
        values = rows[moving, tree.feature[nodes]]
        goes_left = np.where(
            np.isnan(values), tree.missing_left[nodes], values <= tree.threshold[nodes]
        )
        at[moving] = np.where(goes_left, tree.left[nodes], tree.right[nodes])
        inner = tree.left[at] != LEAF
    return at


def _rounded(rows: Floats, *, single: bool) -> Floats:
    return rows.astype(np.float32).astype(np.float64) if single else rows
