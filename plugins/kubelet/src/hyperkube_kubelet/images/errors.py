"""What can be wrong with images.

ImageError
├── InvalidReference     a name that means no image
├── BrokenArchive        the archive is damaged, hostile or no archive of images
├── WrongPlatform        the image is for other machines
├── UnknownImage         there is no such image here
├── ImageInUse           a container runs from it
├── InvalidRegistries    what was said about registries can't be used
└── PullFailed           it can't be had from a registry
    └── Unreachable      because the registry doesn't answer, or can't now
"""

from __future__ import annotations

__all__ = [
    "BrokenArchive",
    "ImageError",
    "ImageInUse",
    "InvalidReference",
    "InvalidRegistries",
    "PullFailed",
    "UnknownImage",
    "Unreachable",
    "WrongPlatform",
]


class ImageError(Exception):
    """Something is wrong with an image; the text says what, which and what to do."""


class InvalidReference(ImageError):
    """A name that means no image."""


class BrokenArchive(ImageError):
    """The archive is damaged, hostile or no archive of images."""


class WrongPlatform(ImageError):
    """The image is for other machines."""


class UnknownImage(ImageError):
    """There is no such image here."""


class ImageInUse(ImageError):
    """A container runs from it."""


class InvalidRegistries(ImageError):
    """What was said about registries can't be used."""


class PullFailed(ImageError):
    """The image can't be had from a registry; the words are those that tools know from containerd."""


class Unreachable(PullFailed):
    """The registry doesn't answer, or says that it can't now: another one, or a later try, may."""
