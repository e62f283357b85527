"""What can be wrong with the machine or the inputs; each error is a whole sentence for whoever builds."""


class ImageError(Exception):
    """The image cannot be built here; the text says why and what to do."""
