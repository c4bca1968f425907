"""`python -m support.worlds make OUT SEED...` and `judge OUT SEED...` (PYTHONPATH=tests)."""

import argparse
import sys
from pathlib import Path

from support.worlds.files import write_arrays, write_contacts
from support.worlds.incidents import KINDS
from support.worlds.judge import judge
from support.worlds.options import Options, plain
from support.worlds.world import in_minutes, make


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _make(arguments: argparse.Namespace) -> None:
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        world = make(seed, plain() if arguments.plain else Options())
        if arguments.bucket == "1m":
            world = in_minutes(world)
        write_arrays(world, arguments.folder)
        if not arguments.no_csv:
            write_contacts(world, arguments.folder)
        kinds = {kind: sum(label.kind == kind for label in world.labels) for kind in KINDS}
        _say(f"world {seed} from {world.start:%Y-%m-%d}: {int(world.counts.sum()):,} contacts, incidents {kinds}")


def _judge(arguments: argparse.Namespace) -> None:
    budgets = [float(budget) for budget in arguments.budgets.split(",")]
    for line in judge(arguments.folder, arguments.seeds, arguments.scores, budgets):
        _say(line)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m support.worlds", description=__doc__)
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("make", help="write worlds: npz, CSV of contacts, labels")
    making.add_argument("folder", type=Path)
    making.add_argument("seeds", type=int, nargs="+")
    making.add_argument("--plain", action="store_true", help="no calendar and no lasting changes but slow rises")
    making.add_argument("--bucket", choices=("1m", "5m"), default="5m")
    making.add_argument("--no-csv", action="store_true", help="no CSV of contacts")
    making.set_defaults(run=_make)
    judging = commands.add_parser("judge", help="what scores found in worlds, at numbers of false pages a week")
    judging.add_argument("folder", type=Path, help="with the worlds and the scores")
    judging.add_argument("seeds", type=int, nargs="+")
    judging.add_argument("--scores", default="scores_{seed}.csv", help="name of the files, .csv or .npy")
    judging.add_argument("--budgets", default="1,5,20", help="false pages a week")
    judging.set_defaults(run=_judge)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
