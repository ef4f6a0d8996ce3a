import pickle

import pytest
from pydantic import Field, ValidationError

from webrtc_transport.errors import ConfigurationError
from webrtc_transport.settings import Settings, shown


class Ovens(Settings):
    count: int = Field(default=1, ge=1)
    colours: tuple[str, ...] = ()
    password: str = Field(default="", repr=False)


def test_each_fault_is_a_line():
    with pytest.raises(ConfigurationError) as caught:
        Ovens(count=0, color="red", colours=["red", 3])
    assert str(caught.value).splitlines() == [
        "Ovens: count should be greater than or equal to 1, not 0",
        "Ovens: colours[1] should be a valid string, not 3",
        "Ovens has no setting 'color'; did you mean 'colours'?",
    ]


def test_without_a_near_name_all_are_told():
    with pytest.raises(
        ConfigurationError, match=r"^Ovens has no setting 'x'; there are: count, colours, password$"
    ):
        Ovens(x=1)


def test_a_secret_is_not_shown():
    with pytest.raises(ConfigurationError) as caught:
        Ovens(password=12345)
    assert str(caught.value) == "Ovens: password should be a valid string"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "validate",
    [
        lambda: Ovens.model_validate({"count": 0, "password": "SECRET"}),
        lambda: Ovens.model_validate_json('{"count": 0, "password": "SECRET"}'),
        lambda: Ovens.model_validate_json("SECRET"),
    ],
)
def test_nor_is_it_by_pydantic(validate):
    with pytest.raises(ValidationError) as caught:
        validate()
    assert "SECRET" not in str(caught.value)
    assert "SECRET" not in repr(caught.value)


def test_what_pydantic_raises_has_our_lines():
    with pytest.raises(ValidationError, match="Ovens: count should be greater than or equal to 1, not 0"):
        Ovens.model_validate({"count": 0})


def test_settings_are_given_by_name():
    with pytest.raises(TypeError, match=r"^Ovens takes its settings by name, such as Ovens\(count=…\)$"):
        Ovens(3)


def test_settings_do_not_change():
    ovens = Ovens(count=2)
    with pytest.raises(ConfigurationError, match=r"^Ovens: count can't be changed; make a new Ovens$"):
        ovens.count = 3
    assert ovens.count == 2


def test_they_can_be_copied():
    ovens = Ovens(count=2)
    assert pickle.loads(pickle.dumps(ovens)) == ovens.model_copy() == ovens


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "'x'"),
        (None, "None"),
        ([], "[]"),
        (["password"], "list"),
        ("x" * 500, f"'{'x' * 79}…"),
        (b"key", "bytes"),
        (bytearray(b"key"), "bytearray"),
    ],
)
def test_what_is_shown_of_a_value(value, text):
    assert shown(value) == text
