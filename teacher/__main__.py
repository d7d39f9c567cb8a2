"""`python -m teacher`."""

from teacher.cli import main

main()
