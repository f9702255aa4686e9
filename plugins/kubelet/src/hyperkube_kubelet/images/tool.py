"""`hk image`: load, pull, list and remove the images of a node."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hyperkube_core import HyperkubeError
from hyperkube_kubelet.images.errors import ImageError, UnknownImage
from hyperkube_kubelet.images.source import image_folder, roots_in_use
from hyperkube_kubelet.images.store import Entry, ImageStore
from hyperkube_kubelet.runtime.process.images import HOST_IMAGE
from hyperkube_kubelet.runtime.values import Image

__all__ = ["app"]

app = typer.Typer(
    help="Load, pull, list and remove the images of a node.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},  # all as the launcher has it for its own commands
)

_SHORT_ID = 12


class Output(StrEnum):
    """How to write what there is."""

    TABLE = "table"
    JSON = "json"


class ImageCommandFailed(HyperkubeError):
    """`hk image` could not do what it was asked to."""

    exit_code = 1


Name = Annotated[str, typer.Option("--name", help="The cluster whose node is meant, as 'up' was told it.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="The cluster's data directory, as 'up' was told it.")
]
RootDir = Annotated[
    Path | None,
    typer.Option("--root-dir", metavar="DIR", help="The root directory of a kubelet that was started by itself."),
]
Written = Annotated[Output, typer.Option("--output", "-o", help="How to write it: table or json.")]


@app.command()
def load(
    archives: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Archives of images; - is the input.")],
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", "-t", metavar="IMAGE", help="Names in place of the archive's. May be repeated."),
    ] = None,
    name: Name = "default",
    data_dir: DataDir = None,
    root_dir: RootDir = None,
    output: Written = Output.TABLE,
) -> None:
    """Load images from OCI archives or from what 'docker save' wrote, compressed by gzip or not."""
    store = ImageStore(image_folder(folder_of_kubelet(name, data_dir, root_dir, make=True)))
    loaded: list[Entry] = []
    for path in archives:
        source = Path("/dev/stdin") if str(path) == "-" else path
        try:
            loaded += _load(store, source, tags or ())
        except (ImageError, OSError) as exc:
            _fail(f"cannot load {path}: {getattr(exc, 'strerror', None) or exc}", exc)
    if output is Output.JSON:
        _print_json(loaded)
        return
    for entry in loaded:
        for shown in entry.names or (entry.config_digest,):
            sys.stdout.write(f"loaded {shown}\n")


def _load(store: ImageStore, source: Path, tags: list[str] | tuple[str, ...]) -> list[Entry]:
    if source.is_file():
        return store.load(source, tags, now=time.time())
    import shutil
    import tempfile

    with tempfile.NamedTemporaryFile() as file, source.open("rb") as given:  # it is read more than once
        shutil.copyfileobj(given, file)
        file.flush()
        return store.load(Path(file.name), tags, now=time.time())


@app.command()
def pull(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Names of images, as pods have them.")],
    name: Name = "default",
    data_dir: DataDir = None,
    root_dir: RootDir = None,
    auth_file: Annotated[
        Path | None,
        typer.Option(
            "--auth-file",
            metavar="FILE",
            help="Credentials of registries, as 'docker login' writes them to ~/.docker/config.json; that one without.",
        ),
    ] = None,
    registry_config_dir: Annotated[
        Path | None,
        typer.Option("--registry-config-dir", metavar="DIR", help="Mirrors and authorities, as the kubelet is told."),
    ] = None,
    output: Written = Output.TABLE,
) -> None:
    """Pull images from their registries, so that pods find them there."""
    from hyperkube_kubelet.images.errors import InvalidReference
    from hyperkube_kubelet.images.references import parse_reference

    store = ImageStore(image_folder(folder_of_kubelet(name, data_dir, root_dir, make=True)))
    pulled: list[Entry] = []
    for image in images:
        try:
            parse_reference(image)
            given = auth_file.read_bytes() if auth_file is not None else None
            pulled.append(asyncio.run(_pull(store, image, given, registry_config_dir)))
        except InvalidReference as exc:
            _fail(str(exc), exc)
        except (ImageError, OSError, ValueError) as exc:
            _fail(f"cannot pull {image}: {exc}", exc)
    if output is Output.JSON:
        _print_json(pulled)
        return
    for entry in pulled:
        sys.stdout.write(f"pulled {entry.reference}\n")


async def _pull(store: ImageStore, image: str, auth: bytes | None, folder: Path | None) -> Entry:
    """Try the credentials that fit one after the other, or none."""
    from hyperkube_kubelet.images.dockerconfig import Keyring, node_entries, read_entries
    from hyperkube_kubelet.images.pulling import ImagePuller
    from hyperkube_kubelet.images.references import parse_reference
    from hyperkube_kubelet.images.registries import Registries
    from hyperkube_machinery.clock import SystemClock

    entries = node_entries(()) if auth is None else read_entries(auth, legacy=False)
    puller = ImagePuller(store, Registries(folder), SystemClock())
    found = Keyring(entries).lookup(parse_reference(image).repository)
    for credential in found[:-1]:
        try:
            return await puller.pull(image, credential.credentials)
        except ImageError:
            continue
    return await puller.pull(image, found[-1].credentials if found else None)


@app.command("list")
def list_(
    name: Name = "default",
    data_dir: DataDir = None,
    root_dir: RootDir = None,
    output: Written = Output.TABLE,
) -> None:
    """List the images of a node."""
    store = ImageStore(image_folder(folder_of_kubelet(name, data_dir, root_dir)))
    try:
        entries = sorted(store.entries(), key=lambda entry: (entry.names, entry.manifest))
    except (ImageError, OSError) as exc:
        _fail(str(exc), exc)
    if output is Output.JSON:
        _print_json(entries)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("IMAGE", "TAG", "IMAGE ID", "LOADED", "SIZE", box=None, pad_edge=False)
    for entry in entries:
        for repository, tag in _rows(entry):
            ago = f"{_spelled_age(time.time() - entry.loaded_at)} ago"
            table.add_row(repository, tag, entry.config_digest[7 : 7 + _SHORT_ID], ago, _spelled_size(entry.size))
    console = Console()
    Console(soft_wrap=not console.is_terminal, width=None if console.is_terminal else 200).print(table)


@app.command()
def rm(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Names, digests or ids.")],
    name: Name = "default",
    data_dir: DataDir = None,
    root_dir: RootDir = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Say nothing about images that aren't there.")] = False,
) -> None:
    """Remove images from a node. An image with several names is gone with the last of them."""
    kubelet = folder_of_kubelet(name, data_dir, root_dir)
    store = ImageStore(image_folder(kubelet))
    for image in images:
        try:
            store.remove(image, in_use=roots_in_use(kubelet))
        except UnknownImage as exc:
            if image in (HOST_IMAGE, f"{HOST_IMAGE}:latest"):
                _fail(f"{image} is the machine itself: it is always there and can't be removed", exc)
            if not force:
                _fail(f"{exc}: 'image list' lists what there is", exc)
        except (ImageError, OSError) as exc:
            _fail(str(exc), exc)
        else:
            sys.stdout.write(f"removed {image}\n")


def folder_of_kubelet(name: str, data_dir: Path | None, root_dir: Path | None, *, make: bool = False) -> Path:
    """The root directory of the kubelet that is meant; with `make`, that of a cluster which may still be to come."""
    if root_dir is not None:
        return root_dir.expanduser().absolute()
    from hyperkube_core import cluster_folder

    return cluster_folder(name, data_dir, os.environ, make=make) / "kubelet"


def _rows(entry: Entry) -> list[tuple[str, str]]:
    if not entry.names:
        return [(repository, "<none>") for repository in entry.repositories] or [("<none>", "<none>")]
    return [(name.rpartition(":")[0], name.rpartition(":")[2]) for name in entry.names]


def _print_json(entries: list[Entry]) -> None:
    images: list[Image] = [entry.image for entry in entries]
    documents = [
        {
            "id": image.id,
            "repoTags": list(image.tags),
            "repoDigests": list(image.digests),
            "size": image.size,
            "loadedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.loaded_at)),
        }
        for entry, image in zip(entries, images, strict=True)
    ]
    sys.stdout.write(json.dumps({"images": documents}, indent=2) + "\n")


def _spelled_size(size: int) -> str:
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"


def _spelled_age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def _fail(message: str, cause: BaseException) -> NoReturn:
    raise ImageCommandFailed(message) from cause
