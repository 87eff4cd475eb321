"""The IoT dialect's windows on lists, and the forms of its moments."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest
from pydantic import BaseModel, SecretStr, ValidationError
from starlette.exceptions import HTTPException

from cloud.facades.iot.wire import Asked, Moment, Window, iso, same_id
from cloud.paging import Ask


class People(Window):
    columns: ClassVar[dict[str, str]] = {"mobile": "phone", "vip": "vip", "reg_tms": "joined_ms"}

    mobile: str | None = None
    vip: bool | None = None


def test_a_window_speaks_of_columns_in_the_words_of_the_domain() -> None:
    asked = {"limit": "5", "offset": "7", "sort": "reg_tms", "order": "desc", "mobile": "", "vip": "true", "what": "1"}
    expected = Ask(page_size=5, offset=7, sort="-joined_ms", equals={"vip": True})
    assert People.model_validate(asked).ask == expected
    assert People().ask == Ask(page_size=10, offset=0)
    assert People.model_validate({"limit": "1000", "order": "DESC", "sort": "reg_tms"}).ask == Ask(
        page_size=100, offset=0, sort="-joined_ms"
    )
    assert expected.start == 7


@pytest.mark.parametrize("asked", [{"limit": 0}, {"offset": -1}, {"order": "up"}])
def test_a_window_has_bounds(asked: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        People.model_validate(asked)


def test_a_row_is_sorted_by_its_own_keys_only() -> None:
    with pytest.raises(HTTPException) as refused:
        _ = People(sort="password").ask
    assert refused.value.status_code == 400


class Device(Asked):
    uid: str = ""
    vid: str | None = None
    bonus: int = 7
    level: Literal["low", "high"] | None = None
    sealed: SecretStr = SecretStr("old")
    moment: Moment = None


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"uid": None, "vid": None, "bonus": None, "level": None, "sealed": None, "moment": None}, {}),
        ({"bonus": "", "level": "", "moment": ""}, {}),
        ({"uid": "", "vid": "", "sealed": ""}, {"uid": "", "vid": "", "sealed": SecretStr("")}),
        ({"level": " HIGH"}, {"level": "high"}),
        ({"bonus": "0", "level": "low"}, {"bonus": 0, "level": "low"}),
        ({"user_id": 5, "vendor_id": "v"}, {"uid": "5", "vid": "v"}),
        ({"uid": "u", "user_id": "other", "vid": "", "vendor_id": "v"}, {"uid": "u", "vid": "v"}),
        ({"what": None}, {}),
    ],
)
def test_what_is_null_or_empty_was_not_sent_and_a_thing_has_two_names(
    sent: dict[str, object], read: dict[str, object]
) -> None:
    assert Device.model_validate(sent).model_dump(exclude_unset=True) == read


class Moments(BaseModel):
    at: Moment = None


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("20121221", "2012-12-21T00:00:00Z"),
        ("2018-01-02T03:04:05Z", "2018-01-02T03:04:05Z"),
        ("2018-01-02 11:04:05+08:00", "2018-01-02T03:04:05Z"),
        (1386160805, "2013-12-04T12:40:05Z"),
        ("1386160805", "2013-12-04T12:40:05Z"),
        ("1386160805000", "2013-12-04T12:40:05Z"),
        ("2012/12/21 00:00", "2012-12-21T00:00:00Z"),
        ("", ""),
        (0, ""),
        (None, ""),
    ],
)
def test_moments_come_in_every_form_of_the_documentation_and_leave_in_one(sent: object, told: str) -> None:
    assert iso(Moments.model_validate({"at": sent}).at) == told


@pytest.mark.parametrize("sent", ["soon", "99999999", -4, "999999999999"])
def test_what_is_no_moment_is_refused(sent: object) -> None:
    with pytest.raises(ValidationError):
        Moments.model_validate({"at": sent})


def test_a_body_may_repeat_the_path_and_not_contradict_it() -> None:
    same_id("uid", "", "U1")
    same_id("uid", "U1", "U1")
    with pytest.raises(HTTPException):
        same_id("uid", "U2", "U1")
