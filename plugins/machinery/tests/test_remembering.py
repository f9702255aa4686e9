from __future__ import annotations

from hyperkube_machinery.remembering import Remembered


def test_what_was_found_is_found_again() -> None:
    remembered: Remembered[int] = Remembered()
    assert remembered.get(b"a") is None
    remembered.keep(b"a", 1)
    assert remembered.get(b"a") == 1
    assert remembered.get(b"b") is None


def test_there_is_never_much_of_it() -> None:
    remembered: Remembered[int] = Remembered()
    for number in range(2000):
        remembered.keep(str(number).encode(), number)
    assert len(remembered) <= 512
    assert remembered.get(b"1999") == 1999
    remembered.keep(b"x" * 20_000, 1)
    assert remembered.get(b"x" * 20_000) is None
