"""The pictures of the pages that are worked by hand: ``python -m docs.pictures``."""
