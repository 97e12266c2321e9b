"""`python -m node`: the same as the `cptdn` command."""

from node.cli.app import main

if __name__ == "__main__":
    main()
