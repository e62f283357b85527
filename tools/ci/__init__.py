"""The phases of CI: which there are, how each runs, and one closing line over all of them."""
