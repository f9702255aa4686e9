"""What `hk apiserver` can do beside serving."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hyperkube_apiserver.options import Options
from hyperkube_core import HyperkubeError

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_DATA_DIR = "The server's data directory, if it is not the one that the server's own flags and settings name."

DataDir = Annotated[Path | None, typer.Option("--data-dir", metavar="folder", help=_DATA_DIR)]


@app.command("backup", short_help="Copy all objects to a file.")
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make; it must not be there yet.")],
    data_dir: DataDir = None,
) -> None:
    """Copy all objects of a server, running or stopped, to FILE.

    A running server goes on serving and writing meanwhile. FILE holds the state of one moment, every secret included,
    so only its owner can read it; it is complete and on disk once the command has ended without an error, and not
    there otherwise. It is put back by `restore`.

    The keys and certificates in the data directory's folder `pki` are not in it. Copy that folder too, once, or after a
    restore elsewhere the server makes an authority of its own, whom clients don't know.
    """
    from hyperkube_machinery.storage.backends import FILE_NAME
    from hyperkube_machinery.storage.backup import BackupError, back_up

    try:
        copied = back_up(_directory(context, data_dir) / FILE_NAME, file.absolute())
    except BackupError as exc:
        raise HyperkubeError(str(exc)) from exc
    typer.echo(f"{file}: {copied.objects} objects as of revision {copied.revision}, {copied.size} bytes")


@app.command("restore", short_help="Put such a copy back.")
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` has made.")],
    data_dir: DataDir = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of the objects that are there; their file is kept.")
    ] = False,
    bump_revision: Annotated[
        int | None,
        typer.Option("--bump-revision", metavar="number", help="Revisions to skip; 1000000000 unless told otherwise."),
    ] = None,
) -> None:
    """Fill the data directory of a stopped server with the objects in FILE.

    FILE is checked first, and stays as it is. Whatever goes wrong, the directory holds either what it held before or
    all of FILE.

    Resource versions go on far above those in FILE, and history before is forgotten: clients that still watch from the
    time after the backup are told to list anew (410 Expired) and so never mistake the old state for a later one. That
    is what etcd's --bump-revision with --mark-compacted does. Where more than a thousand million writes may have
    happened since the backup, give a larger number with --bump-revision.

    Start the server afterwards as usual. Controllers and nodes need no restart, but take a while to notice.
    """
    from hyperkube_machinery.storage.backup import BUMP, BackupError
    from hyperkube_machinery.storage.backup import restore as put_back
    from hyperkube_machinery.storage.datadir import DataDirectoryError

    directory = _directory(context, data_dir)
    try:
        copied = put_back(file, directory, bump=BUMP if bump_revision is None else bump_revision, replace=replace)
    except (BackupError, DataDirectoryError) as exc:
        raise HyperkubeError(str(exc)) from exc
    typer.echo(f"{directory}: {copied.objects} objects; resource versions go on after {copied.revision}")


def _directory(context: typer.Context, given: Path | None) -> Path:
    if given is not None:
        return given.expanduser()
    options = context.obj
    assert isinstance(options, Options)
    return options.data_dir
