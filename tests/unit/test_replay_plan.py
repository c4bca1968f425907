"""Which column gives which field; and all faults of the options at once."""

import pytest

from pegel.cli.replay.plan import Plan, make_plan, nested
from pegel.runtime.settings import ConfigurationError

COLUMNS = ["ts", "region", "topic", "channel", "subtopic", "owner_group"]


def plan(*, columns: tuple[str, ...] = (), fixed: tuple[str, ...] = ("country=CA",), time: str = "ts") -> Plan:
    return make_plan(COLUMNS, time_column=time, columns=columns, fixed=fixed)


def faults(**over: object) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        plan(**over)  # type: ignore[arg-type]
    return caught.value.faults


def test_fields_of_the_same_name_are_taken_by_themselves_and_the_rest_is_ignored() -> None:
    made = plan(columns=("attributes.region=region",))
    assert made.columns == {
        "topic": "topic", "channel": "channel", "subtopic": "subtopic", "attributes.region": "region",
    }  # fmt: skip
    assert made.fixed == {"country": "CA"}
    assert made.ignored == ("owner_group",)


def test_what_is_said_goes_before_what_has_the_same_name() -> None:
    made = plan(columns=("topic=owner_group", "subtopic="), fixed=("country=ca", "channel=phone"))
    assert made.columns == {"topic": "owner_group"}
    assert made.fixed == {"country": "CA", "channel": "phone"}
    assert made.ignored == ("region", "topic", "channel", "subtopic")


def test_a_column_of_ids() -> None:
    made = make_plan(COLUMNS, time_column="ts", fixed=("country=CA",), id_column="owner_group")
    assert made.columns["event_id"] == "owner_group"


def test_a_column_that_names_an_employee_is_never_taken() -> None:
    made = make_plan([*COLUMNS, "attributes.agent"], time_column="ts", fixed=("country=CA",))
    assert "attributes.agent" not in made.columns
    assert "attributes.agent" in made.ignored


def test_all_faults_are_named_at_once() -> None:
    found = faults(
        columns=("topc=topic", "site=depot", "nonsense"), fixed=("country=Spain", "waited_seconds=-5"), time="t"
    )
    assert any("--column topc=topic: a contact has no field topc; the nearest is topic" in fault for fault in found)
    assert any("--column site=depot: the file has no column depot; it has ts, region" in fault for fault in found)
    assert any("--column nonsense: write --column FIELD=COL" in fault for fault in found)
    assert any(fault.startswith("--set country=Spain: ") for fault in found)
    assert any(fault.startswith("--set waited_seconds=-5: ") for fault in found)
    assert any("--time t: the file has no column t" in fault for fault in found)


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"fixed": ()}, "no column gives country"),
        ({"columns": ("attributes.agent=region",)}, "employees are never measured"),
        ({"columns": ("occurred_at=ts",)}, "--time COL"),
        ({"columns": ("topic=region",), "fixed": ("country=CA", "topic=atm")}, "--set topic=atm gives it too"),
        ({"fixed": ("country=CA", "event_id=1")}, "--set event_id=1: ids differ"),
        ({"fixed": ("country=CA", "subtopic=?")}, "--set subtopic=?: it gives no value"),
        ({"fixed": ("country=CA", "country=US")}, "country is given twice"),
        ({"fixed": ("country=CA", *(f"attributes.a{n}=x" for n in range(11)))}, "at most 10"),
        ({"fixed": ("country=CA", "satisfaction.value=good", "satisfaction.scale=csat")}, "satisfaction.value=good"),
    ],
)
def test_a_fault_of_the_options(over: dict[str, tuple[str, ...]], said: str) -> None:
    assert any(said in fault for fault in faults(**over))


def test_dots_are_objects() -> None:
    assert nested(
        {"topic": "atm", "attributes.region": "north", "attributes.city": "x", "satisfaction.value": 4.0}
    ) == {
        "topic": "atm",
        "attributes": {"region": "north", "city": "x"},
        "satisfaction": {"value": 4.0},
    }
