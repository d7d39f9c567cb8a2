"""`python -m reid`."""

from reid.cli import main

main()
