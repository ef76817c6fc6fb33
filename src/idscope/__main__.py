"""`python -m idscope` is the `idscope` command."""

from idscope.cli import main

if __name__ == "__main__":
    main()
