"""The page as one text: its parts in `page/` put together, with nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent / "page"
#: In the order in which they use each other.
SCRIPTS = ("wire", "maps", "draw", "rows", "point", "edit", "costs", "training", "main")


def page(live: bool, title: str = "pycnn live", data: Sequence[bytes] = ()) -> str:
    """The page.

    Parameters
    ----------
    live : bool
        Whether it asks the server that it came from. Otherwise it shows `data`, and asks nobody.
    title : str
    data : sequence of bytes
        Messages, as a server would send them.
    """
    script = "\n".join((FOLDER / f"{name}.js").read_text() for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    connect = "'self'" if live else "'none'"
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        f"img-src data: blob:; connect-src {connect}; base-uri 'none'; form-action 'none'"
    )
    texts = {
        "policy": policy, "title": escape(title), "script": script,
        "style": (FOLDER / "style.css").read_text(),
        "data": "".join(
            f'<script type="application/octet-stream">{base64.b64encode(d).decode()}</script>\n'
            for d in data
        ),
    }  # fmt: skip
    text = (FOLDER / "page.html").read_text()
    for name, value in texts.items():
        text = text.replace(f"<!--{name}-->", value)
    return text
