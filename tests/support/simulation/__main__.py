"""`python -m support.simulation --seed N [--mutant NAME] [-v]`: repeat one seed and print what happened."""

import argparse
import contextlib
import sys
import time

from support.simulation.mutants import MUTANTS
from support.simulation.run import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m support.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--mutant", choices=sorted(MUTANTS))
    parser.add_argument("-v", "--verbose", action="store_true", help="print the trace")
    given = parser.parse_args()
    started = time.process_time()
    with MUTANTS[given.mutant]() if given.mutant else contextlib.nullcontext():
        result = simulate(given.seed)
    say = sys.stdout.write
    if given.verbose:
        for at, who, what in result.trace:
            say(f"{at:9.3f}  {who:14} {what}\n")
    for violation in result.violations:
        say(f"WRONG: {violation}\n")
    figures = ", ".join(f"{value} {name}" for name, value in result.figures.items())
    say(f"seed {result.seed}: digest {result.digest}\n")
    say(f"{figures}; {time.process_time() - started:.2f} CPU s\n")
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main())
