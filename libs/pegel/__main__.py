"""`python -m pegel`: the same as the command `pegel`."""

from pegel.cli.app import main

if __name__ == "__main__":
    main()
