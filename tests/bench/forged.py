#!/usr/bin/python3
"""Instructions of a verification, good and forged, with and without a list of a million entries (sec-30, sec-35).

    forged.py [--build build/bench]

Fails when a forged certificate costs more with the list than without, or over 1.1 times a good one of the same chain.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from gate import CALLGRIND, ENVIRONMENT, read_dumps  # noqa: E402

REPEATED = 20
CASES = ("good", "forged", "good-under-intermediate", "forged-under-intermediate", "forged-with-15-twins")
LISTS = ("none", "one", "million")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/bench")
    program = pathlib.Path(parser.parse_args().build).resolve() / "forged"
    with tempfile.TemporaryDirectory(prefix="forged-") as directory:
        work = pathlib.Path(directory)
        subprocess.run(["strip", "-g", "-o", work / "forged", program], check=True)
        subprocess.run([*CALLGRIND, f"--callgrind-out-file={work}/callgrind.out.%p", work / "forged"], check=True,
                       env=ENVIRONMENT)
        counted = {name: total / REPEATED for name, total in read_dumps(work).items()}
    print(f"{'thousand instructions':28}" + "".join(f"{name:>12}" for name in LISTS))
    for case in CASES:
        print(f"{case:28}" + "".join(f"{counted[f'{name}/{case}'] / 1000:12,.1f}" for name in LISTS))
    by_list = max(counted[f"million/{case}"] / counted[f"none/{case}"] for case in CASES if case.startswith("forged"))
    by_good = max(counted[f"{name}/forged{chain}"] / counted[f"{name}/good{chain}"]
                  for name in LISTS for chain in ("", "-under-intermediate"))
    print(f"a forged one with the list, to without: {by_list:.3f}; to a good one: {by_good:.3f}")
    return 0 if by_list < 1.01 and by_good < 1.1 else 1


if __name__ == "__main__":
    sys.exit(main())
