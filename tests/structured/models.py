"""Real pydantic models, as integrators write them."""

from __future__ import annotations

import datetime
import enum
import ipaddress
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AnyUrl, BaseModel, ConfigDict, Field, HttpUrl, RootModel


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Priority(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Address(BaseModel):
    street: str = Field(min_length=1, max_length=40)
    postcode: Annotated[str, Field(pattern=r"^\d{4,5}$")]
    country: str = Field("NO", min_length=2, max_length=2, description="ISO code")


class Person(BaseModel):
    """Nested, optional, lists."""

    name: str
    age: Annotated[int, Field(ge=0, lt=150)]
    address: Address | None = None
    emails: list[str] = Field(default_factory=list, max_length=3)
    nickname: str | None = None


class Times(BaseModel):
    at: datetime.datetime
    day: datetime.date
    hour: datetime.time
    length: datetime.timedelta


class Identifiers(BaseModel):
    id: UUID
    link: AnyUrl
    page: HttpUrl
    address: ipaddress.IPv4Address
    sixth: ipaddress.IPv6Address


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    colour: Colour
    priority: Priority
    total: Decimal
    share: Annotated[float, Field(gt=0, lt=1)]
    count: Annotated[int, Field(gt=0, multiple_of=5)]
    state: Literal["open", "closed"]
    version: Literal[3] = 3


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog", "wolf"]
    good: bool = True


class Zoo(BaseModel):
    animals: list[Annotated[Cat | Dog, Field(discriminator="kind")]]


class Node(BaseModel):
    value: int
    next: Node | None = None


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Scores(BaseModel):
    points: dict[str, int]
    labels: dict[Annotated[str, Field(pattern=r"^[a-z]{2}$")], str]
    pair: tuple[int, str]
    either: int | str | list[float]


class Names(RootModel[list[str]]):
    pass


class Invoice(BaseModel):
    number: Annotated[str, Field(pattern=r"INV-\d{6}")]
    lines: Annotated[list[Order], Field(min_length=1, max_length=2)]
    paid: bool | None
    by_colour: dict[Colour, int] = {}


class Labels(BaseModel):
    colours: set[Colour]
    flags: frozenset[bool]
    days: set[Literal["mon", "tue"]] | None = None


class Nothing(BaseModel):
    pass


MODELS: tuple[type[BaseModel], ...] = (
    *(Address, Person, Times, Identifiers, Order, Zoo, Node, Tree, Scores, Names, Invoice, Cat),
    *(Labels, Nothing),
)
