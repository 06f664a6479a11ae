"""``pycnn live``: a page where one draws a digit, or drops a photo, and sees every layer.

`network` has what is computed and `layers` what the page must know of it; `server` hands both to
the page in `page/`, by the messages of `frames`; `worker` computes for all tabs in one thread.
"""
