"""Many maps in one run that loses nothing: what is to be done, a journal of it, and who does it."""
