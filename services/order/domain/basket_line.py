"""A line of a basket: its quantity, and the parts of it that are wanted in one way each."""

from dataclasses import dataclass, replace

from services.order.domain.mode import Choice


@dataclass(frozen=True, slots=True)
class Part:
    """A quantity of a line that is wanted in one way."""

    quantity: int
    choice: Choice


@dataclass(frozen=True, slots=True)
class BasketLine:
    line_id: str
    sku: str
    quantity: int
    parts: tuple[Part, ...] = ()

    @property
    def chosen_quantity(self) -> int:
        return sum(part.quantity for part in self.parts)


def resized(line: BasketLine, quantity: int) -> tuple[Part, ...]:
    """A line wanted in one way stays so; a split one grows unchosen and shrinks from its end."""
    match line.parts:
        case (part,) if part.quantity == line.quantity:
            return (replace(part, quantity=quantity),)
        case _:
            left = quantity
            kept: list[Part] = []
            for part in line.parts:
                if left > 0:
                    kept.append(replace(part, quantity=min(part.quantity, left)))
                    left -= part.quantity
            return tuple(kept)
