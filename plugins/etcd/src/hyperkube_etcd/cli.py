"""What `hk etcd` can do beside serving: what etcdutl does with etcd's own snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hyperkube_core import HyperkubeError
from hyperkube_etcd.options import Options
from hyperkube_etcd.snapshots import Damaged, check

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

File = Annotated[Path, typer.Argument(metavar="FILE", help="What 'etcdctl snapshot save' has made of this server.")]


@app.command("restore", short_help="Make a data directory of a snapshot.")
def restore(
    context: typer.Context,
    file: File,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="folder", help="The folder to fill, if it is not the server's own."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of the keys that are there; their file is kept.")
    ] = False,
    bump_revision: Annotated[
        int | None,
        typer.Option("--bump-revision", metavar="number", help="Revisions to skip; 1000000000 unless told otherwise."),
    ] = None,
) -> None:
    """Fill the data directory of a stopped server with the keys in FILE.

    FILE is checked first, and stays as it is. Whatever goes wrong, the directory holds either what it held before or
    all of FILE.

    Revisions go on far above those in FILE, and history before is compacted, as with etcdutl's --bump-revision and
    --mark-compacted: who still watches is told so, and reads anew.
    """
    from hyperkube_machinery.storage.backup import BUMP, BackupError
    from hyperkube_machinery.storage.backup import restore as put_back
    from hyperkube_machinery.storage.datadir import DataDirectoryError

    options = context.obj
    assert isinstance(options, Options)
    directory = options.directory if data_dir is None else data_dir.expanduser()
    try:
        check(file)
        copied = put_back(file, directory, bump=BUMP if bump_revision is None else bump_revision, replace=replace)
    except OSError as exc:
        raise HyperkubeError(f"can't read the snapshot {file}: {exc.strerror}") from exc
    except (BackupError, DataDirectoryError, Damaged) as exc:
        raise HyperkubeError(str(exc)) from exc
    typer.echo(f"{directory}: {copied.objects} keys; revisions go on after {copied.revision}")
