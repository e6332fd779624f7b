"""`new`: a package with a driver, its simulated twin, and tests that pass."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from qnodeos.cli.instrument.target import JsonOption, print_json
from qnodeos.errors import UserError

_NAME = re.compile(r"[a-z][a-z0-9]*\.[a-z][a-z0-9_]*")


def new(
    name: Annotated[str, typer.Argument(metavar="VENDOR.MODEL", help="As acme.dimmer.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where to put it; default ./qnodeos-VENDOR-MODEL.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a package of your own for a driver; its tests pass, and then you change it."""
    texts = rendered(name)
    target = folder or Path(f"qnodeos-{name.replace('.', '-').replace('_', '-')}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(
            "there is something already",
            where=str(target),
            do="remove it, or choose another --folder",
        )
    try:
        for path, text in texts.items():
            place = target / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            "the package cannot be written",
            where=str(target),
            found=error.strerror or str(error),
            do="choose another --folder",
        ) from error
    if as_json:
        print_json({"folder": str(target), "files": sorted(texts)})
        return
    typer.echo(f"{target}: {len(texts)} files\n  cd {target} && pip install -e .[test] && pytest")


def rendered(name: str) -> dict[str, str]:
    """The files of a new package, by their path. Raises UserError for a name that cannot be."""
    if _NAME.fullmatch(name) is None:
        raise UserError(
            "this is no name for a driver",
            found=f"'{name}'",
            expected="VENDOR.MODEL in lower-case letters and digits, as acme.dimmer",
        )
    vendor, _, model = name.partition(".")
    package = f"qnodeos_{vendor}_{model}"
    words = {
        "driver": name,
        "package": package,
        "distribution": package.replace("_", "-"),
        "class": "".join(part.capitalize() for part in model.split("_")),
    }
    texts = {}
    for path, text in sorted(_templates(files("qnodeos.templates") / "instrument", "")):
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        texts[re.sub("^package/", f"{package}/", path)] = text
    return texts


def _templates(folder: Traversable, path: str) -> list[tuple[str, str]]:
    found = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _templates(each, f"{path}{each.name}/")
        elif each.name.endswith(".txt"):
            found.append((path + each.name.removesuffix(".txt"), each.read_text("utf-8")))
    return found
