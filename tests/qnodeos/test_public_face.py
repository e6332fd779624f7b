import os
import subprocess
import sys
from pathlib import Path

import pytest

import qnodeos
import qnodeos.plugin

ROOMS = ("drivers", "timing", "cext", "link_layer", "sim_backends")


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # -P: not from the current directory, where the rooms themselves may lie.
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, **environment},
    )


def test_every_name_of_the_face_is_there():
    for name in qnodeos.__all__:
        assert getattr(qnodeos, name) is not None
    assert set(qnodeos.__all__) <= set(dir(qnodeos))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = qnodeos.nothing


def test_plugin_authors_find_every_name():
    for name in qnodeos.plugin.__all__:
        assert getattr(qnodeos.plugin, name) is not None


def test_import_loads_no_room_and_nothing_heavy():
    result = python("import qnodeos, sys; print('\\n'.join(sys.modules))")
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert not loaded & {*ROOMS, "pydantic", "numpy", "zmq", "msgspec", "typer"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_module_that_shadows_a_room_is_named(tmp_path: Path, room: str):
    shadow = tmp_path / f"{room}.py"
    shadow.write_text("")
    result = python("import qnodeos", PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: qnodeos: ")
    assert str(shadow) in last
    assert f"package '{room}'" in last
    assert "Rename that file" in last


@pytest.mark.parametrize("files", [(), ("__init__.py",)])
def test_a_folder_that_shadows_a_room_is_named(tmp_path: Path, files: tuple[str, ...]):
    folder = tmp_path / "drivers"
    folder.mkdir()
    for file in files:
        (folder / file).write_text("")
    result = python("import qnodeos", PYTHONPATH=str(tmp_path))
    # An installed copy lies on the path itself and wins against a folder without modules.
    assert result.returncode == 0 or f"{folder} shadows" in result.stderr.replace(
        "/__init__.py", ""
    )
    assert result.returncode == 1 or not files
