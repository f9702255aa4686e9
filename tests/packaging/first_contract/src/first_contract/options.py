"""The flags of the coroutine."""

from __future__ import annotations

from dataclasses import dataclass, field

from hyperkube_core import flag


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    greeting: str = flag("Hello", help="How to greet.")
    repeat: int = flag(1, help="How often.", short="r", minimum=1)
    polite: bool = flag(False, help="Whether to say please.", section="Manners")
    patience: float = flag(1.5, help="How long to wait for an answer.", kind="duration")
    names: tuple[str, ...] = flag((), help="Whom to greet.")
    plain: str = "a field without help"
    labels: dict[str, str] = field(default_factory=dict)
