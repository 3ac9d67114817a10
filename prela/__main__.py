"""`python -m prela`: the `prela` command, where its script is not on the path."""

from prela.cli.entry import main

if __name__ == "__main__":
    main()
