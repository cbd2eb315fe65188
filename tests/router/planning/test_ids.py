"""An integer and its decimal text are the same id, whichever of the two the catalogue has."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import InvalidQuery
from cluster.spec import GenerationSpec
from router.planning.ids import as_written, in_the_catalogues_ids
from router.request import Pin, Request
from tests.router.asking import ask, router_over
from tests.router.fakes import Catalogue, fleet

TEXT = Catalogue.random(10).spec(1)
NUMBERS = msgspec.structs.replace(TEXT, id_type="int64")
INT64 = st.integers(-(2**63), 2**63 - 1)


@given(INT64)
def test_an_integer_and_its_decimal_text_are_the_same_id(number: int) -> None:
    assert as_written(number, TEXT, "") == as_written(str(number), TEXT, "") == str(number)
    assert as_written(number, NUMBERS, "") == as_written(str(number), NUMBERS, "") == number


@given(st.text(st.characters(codec="utf-8")))
def test_text_is_itself_where_ids_are_text(text: str) -> None:
    assert as_written(text, TEXT, "") == text


@pytest.mark.parametrize("text", ["", "-", "-0", "007", "+7", " 7", "7 ", "1_0", "٧", "1e3", "7.0", str(2**63), "9" * 256])
def test_text_that_json_would_not_write_for_an_integer_is_none(text: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        as_written(text, NUMBERS, "/x")
    assert caught.value.details["field"] == "/x"


def test_every_id_of_a_request_is_put_in_the_catalogues_type() -> None:
    request = Request("u", 3, exclude_item_ids=(1, "2"), basket=(3,), viewed=("4", 5), pins=(Pin(6, 1), Pin("7", 2)))
    as_text = in_the_catalogues_ids(request, TEXT)
    assert (as_text.exclude_item_ids, as_text.basket, as_text.viewed) == (("1", "2"), ("3",), ("4", "5"))
    assert as_text.pins == (Pin("6", 1), Pin("7", 2))
    assert in_the_catalogues_ids(as_text, TEXT) is as_text, "nothing to do costs nothing"
    numbers = in_the_catalogues_ids(request, NUMBERS)
    assert (numbers.exclude_item_ids, numbers.basket, numbers.viewed) == ((1, 2), (3,), (4, 5))
    assert numbers.pins == (Pin(6, 1), Pin(7, 2))


@pytest.mark.parametrize(
    ("field", "pointer"),
    [("exclude_item_ids", "/exclude_item_ids/1"), ("basket", "/context/basket/1"), ("viewed", "/context/viewed/1")],
)
def test_an_id_that_no_integer_writes_is_named(field: str, pointer: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        in_the_catalogues_ids(Request("u", 3, **{field: ("1", "x")}), NUMBERS)  # type: ignore[arg-type]
    assert caught.value.details["field"] == pointer
    with pytest.raises(InvalidQuery) as caught:
        in_the_catalogues_ids(Request("u", 3, pins=(Pin("x", 1),)), NUMBERS)
    assert caught.value.details["field"] == "/pins/0/item_id"


class Numbered(Catalogue):
    """Ids are integers."""

    def spec(self, n_shards: int) -> GenerationSpec:
        return msgspec.structs.replace(super().spec(n_shards), id_type="int64")


@pytest.mark.parametrize("numbered", [False, True], ids=["text", "integers"])
@pytest.mark.parametrize("asked_as", [str, int])
def test_a_request_may_write_ids_either_way(numbered: bool, asked_as: Callable[[object], str | int]) -> None:
    drawn = Catalogue.random(60)
    item_ids = tuple(range(60)) if numbered else tuple(map(str, range(60)))
    catalogue = (Numbered if numbered else Catalogue)(item_ids, drawn.tops, drawn.ann, drawn.color, drawn.brand)  # type: ignore[arg-type]
    router = router_over(fleet(catalogue, catalogue.shards(2)))
    first, second, third, *_ = [item.item_id for item in ask(router, k=5).items]
    answer = ask(router, k=5, exclude_item_ids=(asked_as(first),), basket=(asked_as(second),), pins=(Pin(asked_as(third), 2),))
    found = [item.item_id for item in answer.items]
    assert first not in found and second not in found
    assert found[1] == third, "as the catalogue writes it"
