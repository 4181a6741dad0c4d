"""Storing artifacts, against hashing and writing the same bytes by hand.

    python benchmarks/artifact_put.py [--large-mib 256] [--small 500]

Limits, in the same run: BLAKE3 of the bytes in memory; a plain copy of the file while hashing
it, with and without fsync. Ratios are ours divided by the limit: 1.0 is the limit itself.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

from millwright.artifacts.backend import load_backend
from millwright.artifacts.store import ArtifactStore

MIB = 1 << 20


def timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def best(action: Callable[[int], object], rounds: int = 3) -> float:
    return min(timed(lambda at=at: action(at)) for at in range(rounds))


def copy_and_hash(source: Path, target: Path, *, sync: bool) -> None:
    state = blake3()
    with source.open("rb") as read, target.open("wb") as write:
        while piece := read.read(MIB):
            state.update(piece)
            write.write(piece)
        if sync:
            write.flush()
            os.fsync(write.fileno())


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--large-mib", type=int, default=128)
    arguments.add_argument("--small", type=int, default=300)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source"
        source.write_bytes(os.urandom(given.large_mib * MIB))
        data = source.read_bytes()

        def put_large(at: int) -> None:
            place = folder / f"store{at}"
            place.mkdir()
            ArtifactStore(load_backend("local", str(place))).put_file(source)

        hashed = best(lambda _: blake3(data).digest())
        plain = best(lambda at: copy_and_hash(source, folder / f"copy{at}", sync=False))
        synced = best(lambda at: copy_and_hash(source, folder / f"sync{at}", sync=True))
        ours = best(put_large)
        print(f"one file of {given.large_mib} MiB (best of 3)")
        for label, seconds in (
            ("BLAKE3 in memory", hashed),
            ("copy + BLAKE3", plain),
            ("copy + BLAKE3 + fsync", synced),
            ("ours: put_file", ours),
        ):
            rate = given.large_mib / seconds
            print(f"  {label:24} {seconds:7.3f} s  {rate:7.0f} MiB/s  ratio {ours / seconds:5.2f}")

        small = [os.urandom(10_000) for _ in range(given.small)]
        store_folder = folder / "small"
        store_folder.mkdir()
        store = ArtifactStore(load_backend("local", str(store_folder)))
        raw_folder = folder / "raw"
        raw_folder.mkdir()

        def write_raw() -> None:
            for one in small:
                path = raw_folder / blake3(one).hexdigest()
                with path.open("wb") as stream:
                    stream.write(one)
                    os.fsync(stream.fileno())

        raw = timed(write_raw)
        puts = timed(lambda: [store.put_bytes(one) for one in small])
        again = timed(lambda: [store.put_bytes(one) for one in small])
        print(f"{given.small} objects of 10 kB")
        for label, seconds in (
            ("write + fsync by hand", raw),
            ("ours: put_bytes", puts),
            ("ours: the same again", again),
        ):
            rate = given.small / seconds
            print(f"  {label:24} {seconds:7.3f} s  {rate:7.0f}/s      ratio {puts / seconds:5.2f}")


if __name__ == "__main__":
    main()
