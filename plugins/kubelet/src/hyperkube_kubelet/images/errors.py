"""What can be wrong with images.

ImageError
├── InvalidReference   a name that means no image
├── BrokenArchive      the archive is damaged, hostile or no archive of images
├── WrongPlatform      the image is for other machines
├── UnknownImage       there is no such image here
└── ImageInUse         a container runs from it
"""

from __future__ import annotations

__all__ = ["BrokenArchive", "ImageError", "ImageInUse", "InvalidReference", "UnknownImage", "WrongPlatform"]


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
