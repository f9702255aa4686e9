"""What goes wrong is told as what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hyperkube_core import SettingsError
from hyperkube_kubelet.options import Options
from hyperkube_kubelet.server import _root


def test_what_fails_while_it_serves_is_not_blamed_on_its_folder(tmp_path: Path) -> None:
    options = Options(master="http://127.0.0.1:1", root_dir=tmp_path / "kubelet")
    with pytest.raises(OSError, match="no space left"), _root(options):
        raise OSError("no space left")
    (tmp_path / "file").touch()
    nowhere = replace(options, root_dir=tmp_path / "file" / "kubelet")
    with pytest.raises(SettingsError, match="--root-dir"), _root(nowhere):
        pass
