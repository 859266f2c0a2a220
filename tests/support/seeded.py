"""A demo's folder as its first start leaves it, copied and not made: no initdb, no migrations, no new keys.

The template is the one that the fixtures for users' own tests copy too (`tael_demo/testing/template.py`): made once for
a version of the sources, and found by every session after that. Demos that are copied have the same apps and keys.
"""

from pathlib import Path

from tael_demo.testing.template import APPS, copy_template


def seed_folder(folder: Path) -> None:
    """Fill `folder`, which is empty and which any user may enter. Merchants are in two cells."""
    copy_template(folder, cells=2)
    (folder / APPS).unlink()  # for instances of the fixtures; no file of a demo
