"""What only maintainers run, from a checkout: ``python -m tools.NAME``. Nothing of it is in the wheel."""
