"""`python -m qnodeos` is the `qnodeos` command."""

from qnodeos.cli import main

if __name__ == "__main__":  # a process pool imports this module again
    main()
