"""What can keep the bench from its figures; each error is a whole sentence for whoever runs it."""


class BenchError(Exception):
    """There are no figures; the text says why and, where it helps, what to do."""
