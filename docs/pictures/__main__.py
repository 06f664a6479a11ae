"""Writes every picture into docs/by-hand, and removes those that no function draws any more."""

from docs.pictures.all import FOLDER, drawn

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    pictures = drawn()
    for old in FOLDER.glob("*.svg"):
        if old.stem not in pictures:
            old.unlink()
    for name, text in pictures.items():
        (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")
