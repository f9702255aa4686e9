"""What every cluster has: made at start, and kept as far as it is to be kept."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hyperkube_apiserver.bootstrap import Key
from hyperkube_apiserver.clusterdefaults import FLOW_CONTROL, cluster_objects, mandatory_specs, revisions
from hyperkube_apiserver.kinds import load_kinds

AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
WANTED = dict(cluster_objects(load_kinds().values()))
GLOBAL = Key(FLOW_CONTROL, "flowschemas", "", "global-default")
CATCH_ALL = Key(FLOW_CONTROL, "flowschemas", "", "catch-all")
EXEMPT = Key(FLOW_CONTROL, "prioritylevelconfigurations", "", "exempt")
APPS = Key("apiregistration.k8s.io", "apiservices", "", "v1.apps")


def revised(key: Key, **changes: Any) -> Any:
    """What becomes of an object that was made and then changed; None if it stays as it is."""
    found = copy.deepcopy(WANTED[key])
    found["metadata"]["generation"] = 1
    for path, value in changes.items():
        field, _, name = path.partition("__")
        if name:
            found[field][name] = value
        else:
            found[field] = value
    writes = list(revisions({key: found}, WANTED.items()))
    return writes[0].obj if writes else None


@pytest.mark.parametrize("key", WANTED)
def test_what_is_as_it_was_made_is_left_alone(key: Key) -> None:
    assert revised(key) is None


def test_there_is_an_api_service_for_every_version_that_is_served() -> None:
    served = {f"{kind.resource.version}.{kind.resource.group}" for kind in load_kinds().values()}
    own = {"v1.apiregistration.k8s.io"}  # who asks for that has found it already
    assert {key.name for key in WANTED if key.resource == "apiservices"} == served - own


def test_mandatory_specs_come_back_whatever_is_said() -> None:
    obj = revised(CATCH_ALL, spec__matchingPrecedence=5000, metadata__annotations={AUTOUPDATE: "false"})
    assert obj["spec"] == mandatory_specs("flowschemas")["catch-all"]
    assert obj["metadata"]["annotations"] == {AUTOUPDATE: "true"}


def test_the_shares_of_the_exempt_level_may_be_changed() -> None:
    assert revised(EXEMPT, spec__exempt={"nominalConcurrencyShares": 7, "lendablePercent": 0}) is None
    assert revised(EXEMPT, spec__type="Limited")["spec"]["type"] == "Exempt"


def test_a_suggestion_is_kept_until_it_says_that_it_is_not() -> None:
    assert revised(GLOBAL, spec__matchingPrecedence=5)["spec"] == WANTED[GLOBAL]["spec"]
    assert revised(GLOBAL, spec__matchingPrecedence=5, metadata__annotations={AUTOUPDATE: "false"}) is None


def test_a_suggestion_that_was_changed_and_says_nothing_is_marked_as_its_owners(  # as upstream reads generations
) -> None:
    changed = revised(GLOBAL, spec__matchingPrecedence=5, metadata={"name": "global-default", "generation": 2})
    assert changed["spec"]["matchingPrecedence"] == 5
    assert changed["metadata"]["annotations"] == {AUTOUPDATE: "false"}
    untouched = revised(GLOBAL, metadata={"name": "global-default", "generation": 1})
    assert untouched["metadata"]["annotations"] == {AUTOUPDATE: "true"}


def test_an_api_service_is_this_servers_while_it_is_labelled_so() -> None:
    assert revised(APPS, spec__versionPriority=3)["spec"] == WANTED[APPS]["spec"]
    assert revised(APPS, spec__versionPriority=3, metadata__labels={}) is None
