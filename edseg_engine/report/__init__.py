"""A batch as a page: what is shown of each map, and the file that shows it."""
